//! Training: whole steps ([`Trainer`]), iterations recorded into the application's own encoder
//! ([`Iteration`]), and what both train ([`Model`]).

mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
mod checkpoint_series;
mod clock;
mod data_sets;
mod distributed;
mod evaluation;
mod examples;
mod exchanges;
mod host_batch;
mod host_state;
mod iteration;
mod ledger;
mod model;
mod not_finite;
mod on_sets;
mod options;
mod prediction;
pub mod ranks;
mod recipe;
#[cfg(not(target_arch = "wasm32"))]
mod recovery;
mod run_description;
mod safetensors;
mod saved_model;
mod schedule;
mod scorer;
mod snapshot;
mod source;
mod state_dict;
mod step_report;
mod step_ring;
mod stream;
mod traffic;
mod trainer;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::FileError;
use crate::gpu::GpuError;
use crate::plan::PlanError;

pub use checkpoint::Checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub use checkpoint_series::{CheckpointSeries, NewestCheckpoint};
pub use data_sets::{Placement, Placements};
pub use evaluation::Evaluation;
pub use examples::Examples;
pub use host_state::HostState;
pub use iteration::{BatchBuffers, Images, Iteration, Outputs, Slices};
pub use ledger::{Beliefs, WeightLedger};
pub use model::Model;
pub use not_finite::NotFinite;
pub use options::TrainerOptions;
pub use prediction::{Predictions, Predictor};
#[cfg(feature = "mpi")]
pub use ranks::MpiRanks;
pub use ranks::{Ranks, RanksError, ThreadRanks};
pub use recipe::Recipe;
#[cfg(not(target_arch = "wasm32"))]
pub use recovery::Recovering;
pub use run_description::Difference;
pub use safetensors::Contents;
pub use saved_model::SavedModel;
pub use schedule::{Cosine, Schedule};
pub use scorer::Scores;
pub use snapshot::{EarlyStopping, Snapshot};
pub use source::{ExampleSource, SourceError, ValuesMut};
pub use state_dict::{LastLayer, Loaded};
pub use step_report::StepReport;
pub use traffic::Traffic;
pub use trainer::Trainer;

pub use crate::plan::Values;

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
    /// An example that its source cannot read.
    #[error("the {which} set: example {example} cannot be read: {reason}")]
    Source {
        /// Training, clean or evaluation.
        which: &'static str,
        /// Which example.
        example: usize,
        /// What the source says.
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
    /// A checkpoint file that cannot be read, is damaged, or belongs to another network.
    #[error("checkpoint '{}': {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor where there is one.
        reason: String,
    },
    /// A checkpoint of a run that was made of something else. To go on with it, take its options
    /// and data; to start from its parameters, load [`Contents::Parameters`].
    #[error(
        "{} is of another run: {}; take what it was made with, or load its parameters alone",
        path.as_ref().map_or("the file".into(), |path| format!("'{}'", path.display())),
        run_description::list(differences)
    )]
    OtherRun {
        /// The file, where it is known.
        path: Option<PathBuf>,
        /// What differs: options of the trainer, data sets, layers.
        differences: Vec<Difference>,
    },
    /// What a program put into a checkpoint is not what it looks for.
    #[error("state of the program in the checkpoint, '{name}': {reason}")]
    HostState {
        /// The vector.
        name: String,
        /// What is wrong.
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
    /// Ranks that train together and cannot.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device refused or was lost.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl TrainError {
    /// The error with the name of the file that it is about.
    fn in_file(self, path: &Path) -> Self {
        let path = path.to_owned();
        match self {
            Self::Safetensors { reason } => Self::Checkpoint { path, reason },
            Self::OtherRun { differences, .. } => Self::OtherRun { path: Some(path), differences },
            other => other,
        }
    }
}
