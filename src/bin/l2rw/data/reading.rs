//! Reads examples of any kind.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use l2rw::data::{
    self, DataError, Dataset, Manifest, PictureFolder, PictureOptions, PicturePart, Pictures,
    ReadNotes, Source, Table, Values,
};
use l2rw::gpu::Context;

use super::{DataOptions, Flip, Labelled, PictureArguments, TableArguments, first_names};

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

    fn without(&self, class: usize) -> Result<Self> {
        let (set, kept) = without_class(&self.set, class)?;
        Ok(Self { set, names: kept.iter().map(|&index| self.names[index].clone()).collect() })
    }
}

/// What is done where nobody says which examples are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// A few of each class are drawn, and that is said.
    Draw,
    Refuse,
}

/// Trusted examples of each class that are drawn where nobody says how many, unless the smallest
/// class has fewer than five times as many.
const DRAWN: usize = 10;

/// How many are drawn.
fn draw_by_default(set: &Dataset, notes: &mut Vec<String>) -> usize {
    let mut sizes = vec![0; set.classes()];
    set.labels.iter().for_each(|label| sizes[*label as usize] += 1);
    let count = (sizes.into_iter().min().unwrap_or_default() / 5).clamp(1, DRAWN);
    notes.push(format!(
        "nobody said which examples are trusted: {count} of each class were drawn at random, as by \
         --clean-per-class {count}. Look at them (trusted.csv): the result is worth no more than \
         their labels. --clean PATH takes others"
    ));
    count
}

/// Doubtful examples and, where the data has or is given them, trusted ones.
struct Read {
    doubtful: Named,
    trusted: Option<Named>,
    test: Option<Dataset>,
    notes: Vec<String>,
    pictures: Option<ReadNotes>,
    columns: Option<Vec<String>>,
}

impl Read {
    /// Leaves out the examples with these labels, and the classes.
    fn without_labels(mut self, labels: &[String]) -> Result<Self> {
        for label in labels {
            let classes = &self.doubtful.set.class_names;
            let class = classes.iter().position(|name| name == label);
            let Some(class) = class else {
                bail!("--ignore-label {label}: the labels are {}", first_names(classes))
            };
            let before = self.doubtful.set.len();
            self.doubtful = self.doubtful.without(class)?;
            let left_out = before - self.doubtful.set.len();
            ensure!(self.doubtful.set.classes() > 1, "less than two classes are left");
            self.notes.push(format!("{left_out} examples labelled '{label}' are left out"));
            let same = |set: &Dataset| set.class_names.iter().position(|name| name == label);
            if let Some((trusted, class)) =
                self.trusted.as_ref().and_then(|t| Some((t, same(&t.set)?)))
            {
                self.trusted = Some(trusted.without(class)?);
            }
            if let Some((test, class)) = self.test.as_ref().and_then(|t| Some((t, same(t)?))) {
                self.test = Some(without_class(test, class)?.0);
            }
        }
        Ok(self)
    }
}

/// The examples of the other classes, and their indices.
fn without_class(set: &Dataset, class: usize) -> Result<(Dataset, Vec<usize>)> {
    let class = class as u32;
    let kept: Vec<usize> = (0..set.len()).filter(|&index| set.labels[index] != class).collect();
    let mut set = set.subset(&kept)?;
    set.class_names.remove(class as usize);
    for label in set.labels.iter_mut().filter(|label| **label > class) {
        *label -= 1;
    }
    Ok((set, kept))
}

