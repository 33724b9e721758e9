//! Two families of kernels. Where channels are few, an invocation computes a register tile of pixels
//! by one or two blocks of channels straight from storage: every weight it loads serves 8 pixels.
//! Where they are many ([`Staging::channels`](crate::gpu::Staging)), that is bound by the second-level
//! cache, and a workgroup of 256 invocations computes 64 or 128 pixels by 64 channels (or more) as a matrix
//! product instead, whose factors it loads once into its memory, 16 terms at a time.
//!
//! On software adapters, where loads cost most, the invocations of a subgroup load for each other what they
//! share ([`Tuning::shared_loads`]).

use super::conv_staged::Staged;
use super::conv_tiling::Tiling;
use super::residual::{self, Shortcut};
use super::{GRID, Rows, View, Window, add, per_element, reduce};
use crate::gpu::{Access, Binding, Kernel, Recorder, Shader, TensorId, Tuning};

const GEOMETRY: &str = include_str!("../../shaders/conv_geometry.wgsl");
const TILING: &str = include_str!("../../shaders/conv_tiling.wgsl");

macro_rules! shader {
    ($name:literal, $($part:literal),+) => {
        Shader {
            name: $name,
            parts: &[GRID, GEOMETRY, TILING, $(include_str!(concat!("../../shaders/", $part, ".wgsl"))),+],
        }
    };
}

macro_rules! conv {
    ($lanes:literal, $weights:literal, $block:literal) => {
        shader!(
            "conv",
            $lanes,
            $weights,
            $block,
            "invocation_single",
            "conv_sizes_fixed",
            "weight_sharing_none",
            "conv",
            "conv_dual"
        )
    };
}

macro_rules! weight_gradient {
    ($lanes:literal, $outer:literal) => {
        shader!(
            "conv_weight_gradient",
            $lanes,
            $outer,
            "invocation_single",
            "conv_sizes_fixed",
            "gradient_sharing_none",
            "conv_weight_gradient"
        )
    };
}

/// `shaders/conv.wgsl` for channels in blocks of 4 → 4, 1 → 4 and 1 → 1.
static SHADERS: [Shader; 3] = [
    conv!("lanes_vec4", "weights_storage", "block_vec4_vec4"),
    conv!("lanes_vec4", "weights_storage", "block_scalar_vec4"),
    conv!("lanes_scalar", "weights_storage", "block_scalar_scalar"),
];

/// The first two with weights in uniform bindings.
static UNIFORM_SHADERS: [Shader; 2] = [
    conv!("lanes_vec4", "weights_uniform", "block_vec4_vec4"),
    conv!("lanes_vec4", "weights_uniform", "block_scalar_vec4"),
];

/// The first two with wide loads.
static WIDE_SHADERS: [Shader; 2] = [
    conv!("lanes_wide", "weights_storage", "block_vec4_vec4"),
    conv!("lanes_wide", "weights_storage", "block_scalar_vec4"),
];

/// The first two with wide loads and weights in uniform bindings.
static WIDE_UNIFORM_SHADERS: [Shader; 2] = [
    conv!("lanes_wide", "weights_uniform", "block_vec4_vec4"),
    conv!("lanes_wide", "weights_uniform", "block_scalar_vec4"),
];

macro_rules! shared_conv {
    ($lanes:literal) => {
        shader!(
            "conv",
            $lanes,
            "weights_storage",
            "block_vec4_vec4",
            "invocation_subgroup",
            "conv_sizes_bound",
            "weight_sharing_subgroup",
            "conv"
        )
    };
}

/// The first one with weights that a subgroup shares, without and with wide loads.
static SHARED_SHADERS: [Shader; 2] = [shared_conv!("lanes_vec4"), shared_conv!("lanes_wide")];

/// Largest uniform binding that every device offers, in bytes.
const MAX_UNIFORM: usize = 1 << 16;

