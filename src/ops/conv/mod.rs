//! Two families of kernels. Where channels are few, an invocation computes a register tile of
//! pixels by one or two blocks of channels straight from storage: every weight it loads serves 8
//! pixels. Where they are many ([`Staging::channels`](crate::gpu::Staging)), that is bound by the
//! second-level cache, and a workgroup of 256 invocations computes 64 or 128 pixels by 64 channels
//! (or more) as a matrix product instead, whose factors it loads once into its memory, 16 terms at
//! a time.
//!
//! On software adapters, where loads cost most, the invocations of a subgroup load for each other
//! what they share ([`Tuning::shared_loads`]).

mod borders;
mod direct;
mod staged;
mod weight_gradient;

use borders::Tiling;
use direct::{
    Blocks, DUAL_TILE, Geometry, TILE, bind, columns, grid, is_shared, kernel, output_grid,
};
use staged::Staged;

use super::shortcut::{self, Shortcut};
use super::{Rows, View, Window, add, reduce};
use crate::gpu::{Recorder, TensorId, Tuning};

/// Two spans, two tiles and the taps of a wider kernel do not fit into registers: three plain
/// convolutions are faster.
const WIDEST_DUAL_KERNEL: usize = 3;

/// `conv(x, weights)`: `x` `[n, h, w, in]`, `weights` `[kernel_h, kernel_w, in, out]`; plus
/// `addend`, of the output's shape, if given.
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
        // What is bound for no addend must hold one element of it, which the input may not.
        addend.map_or(weights.read(), |addend| rec.read(addend)),
    ];
    let columns = columns(Blocks::of(&g.window).output, rec.tuning());
    let kernel = kernel(rec, "forward", (&g, &tiling), columns, &mut bindings)
        .constant("HAS_ADDEND", addend.is_some());
    let grid = output_grid(&g, &tiling, columns, rec.tuning());
    rec.dispatch(kernel, bindings, grid, n as u64 * w.flops());
    z
}

/// The tangent alone of a convolution of `x` and its tangent, if it has one:
/// `conv(x, weights_tangent) + conv(dx, weights)`, plus `addend` if given.
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
            shortcut::dual(rec, &shortcut, n, (z, dz), (value, tangent))
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
#[allow(clippy::too_many_arguments, reason = "an op takes its shape and its tensors one by one")]
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
#[allow(clippy::too_many_arguments, reason = "an op takes its shape and its tensors one by one")]
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
            let rows = weight_gradient::rows_of_split(&g, rec.tuning());
            weight_gradient::split_sums(rec, &g, rows, x, dy, weights)
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
    weight_gradient::split_sums(rec, &g, w.out_height, x, dy, None)
}