impl DataOptions {
    /// Reads the data, takes the trusted examples out of it or from elsewhere, and in trials makes
    /// labels wrong.
    ///
    /// How large pictures are, where the user does not say, hangs on what the context computes on.
    pub fn open_trusted(
        &self,
        context: &Context,
        seed: u32,
        (flip, untold): (Option<Flip>, Untold),
    ) -> Result<Labelled> {
        let seed = u64::from(seed);
        // Before minutes are spent on reading: only tables and lists can tell by themselves.
        let told = self.clean.is_some() || self.clean_per_class.is_some();
        ensure!(
            data::is_table(&self.data) || told || untold == Untold::Draw,
            "which examples are trusted? Give --clean PATH or --clean-per-class N"
        );
        let read = self.read(context)?.without_labels(&self.ignore_label)?;
        let Read { doubtful, trusted, test, mut notes, pictures, columns } = read;
        let doubtful = match self.examples_per_class {
            Some(count) => doubtful.pick(&doubtful.set.first_of_each_class(count))?,
            None => doubtful,
        };
        let drawn = match (&trusted, self.clean_per_class) {
            (None, None) if untold == Untold::Draw => {
                Some(draw_by_default(&doubtful.set, &mut notes))
            }
            (_, given) => given,
        };
        let (doubtful, clean) = match (trusted, drawn) {
            (Some(clean), None) => (doubtful, clean),
            (Some(_), Some(_)) => {
                bail!("the data tells which examples are trusted: take out --clean-per-class")
            }
            (None, Some(count)) => {
                let (labels, classes) = (&doubtful.set.labels, doubtful.set.classes());
                let split = data::stratified_clean_split(labels, classes, count, seed)
                    .map_err(|error| error.with_class_names(&doubtful.set.class_names))?;
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
        Ok(Labelled {
            set,
            names,
            wrong,
            true_labels,
            decided,
            clean,
            test,
            clean_names,
            notes,
            pictures,
            columns,
        })
    }

    fn read(&self, context: &Context) -> Result<Read> {
        if data::is_table(&self.data) && !is_list_of_pictures(&self.data)? {
            return self.read_tables();
        }
        self.read_pictures(PictureOptions {
            longest_side: Some(longest_side(context)),
            ..self.pictures.options()
        })
    }

    fn read_tables(&self) -> Result<Read> {
        let options = self.table.options();
        let table = data::read_table(&self.data, &options)?;
        let all = named(&table)?;
        let (doubtful, trusted) = match (&self.clean, &table.trusted) {
            (Some(path), _) => {
                // One file of labels cannot be that of two arrays.
                ensure!(
                    self.table.labels.is_none(),
                    "--labels are those of {}: say by --trusted-rows which of its rows are \
                     trusted, or give {} with its labels as .npz",
                    self.data.display(),
                    path.display()
                );
                let clean = data::read_table(path, &options)?;
                ensure!(
                    clean.columns == table.columns,
                    "{} and {} have other columns: {} and {}",
                    self.data.display(),
                    path.display(),
                    first_names(&table.columns),
                    first_names(&clean.columns)
                );
                (all, Some(named(&clean)?))
            }
            (None, None) => (all, None),
            (None, Some(mask)) => {
                let (trusted, doubtful): (Vec<usize>, Vec<usize>) =
                    (0..table.len()).partition(|index| mask[*index]);
                (all.pick(&doubtful)?, Some(all.pick(&trusted)?))
            }
        };
        let notes = vec![format!("{} features a row", table.columns.len())];
        let columns = Some(table.columns);
        Ok(Read { doubtful, trusted, test: None, notes, pictures: None, columns })
    }
}

/// Of pictures whose size the user does not say, in pixels: steps should take a tenth of a second
/// on a GPU and less than a second on a CPU.
fn longest_side(context: &Context) -> usize {
    if context.is_software() { 32 } else { 64 }
}

/// Name of the CSV's column for the pictures.
const PATH_COLUMN: &str = "path";

impl DataOptions {
    fn read_pictures(&self, options: PictureOptions) -> Result<Read> {
        if data::is_table(&self.data) {
            ensure!(
                self.clean.is_none(),
                "in a list of pictures the column 'trusted' tells which are trusted: take out \
                 --clean"
            );
            let Manifest { train, trusted, test, notes } =
                data::read_manifest(&self.data, &options).map_err(with_way_out)?;
            let test = test.map(|part| part.set);
            let trusted = trusted.map(by_files);
            let (doubtful, said) = (by_files(train), lines(&notes));
            let pictures = Some(notes);
            return Ok(Read { doubtful, trusted, test, notes: said, pictures, columns: None });
        }
        let (doubtful, test, unused) = match data::picture_folder(&self.data)? {
            Some(PictureFolder::Classes) => (self.data.clone(), None, Vec::new()),
            Some(PictureFolder::Splits { train: Some(train), test, unused }) => {
                (train, test, unused)
            }
            Some(PictureFolder::Splits { train: None, .. }) => {
                bail!("{} has a test part and none to learn from", self.data.display())
            }
            None => return self.read_known_format(&options),
        };
        let folders: Vec<&PathBuf> =
            [Some(&doubtful), self.clean.as_ref(), test.as_ref()].into_iter().flatten().collect();
        let Pictures { parts, mut notes } =
            data::read_pictures(&folders, &options).map_err(with_way_out)?;
        notes.take_parts(&self.data, test.as_deref(), unused);
        let mut parts = parts.into_iter();
        let mut next = |wanted: bool| if wanted { parts.next() } else { None };
        let doubtful = next(true).context("the data has no part for training")?;
        let trusted = next(self.clean.is_some()).map(by_files);
        let test = next(test.is_some()).map(|part| part.set);
        Ok(Read {
            doubtful: by_files(doubtful),
            trusted,
            test,
            notes: lines(&notes),
            pictures: Some(notes),
            columns: None,
        })
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
        Ok(Read {
            doubtful: numbered(train),
            trusted,
            test: Some(test),
            notes: lines(&notes),
            pictures: None,
            columns: None,
        })
    }
}

/// Adds what to do where pictures cannot be read.
fn with_way_out(error: DataError) -> Error {
    match &error {
        DataError::Unreadable { .. } => {
            anyhow!("{error}\nMend them, or go on without them by --leave-out-unreadable")
        }
        _ => error.into(),
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
    Ok(Named { set: table.dataset()?, names: names_of(table) })
}

fn names_of(table: &Table) -> Vec<String> {
    let numbers = || (0..table.len()).map(|index| index.to_string()).collect();
    table.names.clone().unwrap_or_else(numbers)
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
    ensure!(
        !rest.is_empty(),
        "all {} examples are copies of trusted ones: none is left to be doubted",
        copies.len()
    );
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

/// Examples without labels.
pub struct NewExamples {
    pub values: Values,
    /// File, name or number of each.
    pub names: Vec<String>,
    /// How they were read, for people.
    pub notes: Vec<String>,
}

impl NewExamples {
    /// The rows of a table with these features.
    pub fn of_table(path: &Path, arguments: &TableArguments, columns: &[String]) -> Result<Self> {
        let table = data::read_table(path, &arguments.options())?;
        ensure!(
            table.columns == columns,
            "{} has {} features, {}; the network takes {}, {}",
            path.display(),
            table.columns.len(),
            first_names(&table.columns),
            columns.len(),
            first_names(columns)
        );
        let names = names_of(&table);
        Ok(Self { values: table.values.into(), names, notes: Vec::new() })
    }

    /// A picture, or all in a folder and the folders below it.
    pub fn of_pictures(path: &Path, arguments: &PictureArguments, channels: usize) -> Result<Self> {
        let options = PictureOptions { channels: Some(channels), ..arguments.options() };
        let Pictures { parts, notes } =
            data::read_unlabelled(path, &options).map_err(with_way_out)?;
        let part = parts.into_iter().next().context("there are no pictures")?;
        let Named { set, names } = by_files(part);
        Ok(Self { values: set.values, names, notes: lines(&notes) })
    }
}
