//! The examples that commands work on: pictures in folders or lists, data sets in known formats,
//! and tables of features.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use l2rw::data::{
    self, Corruption, Dataset, Fit, Manifest, PictureFolder, PictureOptions, PicturePart, Pictures,
    ReadNotes, Source, Table, TableOptions, asymmetric_map,
};

use crate::audit::{Decision, read_decisions};

/// Where examples are read from, and how.
#[derive(Args, Clone, Debug)]
pub struct DataOptions {
    /// The data with doubtful labels: a folder of pictures with a folder for each class; a CSV with
    /// the columns `path` and `label`; the binary version of CIFAR-10 or CIFAR-100; MNIST-style IDX
    /// files; or features as .npy, .npz, .csv, .tsv or .parquet
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Trusted examples of the same classes and kind. Not needed where a column of --data tells
    /// which are trusted
    #[arg(long, value_name = "PATH")]
    pub clean: Option<PathBuf>,
    /// Or so many of each class of the data itself, drawn at random: trusted.csv lists them, and
    /// they should be looked at before the result is believed
    #[arg(long, value_name = "N", conflicts_with = "clean")]
    pub clean_per_class: Option<usize>,
    /// Only the first examples of each class
    #[arg(long, value_name = "N")]
    pub examples_per_class: Option<usize>,
    #[command(flatten)]
    pub pictures: PictureArguments,
    #[command(flatten)]
    pub table: TableArguments,
}

/// How pictures become examples.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArguments {
    /// Size of all pictures, one number or HEIGHTxWIDTH [default: what most of them have, or a
    /// square; it is printed]
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<Size>,
    /// Pictures of another shape get bars instead of losing their sides
    #[arg(long)]
    pub letterbox: bool,
    /// Make all pictures grey
    #[arg(long)]
    pub grey: bool,
    /// What transparent pictures and bars are laid on, as RRGGBB
    #[arg(long, value_name = "COLOUR", default_value = "ffffff")]
    pub background: Colour,
    /// Take pictures in folders below a class folder as well
    #[arg(long)]
    pub nested: bool,
    /// Leave out pictures that cannot be read, and say which
    #[arg(long)]
    pub leave_out_unreadable: bool,
}

impl PictureArguments {
    fn options(&self) -> PictureOptions {
        PictureOptions {
            size: self.size.map(|Size(height, width)| (height, width)),
            fit: if self.letterbox { Fit::Letterbox } else { Fit::Crop },
            channels: self.grey.then_some(1),
            background: self.background.0,
            nested: self.nested,
            leave_out_unreadable: self.leave_out_unreadable,
        }
    }
}

/// Height and width.
#[derive(Clone, Copy, Debug)]
pub struct Size(usize, usize);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str| match text.parse() {
            Ok(side) if side > 0 => Ok(side),
            _ => Err(anyhow!("'{text}' is no number of pixels: write 64 or 48x64")),
        };
        match text.split_once('x') {
            Some((height, width)) => Ok(Self(side(height)?, side(width)?)),
            None => side(text).map(|side| Self(side, side)),
        }
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Colour([u8; 3]);

impl FromStr for Colour {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.trim_start_matches('#');
        match u32::from_str_radix(digits, 16) {
            Ok(value) if digits.len() == 6 => {
                let [_, red, green, blue] = value.to_be_bytes();
                Ok(Self([red, green, blue]))
            }
            _ => bail!("'{text}' is no colour: write six hexadecimal digits, ffffff for white"),
        }
    }
}

/// What the columns of a table are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Features")]
pub struct TableArguments {
    /// File with the labels of an .npy
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// File that tells which rows of an .npy are trusted: truth values, or numbers of rows
    #[arg(long, value_name = "FILE")]
    pub trusted_rows: Option<PathBuf>,
    /// Column, or array of an .npz, with the labels
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub label_column: String,
    /// Column, or array of an .npz, that tells which rows are trusted
    #[arg(long, value_name = "NAME", default_value = "trusted")]
    pub trusted_column: String,
    /// Column with a name for each row [default: rows are numbered]
    #[arg(long, value_name = "NAME")]
    pub name_column: Option<String>,
    /// Columns that are no features
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub ignore_column: Vec<String>,
}