/// `shaders/conv_weight_gradient.wgsl` for the same blocks.
static WEIGHT_GRADIENT_SHADERS: [Shader; 3] = [
    weight_gradient!("lanes_vec4", "outer_vec4_vec4"),
    weight_gradient!("lanes_vec4", "outer_scalar_vec4"),
    weight_gradient!("lanes_scalar", "outer_scalar_scalar"),
];

/// The first two with wide loads.
static WIDE_WEIGHT_GRADIENT_SHADERS: [Shader; 2] = [
    weight_gradient!("lanes_wide", "outer_vec4_vec4"),
    weight_gradient!("lanes_wide", "outer_scalar_vec4"),
];

macro_rules! shared_weight_gradient {
    ($lanes:literal) => {
        shader!(
            "conv_weight_gradient",
            $lanes,
            "outer_vec4_vec4",
            "invocation_subgroup",
            "conv_sizes_fixed",
            "gradient_sharing_subgroup",
            "conv_weight_gradient"
        )
    };
}

/// The first one with loads that a subgroup shares, without and with wide loads.
static SHARED_WEIGHT_GRADIENT_SHADERS: [Shader; 2] =
    [shared_weight_gradient!("lanes_vec4"), shared_weight_gradient!("lanes_wide")];

/// Invocations of a subgroup that shares its loads.
const SUBGROUP: usize = 8;

/// Channels of a register block: 4 where both counts allow it.
#[derive(Clone, Copy)]
struct Blocks {
    variant: usize,
    input: usize,
    output: usize,
}

impl Blocks {
    fn of(window: &Window) -> Self {
        let (input, output) = (window.in_channels, window.out_channels);
        match (input.is_multiple_of(4), output.is_multiple_of(4)) {
            (true, true) => Self { variant: 0, input: input / 4, output: output / 4 },
            (false, true) => Self { variant: 1, input, output: output / 4 },
            _ => Self { variant: 2, input, output },
        }
    }

    /// Output blocks that one invocation of the weight gradient takes: two where their sums fit
    /// into registers.
    fn columns(&self, window: &Window) -> usize {
        let fits = self.variant == 0 && window.kernel_w <= 3;
        if fits && self.output.is_multiple_of(2) { 2 } else { 1 }
    }

    /// Blocks of input channels of the weight gradients whose loads a subgroup shares, the rest of it being
    /// blocks of output channels, or pairs of them; `None` where no shape of subgroup divides them.
    fn shared_inputs(&self, window: &Window, tuning: Tuning) -> Option<usize> {
        let columns = self.columns(window);
        let divides = |inputs: &usize| {
            let outputs = columns * SUBGROUP / inputs;
            // All of a subgroup load an equal share of four pixels.
            outputs > 1 && self.input.is_multiple_of(*inputs) && self.output.is_multiple_of(outputs)
        };
        let fits = self.variant == 0 && window.kernel_w <= WIDEST_UNROLLED_KERNEL;
        // A square of blocks loads least.
        [4, 2, 8].into_iter().filter(|_| tuning.shared_loads && fits).find(divides)
    }
}

/// A batch of convolutions as the kernels see it.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    images: usize,
    window: Window,
    /// A linear layer over n examples is a 1×1 convolution of one image of 1×n pixels, so that a
    /// tile holds several examples.
    example_per_pixel: bool,
}

impl Geometry {
    fn new(window: &Window, n: usize) -> Self {
        if window.is_linear() {
            let row = Window { width: n, out_width: n, stride: 1, ..*window };
            return Self { images: 1, window: row, example_per_pixel: true };
        }
        Self { images: n, window: *window, example_per_pixel: false }
    }

    fn shape(&self, kernel: Kernel) -> Kernel {
        let w = &self.window;
        kernel
            .size("PAD_TOP", w.pad_top)
            .size("PAD_LEFT", w.pad_left)
            .header("KERNEL_H", w.kernel_h as u32)
            .header("KERNEL_W", w.kernel_w as u32)
            .header("STRIDE", w.stride as u32)
    }

