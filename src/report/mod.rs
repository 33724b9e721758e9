//! What people look at: results as JSON, statistics, tables, progress and PNG plots.
//!
//! Nothing here knows about GPUs or training: plain structs go in, files and strings come out, so
//! the same reports can be drawn again later from a `results.json`.

pub mod audit;
pub mod error;
pub mod plots;
pub mod progress;
pub mod published;
pub mod results;
pub mod runs;
pub mod stats;
pub mod table;

pub use error::ReportError;
pub use progress::{DownloadProgress, StepProgress, StepView, download_bar};
pub use published::{Published, PublishedDataset, Setting, published};
pub use results::{CurvePoint, MethodResult, Results, ReweightingResult};
