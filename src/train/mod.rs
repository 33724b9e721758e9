//! The training loop: data sets on the device, one submission a step, results read back late.

mod checkpoint;
mod dataset;
mod ledger;
mod recipe;
mod schedule;
mod snapshot;
mod trainer;

use thiserror::Error;

use crate::gpu::GpuError;
use crate::plan::PlanError;

pub use dataset::ImageSet;
pub use ledger::WeightLedger;
pub use recipe::Recipe;
pub use schedule::Schedule;
pub use snapshot::{EarlyStopping, Snapshot};
pub use trainer::{Evaluation, StepReport, Trainer, TrainerOptions};

/// What can go wrong while training.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A data set that does not fit together.
    #[error("the {which} set: {reason}")]
    Dataset {
        /// Training, clean or test.
        which: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An option out of range.
    #[error("{option} is {value}: it must be {allowed}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A checkpoint that cannot be written, read, or belongs to another network.
    #[error("checkpoint '{path}': {reason}")]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, with the tensor where there is one.
        reason: String,
    },
    /// A snapshot of another network.
    #[error("the snapshot has {found} numbers for '{name}', the network {expected}")]
    Snapshot {
        /// The vector: parameters, velocity or running statistics.
        name: &'static str,
        /// Its length in the snapshot.
        found: usize,
        /// Its length in the network.
        expected: usize,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device refused or was lost.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
