//! What can be wrong with a data set. Every message says what to do about it.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::pictures::{FORMATS, path_text};

/// Everything that can be wrong with a data set or with what is asked of one.
///
/// Messages name the file, the byte offset or the example, what was expected and found there,
/// and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused an operation on a file or folder.
    #[error("{}: cannot {action}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted: completes "cannot …".
        action: &'static str,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Nothing in the folder, nor one level below it, is a data set.
    #[error(
        "{}: no data set found here or one folder down. Looked for:{looked_for}",
        path.display()
    )]
    NotRecognised {
        /// The folder that was searched.
        path: PathBuf,
        /// One line for each format.
        looked_for: String,
    },
    /// There are IDX files, but none is called as MNIST's are.
    #[error(
        "{}: an IDX file, but which of the four is it? Call them {names}",
        path.display()
    )]
    MisnamedIdx {
        /// One that was found.
        path: PathBuf,
        /// What they must be called.
        names: String,
    },
    /// A file was given where a folder is needed.
    #[error(
        "{}: not a folder; give the folder that holds the data set (unpack archives first)",
        path.display()
    )]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// More than one data set is one level below the folder.
    #[error(
        "{}: holds more than one data set; name one of them:{}",
        path.display(),
        listed(candidates)
    )]
    Ambiguous {
        /// The folder that was searched.
        path: PathBuf,
        /// The folders that hold a data set.
        candidates: Vec<PathBuf>,
    },
    /// A file or folder that the format requires is absent.
    #[error(
        "{}: missing, though {} holds a {format} data set; put the whole data set there",
        path.display(),
        folder.display()
    )]
    Missing {
        /// The absent file or folder.
        path: PathBuf,
        /// The folder it should be in.
        folder: PathBuf,
        /// The format that requires it.
        format: &'static str,
    },
    /// A file does not have the size that its header or its siblings imply.
    #[error(
        "{}: expected {expected} bytes ({because}), found {found}{}; get the file again",
        path.display(),
        if found < expected { ": it is truncated" } else { "" }
    )]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Size in bytes that it should have, after decompression where it is compressed.
        expected: u64,
        /// Size in bytes that it has.
        found: u64,
        /// Where the expectation comes from.
        because: String,
    },
    /// A file does not start with the header of its format.
    #[error("{}: byte {offset}: expected {expected}, found {found}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Byte offset of the wrong field, after decompression.
        offset: u64,
        /// What the format has there.
        expected: String,
        /// What the file has there.
        found: String,
    },
    /// A label in a file is not one of its classes.
    #[error(
        "{}: byte {offset}: label {label} is not below {classes}, the number of classes; \
         the file is damaged or of another data set",
        path.display()
    )]
    LabelInFile {
        /// The file.
        path: PathBuf,
        /// Byte offset of the label, after decompression.
        offset: u64,
        /// The label found there.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A file uses a label although no example has a smaller one.
    #[error(
        "{}: byte {offset}: label {label}, though no example has label {absent}; \
         labels must run from 0 without gaps",
        path.display()
    )]
    LabelGap {
        /// The file.
        path: PathBuf,
        /// Byte offset of the label, after decompression.
        offset: u64,
        /// The label found there.
        label: u32,
        /// The smallest label that no example has.
        absent: u32,
    },
    /// A table of numbers cannot be used.
    #[error(
        "{}: {}{}",
        path.display(),
        faults.join("; "),
        if *count > faults.len() { format!("; and {} more", count - faults.len()) }
        else { String::new() }
    )]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong, the first ten places.
        faults: Vec<String>,
        /// In how many places.
        count: usize,
    },
    /// A file of class names does not have one line for each class.
    #[error("{}: expected {expected} class names, one a line, found {found}", path.display())]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// The number of classes of the data set.
        expected: usize,
        /// The number of names found.
        found: usize,
    },
    /// A class folder has no pictures.
    #[error(
        "{}: no {FORMATS} picture in this class folder{}; add some or remove it",
        path.display(),
        if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) }
    )]
    EmptyClassFolder {
        /// The class folder.
        path: PathBuf,
        /// What was found there instead: `3 .heic`.
        others: Vec<String>,
    },
    /// A split of an image folder has no class folders.
    #[error(
        "{}: no class folders; put each class's images in a folder of its own here",
        path.display()
    )]
    NoClasses {
        /// The folder of one part.
        path: PathBuf,
    },
    /// A part of an image folder has a class that another part lacks.
    #[error(
        "{}: class folder missing, though {} exists; add it or remove the other",
        missing.display(),
        present.display()
    )]
    UnmatchedClass {
        /// The class folder that exists.
        present: PathBuf,
        /// Its absent counterpart.
        missing: PathBuf,
    },
    /// Pictures cannot be read.
    #[error("{} picture(s) cannot be read:{}", files.len(), named(files))]
    Unreadable {
        /// All of them, with the reason.
        files: Vec<(PathBuf, String)>,
    },
    /// Lines of a list of pictures are wrong.
    #[error("{}: {} wrong line(s):{}", path.display(), lines.len(), numbered(lines))]
    ManifestLines {
        /// The CSV file.
        path: PathBuf,
        /// All of them, by their numbers from 1, with the reason.
        lines: Vec<(u64, String)>,
    },
    /// An option for reading pictures cannot be met.
    #[error("{option} of pictures: {reason}")]
    PictureOption {
        /// The field of [`PictureOptions`](super::PictureOptions).
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The values of a data set do not have the length that its shape implies.
    #[error(
        "{data_set}: {examples} examples of {}x{}x{} (height, width, channels) need \
         {} values, found {found}",
        shape[0], shape[1], shape[2], product(*examples, shape)
    )]
    Shape {
        /// Name of the data set.
        data_set: String,
        /// Number of labels, N.
        examples: usize,
        /// `[H, W, C]`, none of which may be zero.
        shape: [usize; 3],
        /// Number of values.
        found: usize,
    },
    /// Two data sets that cannot become one.
    #[error(
        "{other} cannot be added to {data_set}: the shape of the examples, the number of classes \
         or the kind of values (bytes or floats) differs"
    )]
    Unlike {
        /// Name of the set that was to grow.
        data_set: String,
        /// Name of the other.
        other: String,
    },
    /// A label is not one of the classes.
    #[error("label {label} of example {index} is not below {classes}, the number of classes")]
    LabelOutOfRange {
        /// Index of the example.
        index: usize,
        /// Its label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A class has no examples.
    #[error(
        "{data_set}: class {class} ({class_name:?}) has no examples; add some or drop the class"
    )]
    EmptyClass {
        /// Name of the data set.
        data_set: String,
        /// Number of the class.
        class: usize,
        /// Name of the class.
        class_name: String,
    },
    /// An example was asked for that does not exist.
    #[error("example {index} does not exist: the data set has {len}")]
    IndexOutOfRange {
        /// Index asked for.
        index: usize,
        /// Number of examples.
        len: usize,
    },
    /// A share of examples to corrupt is not a number from 0 to 1.
    #[error("share of corrupted labels {share} is not from 0 to 1")]
    Share {
        /// The share given.
        share: f64,
    },
    /// A class named in a corruption does not exist.
    #[error("{role} class {class} is not below {classes}, the number of classes")]
    NoSuchClass {
        /// What the class was to be: background, source, target.
        role: &'static str,
        /// Number of the class.
        class: u32,
        /// The number of classes.
        classes: usize,
    },
    /// An asymmetric map gives one class two targets.
    #[error("class {class} has more than one target in the asymmetric map; give it one")]
    RepeatedSource {
        /// Number of the class.
        class: u32,
    },
    /// There is no other class to change a label to.
    #[error(
        "labels cannot be changed to another class with {classes} class(es); at least {needed} are \
         needed"
    )]
    TooFewClasses {
        /// The number of classes.
        classes: usize,
        /// The least that the corruption makes sense with.
        needed: usize,
    },
    /// An imbalance factor is not a number of at least 1.
    #[error(
        "imbalance factor {factor} (largest class over smallest) is not a number of at least 1"
    )]
    ImbalanceFactor {
        /// The factor given.
        factor: f64,
    },
    /// An imbalance factor leaves a class without examples.
    #[error(
        "imbalance factor {factor} leaves class {} without examples: the largest class has \
         {largest}; choose a smaller factor",
        named_class(*class, class_name)
    )]
    ImbalanceEmpties {
        /// The factor given.
        factor: f64,
        /// Number of the class.
        class: usize,
        /// Its name, where [`DataError::with_class_names`] gave it one.
        class_name: Option<String>,
        /// Size of the largest class.
        largest: usize,
    },
    /// A clean split of no examples was asked for.
    #[error("a clean split needs at least 1 example of each class, 0 were asked for")]
    NoCleanExamples,
    /// A class is too small for the clean split.
    #[error(
        "class {} has {size} examples, too few to take {per_class} clean ones out and leave one to \
         train on; ask for fewer clean examples a class",
        named_class(*class, class_name)
    )]
    ClassTooSmall {
        /// Number of the class.
        class: usize,
        /// Its name, where [`DataError::with_class_names`] gave it one.
        class_name: Option<String>,
        /// Its number of examples.
        size: usize,
        /// Clean examples asked for.
        per_class: usize,
    },
    /// A download failed.
    #[error(
        "{url}: download failed after {received} bytes: {reason}; try again, or unpack the \
         archive by hand in {}",
        folder.display()
    )]
    Download {
        /// The address.
        url: String,
        /// Bytes received before the failure.
        received: u64,
        /// What went wrong.
        reason: String,
        /// The folder where the unpacked data set belongs.
        folder: PathBuf,
    },
    /// A download is not the file that was expected.
    #[error(
        "{url}: expected {expected_bytes} bytes with SHA-256 {expected}, found {found_bytes} bytes \
         with SHA-256 {found}; nothing was kept, try again or another mirror"
    )]
    Checksum {
        /// The address.
        url: String,
        /// Size in bytes that it should have.
        expected_bytes: u64,
        /// SHA-256 it should have, in hexadecimal.
        expected: String,
        /// Size in bytes of what was received.
        found_bytes: u64,
        /// SHA-256 of what was received, in hexadecimal.
        found: String,
    },
    /// The system does not say where caches go.
    #[error("no home folder found to keep downloads in; set HOME or name a folder")]
    NoCacheFolder,
}

