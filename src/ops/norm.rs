//! Batch and group normalisation with an affine map and a ReLU behind: outputs, tangents, gradients
//! and similarities.

use super::parts::{self, GRID, Lanes, RECTIFIER, wgsl};
use super::{Rows, View, WORKGROUP, per_element, reduce};
use crate::gpu::{Access, Kernel, Part, Recorder, Shader, TensorId, Tuning, fold_workgroups};

const SHAPE: Part = wgsl!("norm/common/shape");
const CHANNELS: Part = wgsl!("norm/common/channels");

/// Who reduces what belongs together: the axes `norm/worker` for chunks of positions and
/// `norm/combiner` for their partial results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    /// One invocation.
    Serial,
    /// A workgroup, or invocations of one, as a tree.
    Tree,
}

impl Reduction {
    fn of(tuning: Tuning) -> Self {
        if tuning.trees { Self::Tree } else { Self::Serial }
    }

    fn worker(self) -> Part {
        match self {
            Self::Serial => wgsl!("norm/worker", "serial"),
            Self::Tree => wgsl!("norm/worker", "tree"),
        }
    }

    fn combiner(self) -> Part {
        match self {
            Self::Serial => wgsl!("norm/combiner", "serial"),
            Self::Tree => wgsl!("norm/combiner", "tree"),
        }
    }
}

/// What a normalisation layer normalises together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormKind {
    /// Each channel over all examples and positions (Ioffe and Szegedy, 2015).
    Batch,
    /// Groups of channels of one example over its positions (Wu and He, 2018).
    Group {
        /// Number of groups.
        groups: usize,
    },
    /// Each channel by statistics that do not depend on the input: BatchNorm whose running
    /// statistics stay as they are. An affine map of each channel, so that no examples mix.
    Fixed,
}

impl NormKind {
    /// Whether there is one statistic a channel, for all examples.
    pub(crate) fn is_per_channel(self) -> bool {
        !matches!(self, Self::Group { .. })
    }
}

/// Shape and options of a normalisation of `[n, positions, channels]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// What is normalised together.
    pub kind: NormKind,
    /// Examples.
    pub n: usize,
    /// Examples of the whole batch, of which these `n` are a part, where BatchNorm normalises over
    /// all of them: the sums over the others are [gathered](Recorder::gather).
    pub whole: Option<usize>,
    /// Positions of an example.
    pub positions: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether the affine parameters are `[scales | shifts]` or only shifts.
    pub has_scale: bool,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// Positions that one invocation of a large pass takes.
const TILE: usize = 8;

impl Norm {
    fn blocks(&self) -> usize {
        self.channels / self.lanes()
    }

    /// Invocations that reduce a block of channels of a chunk together: a power of two.
    fn slices(&self, tuning: Tuning) -> usize {
        if !tuning.trees {
            return 1;
        }
        let fitting = (WORKGROUP / self.blocks().min(WORKGROUP)).min(self.positions);
        1 << fitting.ilog2()
    }

    /// Positions that are reduced at once.
    fn chunk(&self, tuning: Tuning) -> usize {
        self.positions.min(tuning.chunk.max(1).saturating_mul(self.slices(tuning)))
    }

    fn chunks(&self, tuning: Tuning) -> usize {
        self.positions.div_ceil(self.chunk(tuning))
    }

    /// Statistics stored: one for each channel, and each example that has its own.
    fn statistics(&self) -> usize {
        match self.kind {
            NormKind::Batch | NormKind::Fixed => self.channels,
            NormKind::Group { .. } => self.n * self.channels,
        }
    }

    fn len(&self) -> usize {
        self.n * self.positions * self.channels
    }

    fn partials(&self, tuning: Tuning) -> usize {
        self.n * self.chunks(tuning) * self.channels
    }

    /// The partial results `[n, chunks, quantities, channels]` of all that is normalised together.
    fn all_parts(&self, rec: &mut Recorder, parts: TensorId) -> TensorId {
        match self.whole {
            Some(whole) if self.kind == NormKind::Batch => {
                let len = rec.len(parts) / self.n * whole;
                rec.gather(parts, len)
            }
            _ => parts,
        }
    }

    fn lanes(&self) -> usize {
        if self.channels.is_multiple_of(4) { 4 } else { 1 }
    }

    fn chunk_grid(&self, tuning: Tuning) -> [u32; 3] {
        let rows = self.n * self.chunks(tuning);
        if !tuning.trees {
            return per_element(rows * self.blocks());
        }
        let blocks_a_group = WORKGROUP / self.slices(tuning);
        fold_workgroups(rows * self.blocks().div_ceil(blocks_a_group))
    }

