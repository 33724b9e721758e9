//! What a plan cannot be made for.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::nn::Shape;

/// Why a plan cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A batch of 0, or larger than the set it is drawn from.
    #[error("the {which} batch has {batch} examples; it must be between 1 and {available}")]
    Batch {
        /// Training or clean.
        which: &'static str,
        /// The size asked for.
        batch: usize,
        /// The size of the set, or the largest possible.
        available: usize,
    },
    /// Images of the data set and input of the network differ.
    #[error("the network takes images of {network}, the data set has {dataset}")]
    InputShape {
        /// What the network takes.
        network: Shape,
        /// What the data set has.
        dataset: Shape,
    },
    /// A layer that what is asked for cannot be done with.
    #[error("layer '{layer}': {reason}")]
    Network {
        /// The layer.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// A weighting method that cannot work with these options or data.
    #[error("weighting '{method}': {reason}")]
    Weighting {
        /// Name of the method.
        method: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A part of a batch that no rank can take.
    #[error("rank {rank}: {reason}")]
    Share {
        /// The rank, counted from 0.
        rank: usize,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The recording breaks a rule.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}
