//! Lists of pictures as CSV: for sets that are not sorted into folders.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::DataError;
use super::listing::{TEST, TRAIN};
use super::names::{class_name, natural_order, path_of_bytes, path_of_text};
use super::notes::ReadNotes;
use super::options::PictureOptions;
use super::{PicturePart, reading};

/// Pictures that a list names, read together by [`read_manifest`]. All parts have the classes of
/// the training part.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What is learnt from.
    pub train: PicturePart,
    /// The trusted pictures, where the list marks any.
    pub trusted: Option<PicturePart>,
    /// The test part, where the list has one.
    pub test: Option<PicturePart>,
    /// What was done to the pictures, and what was passed over.
    pub notes: ReadNotes,
}

/// Reads the pictures that a CSV file lists.
///
/// The first line names the columns. `path` (relative to the file's folder, or absolute; a name
/// that is not UTF-8 in its own bytes or as [`path_text`](super::path_text) writes it) and `label`
/// must be there. Lines whose `trusted` is 1, true or yes are the trusted part; 0, false,
/// no and nothing mean that they are not. `split` is `train` or nothing, or `test`; without any
/// line of `test`, `val`, `valid` or `validation` serve. Other columns mean nothing. The classes
/// are the labels of the training part, in natural order. Capital letters make no difference but in
/// paths and labels.
///
/// # Errors
///
/// [`DataError::ManifestLines`] names all lines that are wrong. Otherwise as
/// [`read_pictures`](super::read_pictures).
pub fn read_manifest(csv: &Path, options: &PictureOptions) -> Result<Manifest, DataError> {
    options.check()?;
    let lines = read_lines(csv)?;
    let class_names = class_names(csv, &lines)?;
    let mut notes = ReadNotes::default();
    let test = lines.iter().filter_map(|line| line.kind.test_rank()).min();
    notes.test_part = test.filter(|&rank| rank > 0).map(|rank| PathBuf::from(TEST[rank]));
    let kinds = [Some(Kind::Train), Some(Kind::Trusted), test.map(Kind::Test)];
    let number: HashMap<&String, u32> = class_names.iter().zip(0..).collect();
    let mut parts = ["train", "trusted", "test"]
        .map(|name| reading::Part { name: format!("{} {name}", csv.display()), files: Vec::new() });
    for line in lines {
        match kinds.iter().position(|&kind| kind == Some(line.kind)) {
            // All labels have a number: that was checked.
            Some(part) => parts[part].files.push((line.path, number[&line.label])),
            None => notes.pass_over(csv.to_owned(), "lines of another test part", 1),
        }
    }
    let is_there = parts.each_ref().map(|part| !part.files.is_empty());
    let wanted = parts.into_iter().filter(|part| !part.files.is_empty()).collect();
    let read = reading::read(&class_names, wanted, options, notes)?;
    let mut read_parts = read.parts.into_iter();
    let [train, trusted, test] =
        is_there.map(|is_there| if is_there { read_parts.next() } else { None });
    let train = train.ok_or_else(|| no_training_part(csv))?;
    Ok(Manifest { train, trusted, test, notes: read.notes })
}

fn no_training_part(csv: &Path) -> DataError {
    let reason = "no line below is of the training part".to_owned();
    DataError::ManifestLines { path: csv.to_owned(), lines: vec![(1, reason)] }
}

/// What a picture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Train,
    Trusted,
    /// With the place of its name in [`TEST`].
    Test(usize),
}

impl Kind {
    fn test_rank(self) -> Option<usize> {
        match self {
            Self::Test(rank) => Some(rank),
            Self::Train | Self::Trusted => None,
        }
    }
}

struct Line {
    number: u64,
    path: PathBuf,
    label: String,
    kind: Kind,
}

/// Where each column is.
struct Columns {
    path: usize,
    label: usize,
    trusted: Option<usize>,
    split: Option<usize>,
}

