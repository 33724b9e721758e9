//! Data sets that are spoiled in a known way.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use l2rw::data::{self, Corruption, DataError, Dataset, Source};
use l2rw::report::download_bar;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::options::Options;
use super::preset::Size;
use super::study::Spoiling;

/// Where training and test images come from.
pub enum Data {
    Read(Box<Source>),
    /// Made anew for every seed.
    Synthetic,
}

/// A training set of which is known which labels are wrong.
pub struct Marked {
    pub set: Dataset,
    /// Labels before corruption.
    pub true_labels: Vec<u32>,
    pub corrupted: Vec<bool>,
}

/// What a run works with.
pub struct Spoiled {
    pub train: Marked,
    /// The training images and the trusted ones, where methods that do not look at the trusted ones
    /// apart train on both.
    pub whole: Option<Marked>,
    pub clean: Dataset,
    /// Images that nobody trains on, with right labels.
    pub held_out: Option<Dataset>,
    pub test: Dataset,
    pub background: Option<u32>,
}

/// The two digits of Figure 2, and the training images in it.
const DIGITS: [u32; 2] = [4, 9];
const DIGIT_IMAGES: usize = 5000;

/// Held-out images come from another stream of random numbers than trusted ones.
const HELD_OUT: u64 = 1 << 40;

impl Data {
    /// Reads what the command line names.
    pub fn read(options: &Options) -> Result<Self> {
        if options.download {
            let mut bar = None;
            let mut progress = |done, total| {
                bar.get_or_insert_with(|| download_bar("CIFAR-10", total)).update(done);
            };
            let url = options.download_url.as_deref().unwrap_or(data::download::CIFAR10_BASE_URL);
            let folder = data::fetch_cifar10(&data::default_cache_dir()?, url, &mut progress)?;
            if let Some(bar) = bar {
                bar.finish();
            }
            return Ok(Self::Read(Box::new(data::open(&folder)?)));
        }
        match options.data.as_str() {
            "synthetic" => Ok(Self::Synthetic),
            path => Ok(Self::Read(Box::new(data::open(Path::new(path))?))),
        }
    }

    fn images(
        &self,
        of_digits: bool,
        (per_class, test_per_class): (Option<usize>, Option<usize>),
        seed: u64,
    ) -> Result<[Dataset; 2]> {
        let made;
        let source = match self {
            Self::Read(source) => source,
            Self::Synthetic => {
                made = data::synthetic(
                    seed,
                    per_class.unwrap_or(DIGIT_IMAGES),
                    test_per_class.unwrap_or(1000),
                );
                &made
            }
        };
        let mut both = [source.train.clone(), source.test.clone()];
        if of_digits {
            both = [two_digits(&both[0])?, two_digits(&both[1])?];
        }
        let [train, test] = both;
        let first = |set: Dataset, count: Option<usize>| match count {
            Some(count) => anyhow::Ok(set.subset(&set.first_of_each_class(count))?),
            None => Ok(set),
        };
        Ok([first(train, per_class)?, first(test, test_per_class)?])
    }

