//! Everything that can go wrong while writing a report.

use std::path::PathBuf;

use crate::files::FileError;

/// Why a report could not be made, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
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
