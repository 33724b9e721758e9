//! From a network, batch sizes and a weighting to a [`Plan`]: one training iteration as a flat
//! list of dispatches, plain data that prints itself.

mod backward;
mod evaluation;
mod externals;
mod forward;
mod iteration;
mod training;

use std::fmt;

use thiserror::Error;

use crate::gpu::{GpuError, Lifetime, Recording, Tensor, TensorId, Tuning};
use crate::ops::batch::Gather;
use crate::weighting::Weighting;

pub use evaluation::evaluation;
pub(crate) use externals::step_tensor;
pub use iteration::{Iteration, Layerwise, Scored, Weighed};
pub use training::{training, training_on};

/// How the similarities u_i = ⟨∇f_i, G⟩ are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// One forward pass in dual numbers along G: exact for every network.
    Tangent,
    /// Layer by layer from one unweighted backward pass: exact where no layer mixes examples, an
    /// approximation with BatchNorm's batch statistics.
    PerLayer,
}

/// How parameters θ follow the gradient g of the weighted loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// v ← μ·v + g + λ·θ; θ ← θ − η·v, as PyTorch's `SGD`.
    Sgd {
        /// μ; a plan's iteration takes it from its [`Step`](crate::ops::Step).
        momentum: f32,
        /// θ ← θ − η·(g + λ·θ + μ·v) instead.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, algorithm 2), as
    /// PyTorch's `AdamW`: θ decays by η·λ·θ.
    AdamW {
        /// β₁, share of the old first moment.
        beta1: f32,
        /// β₂, share of the old second moment.
        beta2: f32,
        /// ε, added to the root of the second moment.
        epsilon: f32,
    },
}

impl Optimizer {
    /// AdamW with PyTorch's defaults: β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// Gradient descent without momentum.
    pub const PLAIN: Self = Self::Sgd { momentum: 0.0, nesterov: false };
}

/// Where the batches come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Drawn on the device from data sets that lie there.
    Datasets {
        /// The training set.
        train: DatasetShape,
        /// The clean set; not used by plain training.
        clean: DatasetShape,
        /// Image size and augmentation of both.
        gather: Gather,
    },
    /// Supplied by the caller, normalised: `train/images` `[n, h, w, c]`, `train/labels` `[n]`,
    /// `clean/images`, `clean/labels`.
    Buffers,
}

/// A data set on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetShape {
    /// Examples.
    pub len: usize,
    /// Images in one binding; a larger set is split into `ceil(len / images_per_piece)` tensors.
    pub images_per_piece: usize,
}

/// What a training iteration is made of besides its network.
#[derive(Clone, Debug)]
pub struct TrainingOptions {
    /// n, the training examples of a step.
    pub batch: usize,
    /// m, the clean examples of a step.
    pub clean_batch: usize,
    /// How training examples are weighted.
    pub weighting: Weighting,
    /// How parameters follow their gradient.
    pub optimizer: Optimizer,
    /// How kernels are written. With uniform weights the buffers of `parameters` and
    /// `clean_gradient` need the usage `UNIFORM` as well.
    pub tuning: Tuning,
    /// Where the batches come from.
    pub input: Input,
}

/// What methods may want to know of the data before the first step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Labels of the training set as given, `[N]`; empty when not known.
    pub labels: &'a [u32],
    /// Images of the training set, `[N, height, width, channels]`; empty when not known.
    pub images: &'a [u8],
    /// Number of classes.
    pub classes: usize,
    /// Seed of the run.
    pub seed: u32,
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

/// What a plan cannot be made for.
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
        network: crate::nn::Shape,
        /// What the data set has.
        dataset: crate::nn::Shape,
    },
    /// A weighting method that cannot work with these options or data.
    #[error("weighting '{method}': {reason}")]
    Weighting {
        /// Name of the method.
        method: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The recording breaks a rule.
    #[error(transparent)]
    Gpu(#[from] GpuError),
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

/// A buffer that a data-parallel run would sum over its ranks before the given dispatch.
#[derive(Clone, Debug)]
pub struct ExchangePoint {
    /// What is summed.
    pub tensor: TensorId,
    /// Index of the first dispatch that needs the sum.
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
    /// The route taken to u.
    pub similarity: Option<Similarity>,
    /// Whether u is exact rather than an approximation.
    pub exact: bool,
    /// Where a data-parallel run would sum over its ranks.
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
        let external =
            |t: &&Tensor| matches!(t.lifetime, Lifetime::External | Lifetime::ExternalUniform);
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
            "{} dispatches, {} barriers, {:.3} GFLOP, {:.1} MB, of which {:.1} MB of activations in {} buffers",
            self.recording.dispatches.len(),
            self.recording.barriers(),
            self.recording.flops() as f64 * 1e-9,
            self.memory_bytes() as f64 * 1e-6,
            memory.bytes() as f64 * 1e-6,
            memory.slots.len()
        )
    }
}