    /// The sets of one run.
    pub fn spoil(
        &self,
        spoiling: Spoiling,
        size: &Size,
        options: &Options,
        (clean_per_class, seed): (usize, u64),
    ) -> Result<Spoiled> {
        let of_digits = matches!(spoiling, Spoiling::TwoDigits { .. });
        let per_class = options.images_per_class.or(size.images_per_class);
        let [mut full, test] = self.images(of_digits, (per_class, size.test_per_class), seed)?;
        if let Spoiling::TwoDigits { share } = spoiling {
            full = with_majority(&full, share, seed)?;
        }
        let classes = full.classes();
        let names = full.class_names.clone();
        let named = |error: DataError| error.with_class_names(&names);
        let split = |set: &Dataset, per_class, seed| {
            let split = data::stratified_clean_split(&set.labels, classes, per_class, seed);
            let split = split.map_err(named)?;
            anyhow::Ok([set.subset(&split.clean)?, set.subset(&split.train)?])
        };
        let mut held_out = None;
        if size.held_out > 0 {
            let [apart, rest] = split(&full, size.held_out.div_ceil(classes), seed + HELD_OUT)?;
            (held_out, full) = (Some(apart), rest);
        }
        let [clean, mut train] = split(&full, clean_per_class, seed)?;
        if let Spoiling::LongTail { factor } = spoiling {
            let kept = data::long_tail(&train.labels, classes, factor, seed).map_err(named)?;
            train = train.subset(&kept)?;
        }
        let background = matches!(spoiling, Spoiling::BackgroundFlip { .. })
            .then(|| options.background.or(size.background))
            .map(|given| given.unwrap_or_else(|| drawn_background(classes, seed)));
        let true_labels = train.labels.clone();
        let corruption = corruption(spoiling, background);
        let corrupted = data::apply(&mut train.labels, classes, &corruption, seed)?;
        let whole = of_digits.then(|| Marked {
            corrupted: vec![false; full.len()],
            true_labels: full.labels.clone(),
            set: full,
        });
        let train = Marked { set: train, true_labels, corrupted };
        Ok(Spoiled { train, whole, clean, held_out, test, background })
    }
}

/// As in the paper, where each run has another one; the official code never takes the last class.
fn drawn_background(classes: usize, seed: u64) -> u32 {
    Pcg64::seed_from_u64(seed).random_range(0..classes.saturating_sub(1).max(1)) as u32
}

fn corruption(spoiling: Spoiling, background: Option<u32>) -> Corruption {
    match spoiling {
        Spoiling::BackgroundFlip { share } => {
            Corruption::BackgroundFlip { share, background: background.unwrap_or_default() }
        }
        Spoiling::UniformFlip { share } => Corruption::UniformFlipOfficial { share },
        Spoiling::TwoClassFlip { share } => Corruption::TwoClassFlip { share },
        Spoiling::LongTail { .. } | Spoiling::TwoDigits { .. } => Corruption::None,
    }
}

/// The images of the two digits, with labels 0 and 1.
fn two_digits(set: &Dataset) -> Result<Dataset> {
    let position = |label: u32| DIGITS.iter().position(|digit| *digit == label);
    let kept: Vec<usize> = (0..set.len()).filter(|i| position(set.labels[*i]).is_some()).collect();
    ensure!(
        set.classes() > DIGITS[1] as usize,
        "{}: classes 4 and 9 are compared, and there are {} only",
        set.name,
        set.classes()
    );
    let mut both = set.subset(&kept)?;
    both.class_names = DIGITS.map(|digit| set.class_names[digit as usize].clone()).to_vec();
    for label in &mut both.labels {
        *label = position(*label).context("a label is of neither digit")? as u32;
    }
    Ok(both)
}

/// As many images as the figure has, or as there are, of which a share is of the second class.
fn with_majority(set: &Dataset, share: f64, seed: u64) -> Result<Dataset> {
    let of = |class: u32| set.labels.iter().filter(|label| **label == class).count();
    let there = [of(0), of(1)];
    let total = DIGIT_IMAGES.min((there[1] as f64 / share.max(1e-9)) as usize);
    let wanted = [(total as f64 * (1.0 - share)).round() as usize, (total as f64 * share) as usize];
    let mut random = Pcg64::seed_from_u64(seed);
    let mut kept = Vec::new();
    for class in [0_usize, 1] {
        ensure!(
            wanted[class] <= there[class],
            "{}: {} images of class {} are wanted, and there are {}",
            set.name,
            wanted[class],
            set.class_names[class],
            there[class]
        );
        let mut members: Vec<usize> =
            (0..set.len()).filter(|i| set.labels[*i] as usize == class).collect();
        let (chosen, _) = members.partial_shuffle(&mut random, wanted[class]);
        kept.extend_from_slice(chosen);
    }
    kept.sort_unstable();
    Ok(set.subset(&kept)?)
}
