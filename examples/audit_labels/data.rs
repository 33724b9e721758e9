//! The doubtful and the trusted examples.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use l2rw::data::{self, Dataset, PictureOptions, PicturePart};

use crate::options::Options;

/// What is audited, and by what.
pub struct Audited {
    pub set: Dataset,
    /// File or, where a format has none, number of each example.
    pub names: Vec<String>,
    /// Which labels were made wrong, in trials.
    pub wrong: Option<Vec<bool>>,
    /// Labels before that.
    pub true_labels: Vec<u32>,
    pub clean: Dataset,
    /// Names of the trusted examples.
    pub clean_names: Vec<String>,
}

impl Audited {
    /// Reads the data, takes the trusted examples out of it or from elsewhere, and in trials makes
    /// labels wrong.
    pub fn open(options: &Options) -> Result<Self> {
        let (full, names) = open(options)?;
        let keep = first_of_each_class(&full, options.images_per_class);
        let full = full.subset(&keep)?;
        let names: Vec<String> = keep.iter().map(|&index| names[index].clone()).collect();
        let seed = u64::from(options.seed);
        let pick = |indices: &[usize]| indices.iter().map(|&i| names[i].clone()).collect();
        let (mut set, names, clean, clean_names) = match (&options.clean, options.clean_per_class) {
            (Some(folder), _) => {
                let (set, files) = pictures_of(folder)?;
                let clean = with_classes_of(set, &full)?;
                (full, names, clean, files)
            }
            (None, per_class) => {
                let labels = &full.labels;
                let per_class = per_class.context("--clean or --clean-per-class is needed")?;
                let split = data::stratified_clean_split(labels, full.classes(), per_class, seed)
                    .map_err(|error| error.with_class_names(&full.class_names))?;
                let (clean, set) = (full.subset(&split.clean)?, full.subset(&split.train)?);
                (set, pick(&split.train), clean, pick(&split.clean))
            }
        };
        let true_labels = set.labels.clone();
        let classes = set.classes();
        let wrong = match options.flip {
            Some(flip) => {
                let corruption = flip.corruption(&set.class_names);
                Some(data::apply(&mut set.labels, classes, &corruption, seed)?)
            }
            None => None,
        };
        Ok(Self { set, names, wrong, true_labels, clean, clean_names })
    }
}

/// The data and a name for each example.
fn open(options: &Options) -> Result<(Dataset, Vec<String>)> {
    let folder = &options.data;
    let train = folder.join("train");
    // Of an image folder only the training part is wanted, with the names of its files.
    let images = if train.is_dir() { Some(train) } else { None };
    if let Some(images) = images {
        return pictures_of(&images);
    }
    match data::open(folder) {
        Ok(source) => {
            let names = (0..source.train.len()).map(|index| index.to_string()).collect();
            Ok((source.train, names))
        }
        Err(data::DataError::NotRecognised { .. }) => pictures_of(folder),
        Err(error) => Err(error.into()),
    }
}

fn pictures_of(folder: &Path) -> Result<(Dataset, Vec<String>)> {
    let pictures = data::read_pictures(&[folder], &PictureOptions::default())?;
    println!("{}: {}", folder.display(), pictures.notes);
    let part = pictures.parts.into_iter().next();
    let PicturePart { set, files } = part.context("one folder gives one part")?;
    Ok((set, files.iter().map(|file| data::path_text(file)).collect()))
}

/// The same images with labels that count the classes of `other`.
fn with_classes_of(mut set: Dataset, other: &Dataset) -> Result<Dataset> {
    let number = |name: &String| other.class_names.iter().position(|known| known == name);
    for label in &mut set.labels {
        let name = &set.class_names[*label as usize];
        let number = number(name);
        ensure!(number.is_some(), "the trusted class '{name}' is none of the data's");
        *label = number.unwrap_or_default() as u32;
    }
    set.class_names = other.class_names.clone();
    Ok(set)
}

/// Indices of the first images of each class, in the order of the set; of all without a `count`.
fn first_of_each_class(set: &Dataset, count: Option<usize>) -> Vec<usize> {
    let mut taken = vec![0; set.classes()];
    (0..set.len())
        .filter(|&i| {
            let class = &mut taken[set.labels[i] as usize];
            *class += 1;
            count.is_none_or(|count| *class <= count)
        })
        .collect()
}