fn read_lines(csv: &Path) -> Result<Vec<Line>, DataError> {
    let bytes = std::fs::read(csv).map_err(|reason| DataError::Io {
        path: csv.to_owned(),
        action: "read",
        reason,
    })?;
    let of_lines = |lines| DataError::ManifestLines { path: csv.to_owned(), lines };
    // Spreadsheets put it before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|reason| of_lines(vec![(1, reason.to_string())]))?;
    let columns = Columns::find(header).map_err(|reason| of_lines(vec![(1, reason)]))?;
    let width = header.len();
    let folder = csv.parent().unwrap_or(Path::new(""));
    let (mut lines, mut wrong, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    for record in reader.byte_records() {
        let record = match record {
            Ok(record) => record,
            Err(reason) => {
                wrong.push((reason.position().map_or(0, csv::Position::line), reason.to_string()));
                break;
            }
        };
        let number = record.position().map_or(0, csv::Position::line);
        match columns.line(number, &record, width, folder) {
            Ok(line) if !known.insert(line.path.clone()) => {
                wrong.push((number, format!("{} is listed before", line.path.display())));
            }
            Ok(line) => lines.push(line),
            Err(reason) => wrong.push((number, reason)),
        }
    }
    if wrong.is_empty() && lines.is_empty() {
        wrong.push((1, "no line follows the names of the columns".to_owned()));
    }
    if wrong.is_empty() { Ok(lines) } else { Err(of_lines(wrong)) }
}

impl Columns {
    fn find(header: &csv::ByteRecord) -> Result<Self, String> {
        let find = |name: &str| {
            header.iter().position(|field| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        let require = |name| {
            find(name).ok_or_else(|| {
                format!("no column {name:?}: the first line must name the columns path and label")
            })
        };
        let (path, label) = (require("path")?, require("label")?);
        Ok(Self { path, label, trusted: find("trusted"), split: find("split") })
    }

    fn line(
        &self,
        number: u64,
        record: &csv::ByteRecord,
        width: usize,
        folder: &Path,
    ) -> Result<Line, String> {
        if record.len() != width {
            return Err(format!("{} fields, though {width} columns are named", record.len()));
        }
        let field = |at: usize| record[at].trim_ascii();
        let (path, label) = (&record[self.path], field(self.label));
        if path.is_empty() || label.is_empty() {
            return Err("path or label is empty".to_owned());
        }
        let label = std::str::from_utf8(label)
            .map_err(|_| "the label is not UTF-8: save the file as UTF-8".to_owned())?;
        let trusted = self.trusted.map_or(Ok(false), |at| flag(field(at)))?;
        let split = self.split.map_or(&b""[..], field);
        let kind = kind(trusted, split)?;
        let label = class_name(label.as_ref());
        Ok(Line { number, path: path_of(path, folder)?, label, kind })
    }
}

/// The picture that a field names: by the text of [`path_text`](super::path_text), as audits write
/// names that are not UTF-8, or by its very bytes.
fn path_of(field: &[u8], folder: &Path) -> Result<PathBuf, String> {
    let written = std::str::from_utf8(field).ok().and_then(path_of_text);
    if let Some(path) = written.map(|path| folder.join(path)).filter(|path| path.exists()) {
        return Ok(path);
    }
    let path = path_of_bytes(field).ok_or_else(|| "the path is not UTF-8".to_owned())?;
    Ok(folder.join(path))
}

fn flag(text: &[u8]) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_slice() {
        b"1" | b"true" | b"yes" => Ok(true),
        b"0" | b"false" | b"no" | b"" => Ok(false),
        _ => {
            let text = String::from_utf8_lossy(text);
            Err(format!("trusted is {text:?}: it must be 1, 0, true, false, yes or no"))
        }
    }
}

fn kind(trusted: bool, split: &[u8]) -> Result<Kind, String> {
    let is = |name: &&str| split.eq_ignore_ascii_case(name.as_bytes());
    let test = TEST.iter().position(is);
    match test {
        Some(_) if trusted => {
            Err("a picture of the test part cannot be trusted as well".to_owned())
        }
        Some(rank) => Ok(Kind::Test(rank)),
        None if !split.is_empty() && !TRAIN.iter().any(is) => {
            let (text, others) = (String::from_utf8_lossy(split), TEST.join(", "));
            Err(format!("split is {text:?}: it must be train, {others} or empty"))
        }
        None if trusted => Ok(Kind::Trusted),
        None => Ok(Kind::Train),
    }
}

/// The labels of the training part, in natural order; those of all others must be among them.
fn class_names(csv: &Path, lines: &[Line]) -> Result<Vec<String>, DataError> {
    let of_train = lines.iter().filter(|line| line.kind == Kind::Train);
    let known: HashSet<&String> = of_train.map(|line| &line.label).collect();
    if known.is_empty() {
        return Err(no_training_part(csv));
    }
    let unknown = lines.iter().filter(|line| !known.contains(&line.label));
    let reason = |line: &Line| format!("no line of the training part has label {:?}", line.label);
    let wrong: Vec<_> = unknown.map(|line| (line.number, reason(line))).collect();
    if !wrong.is_empty() {
        return Err(DataError::ManifestLines { path: csv.to_owned(), lines: wrong });
    }
    let mut names: Vec<String> = known.into_iter().cloned().collect();
    names.sort_by(|left, right| natural_order(left.as_bytes(), right.as_bytes()));
    Ok(names)
}