impl TableArguments {
    fn options(&self) -> TableOptions {
        TableOptions {
            label: self.label_column.clone(),
            trusted: self.trusted_column.clone(),
            name: self.name_column.clone(),
            ignored: self.ignore_column.clone(),
            labels_file: self.labels.clone(),
            trusted_file: self.trusted_rows.clone(),
        }
    }
}

/// Label noise for trials.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    asymmetric: bool,
    share: f64,
}

impl FromStr for Flip {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || anyhow!("'{text}' is not uniform:SHARE or asymmetric:SHARE");
        let (kind, share) = text.split_once(':').ok_or_else(wrong)?;
        let share = share.parse().map_err(|_| wrong())?;
        match kind {
            "uniform" => Ok(Self { asymmetric: false, share }),
            "asymmetric" => Ok(Self { asymmetric: true, share }),
            _ => Err(wrong()),
        }
    }
}

impl Flip {
    /// The corruption of a data set with these classes.
    fn corruption(self, class_names: &[String]) -> Corruption {
        match self.asymmetric {
            true => {
                Corruption::AsymmetricFlip { share: self.share, map: asymmetric_map(class_names) }
            }
            false => Corruption::UniformFlip { share: self.share },
        }
    }
}

/// Labelled examples, of which some are trusted.
pub struct Labelled {
    pub set: Dataset,
    /// File, name or number of each example.
    pub names: Vec<String>,
    /// Which labels were made wrong, in trials.
    pub wrong: Option<Vec<bool>>,
    /// Labels before that.
    pub true_labels: Vec<u32>,
    /// What somebody has decided about already.
    pub decided: Vec<bool>,
    pub clean: Dataset,
    /// What the data keeps for judging.
    pub test: Option<Dataset>,
    /// Names of the trusted examples.
    pub clean_names: Vec<String>,
    /// How the data was read, for people.
    pub notes: Vec<String>,
}

/// Examples as they were read.
struct Named {
    set: Dataset,
    names: Vec<String>,
}

impl Named {
    fn pick(&self, indices: &[usize]) -> Result<Self> {
        let names = indices.iter().map(|&index| self.names[index].clone()).collect();
        Ok(Self { set: self.set.subset(indices)?, names })
    }
}

/// Doubtful examples and, where the data has or is given them, trusted ones.
struct Read {
    doubtful: Named,
    trusted: Option<Named>,
    test: Option<Dataset>,
    notes: Vec<String>,
}

impl DataOptions {
    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        ensure!(self.clean_per_class != Some(0), "--clean-per-class must be at least 1");
        ensure!(self.examples_per_class != Some(0), "--examples-per-class must be at least 1");
        Ok(())
    }

    /// The folders that are read.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.data), self.clean.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The options again, for people to repeat them.
    pub fn arguments(&self) -> String {
        let data = format!("--data {}", quoted(&self.data));
        match (&self.clean, self.clean_per_class) {
            (Some(clean), _) => format!("{data} --clean {}", quoted(clean)),
            (None, Some(count)) => format!("{data} --clean-per-class {count}"),
            (None, None) => data,
        }
    }

    /// Reads the data, takes the trusted examples out of it or from elsewhere, and in trials makes
    /// labels wrong.
    pub fn open_trusted(&self, seed: u32, flip: Option<Flip>) -> Result<Labelled> {
        let seed = u64::from(seed);
        let Read { doubtful, trusted, test, mut notes } = self.read()?;
        let doubtful = doubtful.pick(&first_of_each_class(&doubtful.set, self.examples_per_class))?;
        let (doubtful, clean) = match (trusted, self.clean_per_class) {
            (Some(clean), None) => (doubtful, clean),
            (Some(_), Some(_)) => bail!("the data tells which examples are trusted: take out --clean-per-class"),
            (None, Some(count)) => {
                let (labels, classes) = (&doubtful.set.labels, doubtful.set.classes());
                let split = data::stratified_clean_split(labels, classes, count, seed)?;
                (doubtful.pick(&split.train)?, doubtful.pick(&split.clean)?)
            }
            (None, None) => bail!(
                "which examples are trusted? Give --clean PATH, --clean-per-class N, or a column \
                 '{}' in the data",
                self.table.trusted_column
            ),
        };
        let clean = Named { set: with_classes_of(clean.set, &doubtful.set)?, names: clean.names };
        let doubtful = without_copies(doubtful, &clean.set, &mut notes)?;
        let Named { mut set, names } = doubtful;
        let true_labels = set.labels.clone();
        let wrong = match flip {
            Some(flip) => {
                let corruption = flip.corruption(&set.class_names);
                let classes = set.classes();
                Some(data::apply(&mut set.labels, classes, &corruption, seed)?)
            }
            None => None,
        };
        let decided = vec![false; set.len()];
        let (clean, clean_names) = (clean.set, clean.names);
        Ok(Labelled { set, names, wrong, true_labels, decided, clean, test, clean_names, notes })
    }

    fn read(&self) -> Result<Read> {
        if data::is_table(&self.data) && !is_list_of_pictures(&self.data)? {
            return self.read_tables();
        }
        self.read_pictures()
    }

    fn read_tables(&self) -> Result<Read> {
        let options = self.table.options();
        let table = data::read_table(&self.data, &options)?;
        let all = named(&table)?;
        let notes = vec![format!("{} features a row", table.columns.len())];
        if let Some(path) = &self.clean {
            let clean = data::read_table(path, &options)?;
            ensure!(
                clean.columns == table.columns,
                "{} and {} have other columns: {} and {}",
                self.data.display(),
                path.display(),
                table.columns.join(", "),
                clean.columns.join(", ")
            );
            return Ok(Read { doubtful: all, trusted: Some(named(&clean)?), test: None, notes });
        }
        let Some(mask) = &table.trusted else {
            return Ok(Read { doubtful: all, trusted: None, test: None, notes });
        };
        let (trusted, doubtful): (Vec<usize>, Vec<usize>) =
            (0..table.len()).partition(|index| mask[*index]);
        let trusted = Some(all.pick(&trusted)?);
        Ok(Read { doubtful: all.pick(&doubtful)?, trusted, test: None, notes })
    }
}

