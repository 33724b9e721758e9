//! Two families of kernels: an invocation computes a register tile straight from storage, or, for
//! large sizes ([`Staging::product`](crate::gpu::Staging)), a workgroup of 256 invocations computes
//! 128 rows by 64 columns (or more), whose factors it loads once into its memory, 16 terms at a
//! time. That reads storage a fifth as often: 10 multiplications a float instead of 2.
//!
//! Both take rows by fours. Where rows are of other lengths and the product is large, its factors
//! are copied with zeros behind their rows.
//!
//! Where subgroups share what convolutions load ([`Tuning::shared_loads`]), products are the passes
//! of a linear layer, whose kernels do.

use super::parts::{GRID, Lanes, wgsl};
use super::staged::{self, Rounding, STEP, Tiles};
use super::{View, Window, conv, pad, per_element};
use crate::gpu::{Kernel, Part, Recorder, Shader, Staging, TensorId, Tuning};

/// Sizes of a register block: the axis `matmul/block`.
fn block(lanes: Lanes) -> Part {
    match lanes {
        Lanes::Scalar => wgsl!("matmul/block", "scalar"),
        _ => wgsl!("matmul/block", "vec4"),
    }
}

fn shader(lanes: Lanes) -> Shader {
    Shader::joined("matmul", [GRID, lanes.part(), block(lanes), wgsl!("matmul/direct")])
}

/// Rows of a register tile.
const TILE: usize = 8;

/// From so many multiplications on, factors are padded: to copy them takes less than to compute one
/// by one.
const PADDED_FROM: usize = 1 << 15;

/// `nn`, `nt` or `tn`.
type Product = fn(&mut Recorder, usize, usize, usize, TensorId, TensorId) -> TensorId;

/// A large product of which rows are no multiple of four, from copies of its factors with zeros
/// behind, to whole register tiles; `None` for others. The axes of a factor are places in `sizes`,
/// which are `[m, k, n]`.
fn padded(
    rec: &mut Recorder,
    product: Product,
    sizes: [usize; 3],
    [a_axes, b_axes]: [[usize; 2]; 2],
    [a, b]: [TensorId; 2],
) -> Option<TensorId> {
    let by_fours = [a_axes[1], b_axes[1], 2].iter().all(|axis| sizes[*axis].is_multiple_of(4));
    if by_fours || sizes.iter().product::<usize>() < PADDED_FROM {
        return None;
    }
    let [m, k, n] = sizes;
    let padded = [m.next_multiple_of(TILE), k.next_multiple_of(4), n.next_multiple_of(8)];
    let mut resize = |x, axes: [usize; 2]| {
        pad::resize(rec, x, axes.map(|axis| sizes[axis]), axes.map(|axis| padded[axis]))
    };
    let (a, b) = (resize(a, a_axes), resize(b, b_axes));
    let c = product(rec, padded[0], padded[1], padded[2], a, b);
    Some(pad::resize(rec, c, [padded[0], padded[2]], [m, n]))
}

/// `a · b` for `a` `[m, k]`, `b` `[k, n]`, none of them 0: `[m, n]`.
pub fn nn(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    if let Some(c) = padded(rec, nn, [m, k, n], [[0, 1], [1, 2]], [a, b]) {
        return c;
    }
    let lanes = Lanes::of(&[k, n], rec.tuning());
    if is_layer(lanes, rec.tuning()) {
        let weights = View::whole(rec, b);
        return conv::forward(rec, &Window::linear(k, n), m, a, weights, None);
    }
    product(rec, "nn", [m, k, n], lanes, k / lanes.count(), a, b)
}

/// `a · bᵀ` for `a` `[m, k]`, `b` `[n, k]`, none of them 0: `[m, n]`.
pub fn nt(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    if let Some(c) = padded(rec, nt, [m, k, n], [[0, 1], [2, 1]], [a, b]) {
        return c;
    }
    let lanes = Lanes::of(&[k, n], rec.tuning());
    if is_layer(lanes, rec.tuning()) {
        let weights = View::whole(rec, b);
        return conv::input_gradient(rec, &Window::linear(n, k), m, a, weights);
    }
    product(rec, "nt", [m, k, n], lanes, k / lanes.count(), a, b)
}

