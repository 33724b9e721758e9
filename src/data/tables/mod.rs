//! Tables of numbers with labels: feature vectors of any kind, such as the embeddings of an
//! encoder. One row is one example.

mod csv;
mod headers;
mod numpy;
mod parquet;

use std::path::{Path, PathBuf};

use super::bounds::{DEFLATE_INFLATION, without_panic};
use super::pictures::natural_order;
use super::{DataError, Dataset};

/// What the columns of a table are for. Every column without a purpose is a feature.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Column, or array of an `.npz`, with the labels: names or integers.
    pub label: String,
    /// Column, or array, that tells which rows are trusted: 1 or 0, true or false, yes or no.
    pub trusted: String,
    /// Column with a name for each row.
    pub name: Option<String>,
    /// Columns that are left out.
    pub ignored: Vec<String>,
    /// For an `.npy`, which holds one array: the file of the labels.
    pub labels_file: Option<PathBuf>,
    /// The same for what is trusted: a truth value for each row, or the numbers of rows.
    pub trusted_file: Option<PathBuf>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            label: "label".into(),
            trusted: "trusted".into(),
            name: None,
            ignored: Vec::new(),
            labels_file: None,
            trusted_file: None,
        }
    }
}

/// Rows of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Where it is from, for people.
    pub name: String,
    /// Names of the features; numbers for arrays.
    pub columns: Vec<String>,
    /// `[n, columns]`, all finite.
    pub values: Vec<f32>,
    /// `[n]`
    pub labels: Option<Vec<String>>,
    /// `[n]`
    pub trusted: Option<Vec<bool>>,
    /// `[n]`
    pub names: Option<Vec<String>>,
}

/// Endings of the files that [`read_table`] reads.
pub const TABLE_EXTENSIONS: [&str; 6] = ["csv", "tsv", "npy", "npz", "parquet", "pq"];

/// Whether the name of a file is that of a table.
pub fn is_table(path: &Path) -> bool {
    TABLE_EXTENSIONS.contains(&extension(path).as_str())
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Reads a table: `.npy`, `.npz`, `.csv`, `.tsv` or `.parquet`.
///
/// Numbers of every width become `f32`. In a Parquet file a column may hold a list of numbers, of
/// one length in all rows, which becomes as many features.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::Table`] with all that is wrong in the file, the first ten
/// places by row and column: text among the features, numbers that are missing, not finite or too
/// large for `f32`, rows of other lengths.
pub fn read_table(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let regular = std::fs::metadata(path).map_err(|reason| io(path, reason))?.is_file();
    if !regular {
        return Err(wrong(path, "it is no regular file".into()));
    }
    without_panic(|| Ok(by_kind(path, options))).unwrap_or_else(|reason| Err(wrong(path, reason)))
}

fn by_kind(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let apart = [&options.labels_file, &options.trusted_file];
    match extension(path).as_str() {
        "npy" => numpy::read_npy(path, options),
        other if apart.iter().any(|file| file.is_some()) => {
            let reason = format!("only an .npy has its labels in a file of their own, no .{other}");
            Err(wrong(path, reason))
        }
        "npz" => numpy::read_npz(path, options),
        "csv" => csv::read(path, b',', options),
        "tsv" => csv::read(path, b'\t', options),
        "parquet" | "pq" => parquet::read(path, options),
        other => {
            let known = TABLE_EXTENSIONS.join(", .");
            Err(wrong(path, format!("no table ends in '.{other}'; read are .{known}")))
        }
    }
}

impl Table {
    /// Number of rows, n.
    pub fn len(&self) -> usize {
        self.values.len() / self.columns.len().max(1)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The labelled rows as a data set of features. Classes come in the order of their names,
    /// numbers among them by value.
    ///
    /// # Errors
    /// [`DataError::Table`] without labels.
    pub fn dataset(&self) -> Result<Dataset, DataError> {
        let Some(labels) = &self.labels else {
            let reason = "its rows have no labels".to_owned();
            return Err(wrong(Path::new(&self.name), reason));
        };
        let mut classes = labels.clone();
        let order = |a: &String, b: &String| natural_order(a.as_bytes(), b.as_bytes());
        classes.sort_by(order);
        classes.dedup();
        let number = |label: &String| {
            classes.binary_search_by(|class| order(class, label)).unwrap_or_default()
        };
        let numbers = labels.iter().map(|label| number(label) as u32).collect();
        let (name, width, values) = (self.name.clone(), self.columns.len(), self.values.clone());
        Dataset::features(name, width, classes, values, numbers)
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Feature,
    Label,
    Trusted,
    Name,
    Ignored,
}

impl TableOptions {
    fn role(&self, column: &str) -> Role {
        match column {
            _ if self.ignored.iter().any(|name| name == column) => Role::Ignored,
            _ if self.name.as_deref() == Some(column) => Role::Name,
            _ if self.label == column => Role::Label,
            _ if self.trusted == column => Role::Trusted,
            _ => Role::Feature,
        }
    }

    /// Refuses names that are asked for and not there; the defaults may be absent.
    fn check(&self, path: &Path, columns: &[String]) -> Result<(), DataError> {
        let default = Self::default();
        let asked = [&self.label, &self.trusted].into_iter().chain(&self.name);
        let asked = asked.filter(|name| ![&default.label, &default.trusted].contains(name));
        match asked.chain(&self.ignored).find(|name| !columns.contains(name)) {
            Some(name) => {
                let known = columns.join(", ");
                Err(wrong(path, format!("it has no column '{name}'; it has {known}")))
            }
            None => Ok(()),
        }
    }
}

/// How many faults of a file are told one by one.
const TOLD: usize = 10;

/// What is wrong in a file, as far as it is told.
#[derive(Default)]
struct Faults {
    first: Vec<String>,
    count: usize,
}

impl Faults {
    fn add(&mut self, fault: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(fault());
        }
    }

    fn end(self, path: &Path) -> Result<(), DataError> {
        match self.count {
            0 => Ok(()),
            count => {
                let (path, faults) = (path.to_owned(), self.first);
                Err(DataError::Table { path, faults, count })
            }
        }
    }
}

fn wrong(path: &Path, reason: String) -> DataError {
    DataError::Table { path: path.to_owned(), faults: vec![reason], count: 1 }
}

fn io(path: &Path, reason: std::io::Error) -> DataError {
    DataError::Io { path: path.to_owned(), action: "read", reason }
}

/// What is said of a file, without the whole of the file.
fn shortened(reason: &str) -> String {
    const LONGEST: usize = 200;
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// A number as `f32`, where that is finite.
fn narrowed(value: f64) -> Option<f32> {
    let narrow = value as f32;
    narrow.is_finite().then_some(narrow)
}

/// A truth value as people write it.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "1.0" | "true" | "yes" => Some(true),
        "0" | "0.0" | "false" | "no" | "" => Some(false),
        _ => None,
    }
}

/// Rows that are read one cell after the other.
struct Rows<'a> {
    roles: Vec<Role>,
    columns: &'a [String],
    table: Table,
    faults: Faults,
}