/// Name of the CSV's column for the pictures.
const PATH_COLUMN: &str = "path";

impl DataOptions {
    fn read_pictures(&self) -> Result<Read> {
        let options = self.pictures.options();
        if data::is_table(&self.data) {
            ensure!(self.clean.is_none(), "of pictures in a list, its column 'trusted' tells which \
                are trusted: take out --clean");
            let Manifest { train, trusted, test, notes } =
                data::read_manifest(&self.data, &options)?;
            let test = test.map(|part| part.set);
            let trusted = trusted.map(by_files);
            return Ok(Read { doubtful: by_files(train), trusted, test, notes: lines(&notes) });
        }
        let (doubtful, test) = match data::picture_folder(&self.data)? {
            Some(PictureFolder::Classes(folder)) => (folder, None),
            Some(PictureFolder::Splits { train, test, .. }) => (train, test),
            None => return self.read_known_format(&options),
        };
        let folders: Vec<&PathBuf> =
            [Some(&doubtful), self.clean.as_ref(), test.as_ref()].into_iter().flatten().collect();
        let Pictures { parts, notes } = data::read_pictures(&folders, &options)?;
        let mut parts = parts.into_iter();
        let mut next = |wanted: bool| if wanted { parts.next() } else { None };
        let doubtful = next(true).context("the data has no part for training")?;
        let trusted = next(self.clean.is_some()).map(by_files);
        let test = next(test.is_some()).map(|part| part.set);
        Ok(Read { doubtful: by_files(doubtful), trusted, test, notes: lines(&notes) })
    }

    /// CIFAR and MNIST.
    fn read_known_format(&self, options: &PictureOptions) -> Result<Read> {
        let numbered = |set: Dataset| {
            let names = (0..set.len()).map(|index| index.to_string()).collect();
            Named { set, names }
        };
        let (Source { train, test }, notes) = data::open_with(&self.data, options)?;
        let trusted = match &self.clean {
            Some(path) => Some(numbered(data::open_with(path, options)?.0.train)),
            None => None,
        };
        Ok(Read { doubtful: numbered(train), trusted, test: Some(test), notes: lines(&notes) })
    }
}

fn lines(notes: &ReadNotes) -> Vec<String> {
    notes.to_string().lines().map(str::to_owned).collect()
}

fn by_files(part: PicturePart) -> Named {
    let names = part.files.iter().map(|file| data::path_text(file)).collect();
    Named { set: part.set, names }
}