impl DataError {
    /// The same error, but with the names of classes where it has numbers: what counts labels does
    /// not know their names.
    pub fn with_class_names(mut self, class_names: &[String]) -> Self {
        if let Self::ClassTooSmall { class, class_name, .. }
        | Self::ImbalanceEmpties { class, class_name, .. } = &mut self
        {
            *class_name = class_names.get(*class).cloned();
        }
        self
    }
}

fn named_class(class: usize, name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| class.to_string(), |name| format!("{name:?}"))
}

fn product(examples: usize, shape: &[usize; 3]) -> String {
    if shape.contains(&0) {
        return "no dimension to be zero and some".to_owned();
    }
    let factors = shape.iter().map(|&factor| factor as u128);
    let bytes = factors.chain([examples as u128]).try_fold(1_u128, u128::checked_mul);
    bytes.map_or_else(|| "too many".to_owned(), |bytes| bytes.to_string())
}

/// The first ten of `files` with their reasons, and how many more there are.
pub(super) fn named(files: &[(PathBuf, String)]) -> String {
    first_few(files.iter().map(|(path, reason)| format!("{}: {reason}", path_text(path))))
}

fn numbered(lines: &[(u64, String)]) -> String {
    first_few(lines.iter().map(|(number, reason)| format!("line {number}: {reason}")))
}

fn first_few(lines: impl ExactSizeIterator<Item = String>) -> String {
    const NAMED: usize = 10;
    let more = lines.len().saturating_sub(NAMED);
    let mut text: String = lines.take(NAMED).map(|line| format!("\n  {line}")).collect();
    if more > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  and {more} more");
    }
    text
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().fold(String::new(), |mut text, path| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}", path.display());
        text
    })
}