    /// As in `shaders/conv_sizes_bound.wgsl`.
    fn sizes(&self) -> [(&'static str, usize); 7] {
        let (w, blocks) = (&self.window, Blocks::of(&self.window));
        [
            ("IMAGES", self.images),
            ("HEIGHT", w.height),
            ("WIDTH", w.width),
            ("IN_BLOCKS", blocks.input),
            ("OUT_BLOCKS", blocks.output),
            ("OUT_HEIGHT", w.out_height),
            ("OUT_WIDTH", w.out_width),
        ]
    }

    /// A kernel for this geometry only.
    fn constants(&self, kernel: Kernel) -> Kernel {
        let fixed = |kernel: Kernel, (name, value)| kernel.size(name, value);
        self.sizes().into_iter().fold(self.shape(kernel), fixed)
    }

    /// A kernel that reads its sizes from a binding, the fourth one.
    fn bound(&self, rec: &mut Recorder, kernel: Kernel, bindings: &mut Vec<Binding>) -> Kernel {
        let sizes = self.sizes().map(|(_, value)| value as u32);
        let sizes = rec.constants(sizes.to_vec());
        bindings.insert(3, rec.whole(sizes, Access::Uniform));
        self.shape(kernel)
    }
}

/// Pixels that the weight gradient takes at a time; `PIXELS` in its shader.
const PIXELS: usize = 4;
/// Pixels of a tile, and of one whose values come with tangents: what fits into registers.
const TILE: usize = 8;
const DUAL_TILE: usize = 4;
/// Kernel columns that the shaders write out.
const WIDEST_UNROLLED_KERNEL: usize = 5;
/// Two spans, two tiles and the taps of a wider kernel do not: three plain convolutions are faster.
const WIDEST_DUAL_KERNEL: usize = 3;

/// Whether a subgroup shares a layer's weights.
fn is_shared(w: &Window, tuning: Tuning) -> bool {
    tuning.shared_loads && Blocks::of(w).variant == 0
}

/// Whether a layer's weights go through a uniform binding.
fn in_uniform(w: &Window, tuning: Tuning) -> bool {
    let fits = 4 * w.weight_len() <= MAX_UNIFORM && w.out_channels.is_multiple_of(4);
    tuning.uniform_weights && fits && !is_shared(w, tuning)
}

/// Blocks of channels, of `blocks`, that one invocation computes.
fn columns(blocks: usize, tuning: Tuning) -> usize {
    if tuning.two_blocks && blocks.is_multiple_of(2) { 2 } else { 1 }
}

/// Weights bound the way that [`kernel`] reads them.
fn bind(weights: View, w: &Window, tuning: Tuning) -> Binding {
    weights.bind(if in_uniform(w, tuning) { Access::Uniform } else { Access::Read })
}

/// The kernel of an entry point; what it binds besides is inserted.
fn kernel(
    rec: &mut Recorder,
    entry: &'static str,
    (g, tiling): (&Geometry, &Tiling),
    columns: usize,
    bindings: &mut Vec<Binding>,
) -> Kernel {
    let (tuning, variant) = (rec.tuning(), Blocks::of(&g.window).variant);
    // Single floats are read one by one.
    let wide = tuning.wide_loads && variant < WIDE_SHADERS.len();
    let kernel = match (in_uniform(&g.window, tuning), wide) {
        _ if is_shared(&g.window, tuning) => {
            let kernel = Kernel::new(&SHARED_SHADERS[usize::from(wide)], entry);
            let kernel = g.bound(rec, kernel, bindings);
            let kernel = kernel.constant("HALO", tiling.has_halo(SUBGROUP));
            return tiling.constants(kernel).header("COLUMNS", columns as u32);
        }
        (false, false) => Kernel::new(&SHADERS[variant], entry),
        (false, true) => Kernel::new(&WIDE_SHADERS[variant], entry),
        (true, wide) => {
            let shaders = if wide { &WIDE_UNIFORM_SHADERS } else { &UNIFORM_SHADERS };
            let blocks = (g.window.weight_len() / 4) as u32;
            Kernel::new(&shaders[variant], entry).header("WEIGHTS", blocks)
        }
    };
    tiling.constants(g.constants(kernel)).header("COLUMNS", columns as u32)
}

/// One invocation for every tile and every `columns` of `blocks` of channels.
fn grid(g: &Geometry, tiles: usize, blocks: usize, columns: usize, tuning: Tuning) -> [u32; 3] {
    let tiles = match is_shared(&g.window, tuning) {
        true => tiles.next_multiple_of(SUBGROUP),
        false => tiles,
    };
    per_element(tiles * blocks / columns)
}

fn output_grid(g: &Geometry, tiling: &Tiling, columns: usize, tuning: Tuning) -> [u32; 3] {
    let tiles = g.images * g.window.out_height * tiling.tiles;
    grid(g, tiles, Blocks::of(&g.window).output, columns, tuning)
}

/// `conv(x, weights)`: `x` `[n, h, w, in]`, `weights` `[kernel_h, kernel_w, in, out]`; plus `addend`, of the output's
/// shape, if given.
pub fn forward(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    weights: View,
    addend: Option<TensorId>,
) -> TensorId {
    let z = rec.transient("conv", n * w.output_len());
    if let Some(staged) = Staged::of(w, n, rec.tuning()) {
        staged.forward(rec, x, weights, addend, z);
        return z;
    }
    let g = Geometry::new(w, n);
    let tiling = Tiling::of_outputs(&g.window, TILE);
    let mut bindings = vec![
        rec.read(x),
        bind(weights, w, rec.tuning()),
        rec.write(z),
        rec.read(addend.unwrap_or(x)),
    ];
    let columns = columns(Blocks::of(&g.window).output, rec.tuning());
    let kernel = kernel(rec, "forward", (&g, &tiling), columns, &mut bindings)
        .constant("HAS_ADDEND", addend.is_some());
    let grid = output_grid(&g, &tiling, columns, rec.tuning());
    rec.dispatch(kernel, bindings, grid, n as u64 * w.flops());
    z
}

/// The tangent alone of a convolution of `x` and its tangent, if it has one: `conv(x, weights_tangent) +
/// conv(dx, weights)`, plus `addend` if given.
pub fn tangent(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    (x, dx): (TensorId, Option<TensorId>),
    weights: View,
    weights_tangent: View,
    addend: Option<TensorId>,
) -> TensorId {
    let through = dx.map(|dx| forward(rec, w, n, dx, weights, addend)).or(addend);
    forward(rec, w, n, x, weights_tangent, through)
}

/// Whether [`dual`] is composed of plain convolutions, the way that suits the adapter.
fn is_dual_composed(w: &Window, n: usize, has_tangent: bool, tuning: Tuning) -> bool {
    match Staged::of(w, n, tuning) {
        Some(_) => !has_tangent || tuning.composed_dual,
        None => tuning.composed_dual || is_shared(w, tuning) || w.kernel_w > WIDEST_DUAL_KERNEL,
    }
}

/// `conv(x, weights)` and its tangent `conv(dx, weights) + conv(x, weights_tangent)`. Without `dx`
/// the input is constant. To both is added what is given with or without a tangent.
pub fn dual(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    (x, dx): (TensorId, Option<TensorId>),
    weights: View,
    weights_tangent: View,
    addend: Option<(TensorId, Option<TensorId>)>,
) -> (TensorId, TensorId) {
    if is_dual_composed(w, n, dx.is_some(), rec.tuning()) {
        let z = forward(rec, w, n, x, weights, addend.map(|(value, _)| value));
        let addend = addend.and_then(|(_, tangent)| tangent);
        return (z, tangent(rec, w, n, (x, dx), weights, weights_tangent, addend));
    }
    let (z, dz) = fused_dual(rec, w, n, (x, dx), weights, weights_tangent);
    match addend {
        None => (z, dz),
        Some((value, None)) => (add::forward(rec, z, value), dz),
        Some((value, Some(tangent))) => {
            let shortcut = Shortcut::identity(w.out_height, w.out_width, w.out_channels);
            residual::dual(rec, &shortcut, n, (z, dz), (value, tangent))
        }
    }
}

/// [`dual`] in one kernel.
fn fused_dual(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    (x, dx): (TensorId, Option<TensorId>),
    weights: View,
    weights_tangent: View,
) -> (TensorId, TensorId) {
    let z = rec.transient("conv", n * w.output_len());
    let dz = rec.transient("conv tangent", n * w.output_len());
    if let (Some(staged), Some(dx)) = (Staged::of(w, n, rec.tuning()), dx) {
        staged.dual(rec, [x, dx], [weights, weights_tangent], [z, dz]);
        return (z, dz);
    }
    let g = Geometry::new(w, n);
    let tiling = Tiling::of_outputs(&g.window, DUAL_TILE);
    let mut bindings = vec![
        rec.read(x),
        bind(weights, w, rec.tuning()),
        rec.read(dx.unwrap_or(x)),
        bind(weights_tangent, w, rec.tuning()),
        rec.write(z),
        rec.write(dz),
    ];
    let kernel = kernel(rec, "dual", (&g, &tiling), 1, &mut bindings)
        .constant("INPUT_TANGENT", dx.is_some());
    let convolutions = if dx.is_some() { 3 } else { 2 };
    let grid = output_grid(&g, &tiling, 1, rec.tuning());
    rec.dispatch(kernel, bindings, grid, convolutions * n as u64 * w.flops());
    (z, dz)
}

/// Gradient of the input for an output gradient `dy`.
pub fn input_gradient(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    dy: TensorId,
    weights: View,
) -> TensorId {
    let dx = rec.transient("conv input gradient", n * w.input_len());
    if let Some(staged) = Staged::of(w, n, rec.tuning()) {
        staged.input_gradient(rec, dy, weights, dx);
        return dx;
    }
    let g = Geometry::new(w, n);
    let tiling = Tiling::of_inputs(&g.window, TILE);
    let mut bindings = vec![rec.read(dy), bind(weights, w, rec.tuning()), rec.write(dx)];
    let tiles = g.images * g.window.height * tiling.tiles;
    let blocks = Blocks::of(&g.window).input;
    let columns = columns(blocks, rec.tuning());
    let grid = grid(&g, tiles, blocks, columns, rec.tuning());
    let kernel = kernel(rec, "transposed", (&g, &tiling), columns, &mut bindings);
    rec.dispatch(kernel, bindings, grid, n as u64 * w.flops());
    dx
}

/// ⟨∂f_i/∂weights, G⟩ for each example in gradient form, ⟨dy_i, conv(x_i, G)⟩, into `out` `[n]`.
/// No per-example gradient is stored.
#[allow(clippy::too_many_arguments)]
pub fn similarity(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    dy: TensorId,
    clean_gradient: View,
    out: View,
) {
    if let Some(staged) = Staged::of(w, n, rec.tuning()) {
        let dots = staged.similarity(rec, x, dy, clean_gradient);
        return reduce::sum_segments(rec, dots, w.output_len() / 4, out);
    }
    let g = Geometry::new(w, n);
    let tiling = Tiling::of_outputs(&g.window, TILE);
    let blocks = Blocks::of(&g.window).output;
    let columns = columns(blocks, rec.tuning());
    let per_example = match g.example_per_pixel {
        true => blocks,
        false => g.window.out_height * tiling.tiles * blocks / columns,
    };
    let dots = rec.transient("similarity of tiles", n * per_example);
    let mut bindings =
        vec![rec.read(x), bind(clean_gradient, w, rec.tuning()), rec.read(dy), rec.write(dots)];
    let kernel = kernel(rec, "similarity", (&g, &tiling), columns, &mut bindings)
        .constant("PER_PIXEL", g.example_per_pixel);
    let flops = n as u64 * (w.flops() + 2 * w.output_len() as u64);
    let grid = output_grid(&g, &tiling, columns, rec.tuning());
    rec.dispatch(kernel, bindings, grid, flops);
    reduce::sum_segments(rec, dots, per_example, out);
}

/// Gradient of the weights, weighted by example if `weights` are given, into `out`.
#[allow(clippy::too_many_arguments)]
pub fn weight_gradient(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    dy: TensorId,
    weights: Option<TensorId>,
    out: View,
) {
    let sums = match Staged::of(w, n, rec.tuning()) {
        Some(staged) => staged.split_sums(rec, x, dy, weights),
        None => {
            let g = Geometry::new(w, n);
            let rows = g.images * g.window.out_height;
            let split = rows.div_ceil(splits(&g, rec.tuning().split_invocations)).max(1);
            split_sums(rec, &g, split, x, dy, weights)
        }
    };
    reduce::sum_rows(rec, Rows::all(sums, w.weight_len(), 1), None, out);
}

/// Gradients of the weights of every example: `[n, kernel_h, kernel_w, in, out]`. Much memory: the
/// similarities do without.
pub fn per_example_gradient(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    dy: TensorId,
) -> TensorId {
    let g = Geometry { images: n, window: *w, example_per_pixel: false };
    split_sums(rec, &g, w.out_height, x, dy, None)
}

/// Splits that give an adapter enough invocations.
fn splits(g: &Geometry, invocations: usize) -> usize {
    let blocks = Blocks::of(&g.window);
    invocations.div_ceil(blocks.input * blocks.output * g.window.kernel_h)
        * blocks.columns(&g.window)
}

fn split_sums(
    rec: &mut Recorder,
    g: &Geometry,
    rows: usize,
    x: TensorId,
    dy: TensorId,
    weights: Option<TensorId>,
) -> TensorId {
    let w = &g.window;
    let blocks = Blocks::of(w);
    let splits = (g.images * w.out_height).div_ceil(rows);
    let (shared, wide) = (blocks.shared_inputs(w, rec.tuning()), rec.tuning().wide_loads);
    let shader = match (shared, WIDE_WEIGHT_GRADIENT_SHADERS.get(blocks.variant)) {
        (Some(_), _) => &SHARED_WEIGHT_GRADIENT_SHADERS[usize::from(wide)],
        (None, Some(shader)) if wide => shader,
        _ => &WEIGHT_GRADIENT_SHADERS[blocks.variant],
    };
    let columns = blocks.columns(w);
    let last_pixels = (w.out_width - 1) / PIXELS * PIXELS;
    let mut kernel = g
        .constants(Kernel::new(shader, "split_sums"))
        .size("SPLITS", splits)
        .size("ROWS", rows)
        .header("COLUMNS", columns as u32)
        .size("SAFE_FROM", w.pad_left)
        .size("SAFE_TO", (w.width + w.pad_left).saturating_sub(last_pixels * w.stride))
        .constant("EXACT", w.out_width.is_multiple_of(PIXELS))
        .constant("WEIGHTED", weights.is_some())
        .constant("EXAMPLE_PER_PIXEL", g.example_per_pixel);
    if let Some(inputs) = shared {
        let outputs = SUBGROUP / inputs;
        kernel = kernel.header("IN_TILES", inputs as u32).header("OUT_TILES", outputs as u32);
    }
    let sums = rec.transient("weight gradient of splits", splits * w.weight_len());
    let bindings = vec![rec.read(x), rec.read(dy), rec.read(weights.unwrap_or(x)), rec.write(sums)];
    let grid = per_element(splits * w.kernel_h * blocks.input * blocks.output / columns);
    rec.dispatch(kernel, bindings, grid, g.images as u64 * w.flops());
    sums
}