    fn tile_grid(&self) -> [u32; 3] {
        per_element(self.n * self.positions.div_ceil(TILE) * self.channels / self.lanes())
    }

    /// A kernel of a large pass.
    fn pass(&self, entry: &'static str, tuning: Tuning) -> Kernel {
        let lanes = Lanes::of(&[self.channels], tuning);
        let parts =
            [GRID, lanes.part(), parts::WORKGROUP, RECTIFIER, SHAPE, CHANNELS, wgsl!("norm/apply")];
        self.constants(Shader::joined("norm", parts), entry, tuning)
            .header("TILE", TILE as u32)
            .constant("RELU", self.relu)
            .constant("FIXED", self.kind == NormKind::Fixed)
    }

    /// A kernel of the first step of a reduction.
    fn reduction(&self, entry: &'static str, tuning: Tuning) -> Kernel {
        let (lanes, reduction) = (Lanes::of(&[self.channels], tuning), Reduction::of(tuning));
        let parts = [
            GRID,
            lanes.part(),
            parts::WORKGROUP,
            RECTIFIER,
            SHAPE,
            CHANNELS,
            reduction.worker(),
            wgsl!("norm/chunks"),
        ];
        let kernel = self.constants(Shader::joined("norm_chunks", parts), entry, tuning);
        let kernel = match reduction {
            Reduction::Tree => kernel.header("SLICES", self.slices(tuning) as u32),
            Reduction::Serial => kernel,
        };
        kernel.size("N", self.n).constant("RELU", self.relu)
    }

    /// A kernel that combines what shares a statistic, and its grid.
    fn combination(&self, entry: &'static str, tuning: Tuning) -> (Kernel, [u32; 3]) {
        let reduction = Reduction::of(tuning);
        let grid = match reduction {
            Reduction::Tree => fold_workgroups(self.statistics()),
            Reduction::Serial => per_element(self.statistics()),
        };
        let parts = [GRID, reduction.combiner(), parts::WORKGROUP, SHAPE, wgsl!("norm/combine")];
        let kernel = self.constants(Shader::joined("norm_combine", parts), entry, tuning);
        (kernel.constant("EPSILON", self.epsilon), grid)
    }

    fn constants(&self, shader: Shader, entry: &'static str, tuning: Tuning) -> Kernel {
        let (per_example, group) = match self.kind {
            NormKind::Batch | NormKind::Fixed => (false, 1),
            NormKind::Group { groups } => (true, self.channels / groups),
        };
        Kernel::new(shader, entry)
            .size("POSITIONS", self.positions)
            .size("CHANNELS", self.channels)
            .size("CHUNK", self.chunk(tuning))
            .size("CHUNKS", self.chunks(tuning))
            .constant("PER_EXAMPLE", per_example)
            .size("GROUP", group)
            .constant("HAS_SCALE", self.has_scale)
    }
}

/// Running statistics of BatchNorm, `[means | variances]`, and the share of the new ones in them.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// `[2, channels]`
    pub statistics: View,
    /// Share of the batch's statistics.
    pub momentum: f32,
}

/// Mean and reciprocal standard deviation of every channel of the batch itself: `[2, channels]`,
/// for GroupNorm `[n, 2, channels]`. With `running` (BatchNorm only) the running statistics move
/// towards them.
pub fn statistics(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    running: Option<Running>,
) -> TensorId {
    moments(rec, norm, "moments_of_chunks", (x, None), running)
}

/// [`statistics`], and behind them, of the same shape, the means of x̂·ẋ and ẋ over all that shares
/// a statistic: what [`dual`] needs of an input with a tangent `dx`.
pub fn dual_statistics(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    dx: TensorId,
    running: Option<Running>,
) -> TensorId {
    moments(rec, norm, "dual_moments_of_chunks", (x, Some(dx)), running)
}

