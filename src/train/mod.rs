//! Training: whole steps ([`Trainer`]), iterations recorded into the application's own encoder
//! ([`Iteration`]), and what both train ([`Model`]).

mod clock;
mod dataset;
mod evaluation;
mod iteration;
mod ledger;
mod model;
mod not_finite;
mod options;
mod recipe;
mod safetensors;
mod schedule;
mod snapshot;
mod step_report;
mod step_ring;
mod trainer;

use thiserror::Error;

use crate::files::FileError;
use crate::gpu::GpuError;
use crate::plan::PlanError;

pub use dataset::ImageSet;
pub use evaluation::{Evaluation, Scores};
pub use iteration::{BatchBuffers, Images, Iteration, Outputs, Slices};
pub use ledger::{Beliefs, WeightLedger};
pub use model::Model;
pub use not_finite::NotFinite;
pub use options::TrainerOptions;
pub use recipe::Recipe;
pub use safetensors::Contents;
pub use schedule::Schedule;
pub use snapshot::{EarlyStopping, Snapshot};
pub use step_report::StepReport;
pub use trainer::Trainer;

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
    /// Safetensors that cannot be read or belong to another network.
    #[error("safetensors: {reason}")]
    Safetensors {
        /// What is wrong, with the tensor where there is one.
        reason: String,
    },
    /// A checkpoint file that cannot be read, or belongs to another network.
    #[error("checkpoint '{path}': {reason}")]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, with the tensor where there is one.
        reason: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A snapshot of another network or optimizer.
    #[error("the snapshot has {found} numbers for '{name}', the network and optimizer {expected}")]
    Snapshot {
        /// The vector: parameters, velocity, second moment or running statistics.
        name: &'static str,
        /// Its length in the snapshot.
        found: usize,
        /// Its length in the network.
        expected: usize,
    },
    /// Weights that a ledger cannot tell the examples of.
    #[error("the ledger: {reason}")]
    Ledger {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Numbers that are not finite; no parameter has followed them.
    #[error(
        "step {step}: not finite: {what}. Take a lower learning rate, look at these examples, or \
         let such steps or examples be left out (TrainerOptions::not_finite)"
    )]
    NotFinite {
        /// The first step that found them, counted from 0.
        step: u64,
        /// Losses and u with the examples' places in the batch, gradients, parameters and running
        /// statistics with the first tensor.
        what: String,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device refused or was lost.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