impl<'a> Rows<'a> {
    fn new(path: &Path, columns: &'a [String], options: &TableOptions) -> Result<Self, DataError> {
        options.check(path, columns)?;
        let roles: Vec<Role> = columns.iter().map(|name| options.role(name)).collect();
        let of = |role| roles.contains(&role).then(Vec::new);
        let table = Table {
            name: path.display().to_string(),
            columns: Vec::new(),
            values: Vec::new(),
            labels: of(Role::Label),
            trusted: roles.contains(&Role::Trusted).then(Vec::new),
            names: of(Role::Name),
        };
        Ok(Self { roles, columns, table, faults: Faults::default() })
    }

    /// A feature of a row, which stands at `place` for people.
    fn number(&mut self, value: Option<f64>, text: &str, place: &str, column: usize) {
        match value.and_then(narrowed) {
            Some(value) => self.table.values.push(value),
            None => {
                let name = &self.columns[column];
                self.faults.add(|| match shortened(text).as_str() {
                    "" => format!("{place}, column '{name}': nothing"),
                    text => format!("{place}, column '{name}': '{text}' is no finite number"),
                });
            }
        }
    }

    /// Any other cell of a row.
    fn text(&mut self, text: &str, place: &str, column: usize) {
        match self.roles[column] {
            Role::Label if text.is_empty() => {
                self.faults.add(|| format!("{place}: no label"));
            }
            Role::Label => self.table.labels.iter_mut().for_each(|all| all.push(text.into())),
            Role::Name => self.table.names.iter_mut().for_each(|all| all.push(text.into())),
            Role::Trusted => match truth(text) {
                Some(value) => {
                    self.table.trusted.iter_mut().for_each(|all| all.push(value));
                }
                None => {
                    let name = &self.columns[column];
                    self.faults.add(|| {
                        let text = shortened(text);
                        format!("{place}, column '{name}': '{text}' is none of 1, 0, true, false")
                    });
                }
            },
            Role::Ignored | Role::Feature => {}
        }
    }

    fn end(mut self, path: &Path, features: Vec<String>) -> Result<Table, DataError> {
        if self.faults.count == 0 && self.table.values.is_empty() {
            self.faults.add(|| match features.is_empty() {
                true => "no column holds features".into(),
                false => "it has no rows".into(),
            });
        }
        self.faults.end(path)?;
        self.table.columns = features;
        Ok(self.table)
    }
}