fn moments(
    rec: &mut Recorder,
    norm: &Norm,
    entry: &'static str,
    (x, dx): (TensorId, Option<TensorId>),
    running: Option<Running>,
) -> TensorId {
    // Numbers for every channel of a chunk.
    let quantities = if dx.is_some() { 4 } else { 2 };
    let tuning = rec.tuning();
    let chunks = rec.transient("chunk moments", quantities * norm.partials(tuning));
    let mut bindings = vec![rec.read(x), rec.write(chunks)];
    bindings.extend(dx.map(|dx| rec.read(dx)));
    let kernel = norm.reduction(entry, tuning).size("QUANTITIES", quantities);
    rec.dispatch(kernel, bindings, norm.chunk_grid(tuning), (2 * quantities * norm.len()) as u64);

    let chunks = norm.all_parts(rec, chunks);
    let moments = rec.transient("moments", quantities * norm.statistics());
    let mut bindings = vec![rec.read(chunks), rec.write(moments)];
    let (kernel, grid) = match running {
        Some(running) => {
            bindings.push(running.statistics.bind(Access::ReadWrite));
            let (kernel, grid) = norm.combination("combine_moments_and_run", tuning);
            (kernel.constant("MOMENTUM", running.momentum), grid)
        }
        None => norm.combination("combine_moments", tuning),
    };
    let kernel = kernel.size("QUANTITIES", quantities);
    rec.dispatch(kernel, bindings, grid, 4 * rec.len(chunks) as u64);
    moments
}

/// The statistics for evaluation and for [`NormKind::Fixed`]: the running ones.
pub fn running_statistics(rec: &mut Recorder, norm: &Norm, running: View) -> TensorId {
    let moments = rec.transient("moments", 2 * norm.channels);
    let bindings = vec![running.read(), rec.write(moments)];
    let (kernel, grid) = norm.combination("running_moments", rec.tuning());
    rec.dispatch(kernel, bindings, grid, 2 * norm.channels as u64);
    moments
}

/// `y = relu?(scale · (x − mean) · rstd + shift)`
pub fn forward(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    moments: TensorId,
    affine: View,
) -> TensorId {
    let y = rec.transient("norm", norm.len());
    let bindings = vec![rec.read(x), rec.read(moments), affine.read(), rec.write(y)];
    rec.dispatch(
        norm.pass("forward", rec.tuning()),
        bindings,
        norm.tile_grid(),
        4 * norm.len() as u64,
    );
    y
}

/// Output and tangent at once ([`forward`], [`tangent`]), for `moments` from [`dual_statistics`],
/// with [`NormKind::Fixed`] from [`running_statistics`].
pub fn dual(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    dx: TensorId,
    moments: TensorId,
    affine: View,
    affine_tangent: Option<View>,
) -> (TensorId, TensorId) {
    let y = rec.transient("norm", norm.len());
    let dy = rec.transient("norm tangent", norm.len());
    let bindings = vec![
        rec.read(x),
        rec.read(moments),
        rec.read(dx),
        rec.write(y),
        affine.read(),
        affine_tangent.unwrap_or(affine).read(),
        rec.write(dy),
    ];
    let kernel = norm.pass("forward_dual", rec.tuning());
    let kernel = kernel.constant("AFFINE_MOVES", affine_tangent.is_some());
    rec.dispatch(kernel, bindings, norm.tile_grid(), 12 * norm.len() as u64);
    (y, dy)
}

/// Tangent of [`forward`] and of the statistics, for tangents `dx` of the input and
/// `affine_tangent` of the parameters, which are constants without, after a plain forward pass.
pub fn tangent(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    dx: TensorId,
    moments: TensorId,
    affine: View,
    affine_tangent: Option<View>,
) -> TensorId {
    // Fixed statistics have no tangent, so that the kernel reads no means.
    let means = match norm.kind {
        NormKind::Fixed => moments,
        _ => tangent_means(rec, norm, x, dx, moments, affine),
    };
    let dy = rec.transient("norm tangent", norm.len());
    let bindings = vec![
        rec.read(x),
        rec.read(moments),
        rec.read(dx),
        rec.read(means),
        affine.read(),
        affine_tangent.unwrap_or(affine).read(),
        rec.write(dy),
    ];
    let kernel = norm.pass("forward_tangent", rec.tuning());
    let kernel = kernel.constant("AFFINE_MOVES", affine_tangent.is_some());
    rec.dispatch(kernel, bindings, norm.tile_grid(), 10 * norm.len() as u64);
    dy
}

/// The means of x̂·ẋ and ẋ over all that shares a statistic.
fn tangent_means(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    dx: TensorId,
    moments: TensorId,
    affine: View,
) -> TensorId {
    let sums = rec.transient("chunk tangent sums", 2 * norm.partials(rec.tuning()));
    let bindings = vec![rec.read(x), rec.read(moments), rec.read(dx), rec.write(sums)];
    let grid = norm.chunk_grid(rec.tuning());
    let kernel = norm.reduction("tangent_sums", rec.tuning());
    rec.dispatch(kernel, bindings, grid, 5 * norm.len() as u64);
    combine_sums(rec, norm, sums, affine, false)
}

