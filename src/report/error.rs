//! Everything that can go wrong while writing a report.

use std::io;
use std::path::PathBuf;

/// Why a report could not be made, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The output directory does not exist and could not be made.
    #[error(
        "cannot create the output directory {}: {source}; choose another directory, or make its \
         parent writable", path.display()
    )]
    CreateDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The output directory exists, but files cannot be made in it.
    #[error(
        "cannot create files in the output directory {}: {source}; choose another directory, or \
         make this one writable and check that the disk is not full", path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be written; what was there before is untouched.
    #[error(
        "cannot write {}: {source}; check that its directory exists and is writable and that the \
         disk is not full", path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that it exists and is readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not the JSON of a [`Results`](super::Results).
    #[error(
        "{} does not hold results as this version writes them: {source}; run the experiment again",
        path.display()
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where the text departs from what was expected.
        source: serde_json::Error,
    },
    /// Results could not be turned into JSON.
    #[error("cannot express the results for {} as JSON: {source}", path.display())]
    Serialize {
        /// The file that was to be written.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// The drawing library refused.
    #[error("cannot draw {}: {reason}", path.display())]
    Draw {
        /// The picture that was to be written.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The picture was drawn but could not be encoded.
    #[error("cannot encode {} as PNG: {source}", path.display())]
    Encode {
        /// The picture that was to be written.
        path: PathBuf,
        /// The reason.
        source: image::ImageError,
    },
    /// The caller's data contradict each other.
    #[error("{what}: {problem}; {remedy}")]
    Input {
        /// Which data.
        what: String,
        /// How they contradict each other.
        problem: String,
        /// What to pass instead.
        remedy: &'static str,
    },
}