fn named(table: &Table) -> Result<Named> {
    let numbers = || (0..table.len()).map(|index| index.to_string()).collect();
    Ok(Named { set: table.dataset()?, names: table.names.clone().unwrap_or_else(numbers) })
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-:\\".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Whether a table has a column of paths instead of features.
fn is_list_of_pictures(path: &Path) -> Result<bool> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("csv")) {
        return Ok(false);
    }
    let mut reader = csv::Reader::from_path(path).with_context(|| path.display().to_string())?;
    let head = reader.headers().with_context(|| path.display().to_string())?;
    Ok(head.iter().any(|name| name.trim().trim_start_matches('\u{feff}') == PATH_COLUMN))
}

/// The same examples with labels that count the classes of `other`.
fn with_classes_of(mut set: Dataset, other: &Dataset) -> Result<Dataset> {
    let number = |name: &String| other.class_names.iter().position(|known| known == name);
    for label in &mut set.labels {
        let name = &set.class_names[*label as usize];
        let number = number(name);
        ensure!(
            number.is_some(),
            "the trusted class '{name}' is none of the data's: {}",
            other.class_names.join(", ")
        );
        *label = number.unwrap_or_default() as u32;
    }
    set.class_names = other.class_names.clone();
    Ok(set)
}

/// Examples that are trusted elsewhere are not doubtful.
fn without_copies(doubtful: Named, clean: &Dataset, notes: &mut Vec<String>) -> Result<Named> {
    let trusted = data::Contents::of(clean);
    let mut others = Vec::new();
    let (copies, rest): (Vec<usize>, Vec<usize>) =
        (0..doubtful.set.len()).partition(|index| trusted.find(&doubtful.set, *index).is_some());
    if copies.is_empty() {
        return Ok(doubtful);
    }
    for &index in &copies {
        let label = trusted.find(&doubtful.set, index).map(|copy| clean.labels[copy]);
        if label != Some(doubtful.set.labels[index]) {
            others.push(doubtful.names[index].clone());
        }
    }
    notes.push(format!("{} examples are copies of trusted ones: left out", copies.len()));
    if !others.is_empty() {
        notes.push(format!(
            "{} of them have another label than their trusted copy: {}",
            others.len(),
            first_names(&others)
        ));
    }
    doubtful.pick(&rest)
}

/// How many names a message holds.
const TOLD: usize = 10;

fn first_names(names: &[String]) -> String {
    let more = if names.len() > TOLD { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(TOLD)].join(", "))
}

/// Indices of the first examples of each class, in the order of the set; of all without a `count`.
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

impl Labelled {
    /// Refuses classes that nobody vouches for: the examples of such a class would all come out
    /// as doubtful.
    pub fn check_trusted(&self) -> Result<()> {
        let has = |class: usize| self.clean.labels.iter().any(|label| *label as usize == class);
        let names = &self.set.class_names;
        let without: Vec<String> =
            (0..names.len()).filter(|class| !has(*class)).map(|class| names[class].clone()).collect();
        ensure!(
            without.is_empty(),
            "no trusted example of {}: all of their examples would seem doubtful. Add some, or \
             take the classes out of the data",
            first_names(&without)
        );
        Ok(())
    }

    /// Corrects labels, and leaves out what is none of the classes.
    pub fn decide(&mut self, file: &Path) -> Result<()> {
        let decisions = read_decisions(file, &self.names, &self.set.class_names)?;
        let mut keep = Vec::new();
        let [mut right, mut wrong] = [0, 0];
        for (index, decision) in decisions.iter().enumerate() {
            match decision {
                Some(Decision::LeaveOut) => continue,
                Some(Decision::Wrong(label)) => {
                    self.set.labels[index] = *label;
                    wrong += 1;
                }
                Some(Decision::Right) => right += 1,
                None => {}
            }
            keep.push(index);
        }
        let left_out = self.set.len() - keep.len();
        self.notes.push(format!(
            "{}: {right} labels are right, {wrong} corrected, {left_out} examples left out",
            file.display()
        ));
        self.set = self.set.subset(&keep)?;
        self.names = keep.iter().map(|&index| self.names[index].clone()).collect();
        self.decided = keep.iter().map(|&index| decisions[index].is_some()).collect();
        self.true_labels = self.set.labels.clone();
        Ok(())
    }
}