/// The sums over chunks of positions from which all gradients of a normalisation follow.
#[derive(Clone, Copy, Debug)]
pub struct GradientSums {
    sums: TensorId,
    norm: Norm,
    /// Rows of `sums` that belong to one example.
    chunks: usize,
    /// The means that the gradient of the input contains, once something has needed them.
    means: Option<TensorId>,
}

impl GradientSums {
    /// Per example, the gradient of the affine parameters in their own layout.
    fn rows(&self) -> Rows {
        let c = self.norm.channels;
        let (first, width) = if self.norm.has_scale { (0, 2 * c) } else { (c, c) };
        Rows { matrix: self.sums, columns: 2 * c, first, width, per_example: self.chunks }
    }
}

/// First step of the backward pass, for an output gradient `dy`.
pub fn gradient_sums(
    rec: &mut Recorder,
    norm: &Norm,
    x: TensorId,
    moments: TensorId,
    affine: View,
    dy: TensorId,
) -> GradientSums {
    let sums = rec.transient("chunk gradient sums", 2 * norm.partials(rec.tuning()));
    let bindings =
        vec![rec.read(x), rec.read(moments), affine.read(), rec.read(dy), rec.write(sums)];
    let grid = norm.chunk_grid(rec.tuning());
    rec.dispatch(
        norm.reduction("backward_sums", rec.tuning()),
        bindings,
        grid,
        6 * norm.len() as u64,
    );
    GradientSums { sums, norm: *norm, chunks: norm.chunks(rec.tuning()), means: None }
}

/// Gradient of the input, through the statistics, plus `addend` if given.
#[allow(clippy::too_many_arguments, reason = "an op takes its shape and its tensors one by one")]
pub fn backward(
    rec: &mut Recorder,
    sums: &GradientSums,
    x: TensorId,
    moments: TensorId,
    affine: View,
    dy: TensorId,
    addend: Option<TensorId>,
) -> TensorId {
    let norm = &sums.norm;
    let means = match norm.kind {
        NormKind::Fixed => moments,
        _ => sums.means.unwrap_or_else(|| combine_sums(rec, norm, sums.sums, affine, true)),
    };
    let dx = rec.transient("norm gradient", norm.len());
    let bindings = vec![
        rec.read(x),
        rec.read(moments),
        affine.read(),
        rec.read(dy),
        rec.read(means),
        rec.read(addend.unwrap_or(dy)),
        rec.write(dx),
    ];
    let kernel = norm.pass("backward", rec.tuning()).constant("HAS_ADDEND", addend.is_some());
    rec.dispatch(kernel, bindings, norm.tile_grid(), 8 * norm.len() as u64);
    dx
}

/// Gradient of the parameters `affine` into `out`, weighted by example if `weights` are given.
/// BatchNorm's unweighted one is a by-product of what [`backward`] needs: recorded first, it saves
/// that a step.
pub fn parameter_gradient(
    rec: &mut Recorder,
    sums: &mut GradientSums,
    affine: View,
    weights: Option<TensorId>,
    out: View,
) {
    let norm = sums.norm;
    // Of a part of a batch, what others have is not in the sums.
    if weights.is_some() || norm.kind != NormKind::Batch || norm.whole.is_some() {
        return reduce::sum_rows(rec, sums.rows(), weights, out);
    }
    let means = rec.transient("means", 2 * norm.statistics());
    let bindings =
        vec![rec.read(sums.sums), affine.read(), rec.write(means), out.bind(Access::Write)];
    let (kernel, grid) = norm.combination("combine_gradients", rec.tuning());
    rec.dispatch(kernel, bindings, grid, 2 * rec.len(sums.sums) as u64);
    sums.means = Some(means);
}

/// ⟨∂f_i/∂parameters, G⟩ for each example into `out` `[n]`. Exact for GroupNorm and for fixed
/// statistics; with BatchNorm's batch statistics it is the influence that passes through the
/// example's own rows.
pub fn similarity(rec: &mut Recorder, sums: &GradientSums, clean_gradient: View, out: View) {
    reduce::dot_rows(rec, sums.rows(), clean_gradient, out);
}

fn combine_sums(
    rec: &mut Recorder,
    norm: &Norm,
    sums: TensorId,
    affine: View,
    scaled: bool,
) -> TensorId {
    let sums = norm.all_parts(rec, sums);
    let means = rec.transient("means", 2 * norm.statistics());
    let bindings = vec![rec.read(sums), affine.read(), rec.write(means)];
    let (kernel, grid) = norm.combination("combine_sums", rec.tuning());
    rec.dispatch(kernel.constant("SCALED", scaled), bindings, grid, 2 * rec.len(sums) as u64);
    means
}
