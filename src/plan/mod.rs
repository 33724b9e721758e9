//! From a network, batch sizes and a weighting to a [`Plan`]: one training iteration as a flat
//! list of dispatches, plain data that prints itself.

mod backward;
mod error;
mod evaluation;
mod externals;
mod forward;
mod iteration;
mod method;
mod options;
pub(crate) mod sampling;
mod share;
mod training;
pub mod twin;
mod values;

use std::fmt;

use crate::gpu::{Recording, Tensor, TensorId};

pub use crate::ops::Optimizer;
pub use error::PlanError;
pub use evaluation::evaluation;
pub(crate) use externals::step_tensor;
pub use iteration::{IterationBuilder, LayerDeltas, MethodRecorder, ScoredBatch, WeightedBatch};
pub use method::{Method, Weighting};
pub use options::{DatasetFacts, DatasetShape, Input, TrainingOptions};
pub use sampling::Sampling;
pub use share::Share;
pub use training::{training, training_of, training_on};
pub use values::Values;

/// How the similarities u_i = ⟨∇f_i, G⟩ are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One forward pass in dual numbers along G: exact for every network.
    Tangent,
    /// Layer by layer from one unweighted backward pass: exact where no layer mixes examples, an
    /// approximation with BatchNorm's batch statistics.
    PerLayer,
}

/// A tensor of the weighting method: its state or a table.
#[derive(Clone, Debug)]
pub struct StateTensor {
    /// Name; the tensor's label is `weighting/<name>`.
    pub name: String,
    /// The external tensor.
    pub tensor: TensorId,
    /// Content before the first step, bits of floats or integers.
    pub initial: Vec<u32>,
    /// Whether it changes from step to step and belongs into checkpoints.
    pub saved: bool,
}

impl StateTensor {
    /// Label of the tensor of that name.
    pub fn label_of(name: &str) -> String {
        format!("weighting/{name}")
    }

    /// Label of the tensor.
    pub fn label(&self) -> String {
        Self::label_of(&self.name)
    }
}

/// Tensors of a plan that can be read after a run.
#[derive(Clone, Copy, Debug)]
pub struct BatchOutputs {
    /// Place of each example in its data set, `[batch]` u32; `None` when the caller supplies
    /// batches.
    pub indices: Option<TensorId>,
    /// Loss of each example, `[batch]`.
    pub losses: TensorId,
    /// Class with the largest score, `[batch]` u32.
    pub predictions: TensorId,
    /// `[batch, classes]`
    pub scores: TensorId,
}

/// What a data-parallel run makes of its ranks' tensors, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// All of them, one rank after the other.
    Gather {
        /// Where they go.
        into: TensorId,
    },
    /// The largest of them, as integers: of floats none is negative.
    Maximum,
    /// The same of [what is not finite](crate::ops::not_finite).
    NotFinite,
}

/// A buffer that a data-parallel run would combine over its ranks before the given dispatch.
#[derive(Clone, Debug)]
pub struct ExchangePoint {
    /// What is combined.
    pub tensor: TensorId,
    /// How.
    pub exchange: Exchange,
    /// Index of the first dispatch that needs the result.
    pub before_dispatch: usize,
}

/// One iteration as plain data.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Tensors and dispatches.
    pub recording: Recording,
    /// Results for the training batch.
    pub train: BatchOutputs,
    /// Results for the clean batch; plain training has none.
    pub clean: Option<BatchOutputs>,
    /// u, `[n]`; plain training has none.
    pub similarities: Option<TensorId>,
    /// w, `[n]`.
    pub weights: TensorId,
    /// What is not finite: [`ops::not_finite`](crate::ops::not_finite).
    pub not_finite: TensorId,
    /// The route taken to u.
    pub route: Option<Route>,
    /// Whether u is exact rather than an approximation.
    pub exact: bool,
    /// Where a data-parallel run would combine what its ranks have.
    pub exchange_points: Vec<ExchangePoint>,
    /// Tensors of the weighting method that the caller supplies.
    pub state: Vec<StateTensor>,
    /// Draws of one pass over the training set, where the method's sampling sets it.
    pub pass_len: Option<usize>,
}

impl Plan {
    /// Device memory in bytes that running the plan takes, known before any is allocated: its
    /// activations in the slots that they share, and all tensors from outside (parameters and
    /// optimizer state, the method's own, data sets or batches). Everything is allocated once, so
    /// this is the peak.
    pub fn memory_bytes(&self) -> u64 {
        let activations = crate::gpu::memory::plan(&self.recording).bytes();
        let external = |t: &&Tensor| t.is_external();
        let tensors = self.recording.tensors.iter().filter(external);
        activations + tensors.map(Tensor::bytes).sum::<u64>()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recording)?;
        let memory = crate::gpu::memory::plan(&self.recording);
        writeln!(
            f,
            "{} dispatches, {} barriers, {:.3} GFLOP, {:.1} MB, of which {:.1} MB of activations \
             in {} buffers",
            self.recording.dispatches.len(),
            self.recording.barriers(),
            self.recording.flops() as f64 * 1e-9,
            self.memory_bytes() as f64 * 1e-6,
            memory.bytes() as f64 * 1e-6,
            memory.slots.len()
        )
    }
}