/// `aᵀ · b` for `a` `[k, m]`, `b` `[k, n]`, none of them 0: `[m, n]`.
pub fn tn(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    if let Some(c) = padded(rec, tn, [m, k, n], [[1, 0], [1, 2]], [a, b]) {
        return c;
    }
    let lanes = Lanes::of(&[m, n], rec.tuning());
    if is_layer(lanes, rec.tuning()) {
        let product = rec.transient("product", m * n);
        let out = View::whole(rec, product);
        conv::weight_gradient(rec, &Window::linear(m, n), k, a, b, None, out);
        return product;
    }
    product(rec, "tn", [m, k, n], lanes, k, a, b)
}

/// Whether a product is left to the kernels of a linear layer.
fn is_layer(lanes: Lanes, tuning: Tuning) -> bool {
    lanes != Lanes::Scalar && tuning.shared_loads && tuning.staging.is_none()
}

fn product(
    rec: &mut Recorder,
    entry: &'static str,
    [m, k, n]: [usize; 3],
    lanes: Lanes,
    depth: usize,
    a: TensorId,
    b: TensorId,
) -> TensorId {
    let c = rec.transient("product", m * n);
    if let Some(staging) = staging([m, k, n], lanes, rec.tuning()) {
        record_staged(rec, entry, [m, k, n], staging, [a, b, c]);
        return c;
    }
    let tile = TILE.min(m.next_multiple_of(lanes.count()));
    let columns = n / lanes.count();
    let wide = if columns.is_multiple_of(2) { 2 } else { 1 };
    let kernel = Kernel::new(shader(lanes), entry)
        .size("ROWS", m)
        .size("DEPTH", depth)
        .size("COLUMNS", columns)
        .constant("EXACT", m.is_multiple_of(tile))
        .header("TILE", tile as u32)
        .header("WIDE", wide as u32);
    let bindings = vec![rec.read(a), rec.read(b), rec.write(c)];
    let grid = per_element(m.div_ceil(tile) * columns / wide);
    rec.dispatch(kernel, bindings, grid, 2 * (m * k * n) as u64);
    c
}

/// How a product is staged, if its factors' rows come by fours and its sizes are large enough.
fn staging(sizes: [usize; 3], lanes: Lanes, tuning: Tuning) -> Option<Staging> {
    let suits =
        |staging: &Staging| lanes != Lanes::Scalar && sizes.iter().all(|&s| s >= staging.product);
    tuning.staging.filter(suits)
}

fn record_staged(
    rec: &mut Recorder,
    form: &str,
    [m, k, n]: [usize; 3],
    staging: Staging,
    [a, b, c]: [TensorId; 3],
) {
    let tiles = Tiles::of(m, n, staging);
    let (a_along_terms, b_along_terms) = (form != "tn", form == "nt");
    let (a_rows, a_columns) = if a_along_terms { (m, k) } else { (k, m) };
    let (b_rows, b_columns) = if b_along_terms { (n, k) } else { (k, n) };
    let own = [wgsl!("matmul/staged")];
    let kernel = staged::kernel("matmul_staged", &own, "product", (staging, Rounding::Never))
        .size("ROWS", m)
        .size("COLUMNS", n / 4)
        .size("STEPS", k.div_ceil(STEP))
        .size("A_ROWS", a_rows)
        .size("A_QUADS", a_columns / 4)
        .constant("A_ALONG_TERMS", a_along_terms)
        .size("B_ROWS", b_rows)
        .size("B_QUADS", b_columns / 4)
        .constant("B_ALONG_TERMS", b_along_terms);
    let bindings = vec![rec.read(a), rec.read(b), rec.write(c)];
    rec.dispatch(tiles.constants(kernel, 1), bindings, tiles.grid(1), 2 * (m * k * n) as u64);
}
