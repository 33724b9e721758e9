use super::{GRID, LANES_SCALAR, LANES_VEC4, LANES_WIDE, lanes_variant, per_element};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

const VEC4: &str = include_str!("../../shaders/matmul_vec4.wgsl");
const SCALAR: &str = include_str!("../../shaders/matmul_scalar.wgsl");
const MATMUL: &str = include_str!("../../shaders/matmul.wgsl");

/// `shaders/matmul.wgsl` for sizes that are multiples of 4, the same with wide loads, and for other
/// sizes.
pub static SHADERS: [Shader; 3] = [
    Shader { name: "matmul", parts: &[GRID, LANES_VEC4, VEC4, MATMUL] },
    Shader { name: "matmul", parts: &[GRID, LANES_WIDE, VEC4, MATMUL] },
    Shader { name: "matmul", parts: &[GRID, LANES_SCALAR, SCALAR, MATMUL] },
];

/// Rows of a register tile.
const TILE: usize = 8;

/// `a · b` for `a` `[m, k]`, `b` `[k, n]`, none of them 0: `[m, n]`.
pub fn nn(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    let lanes = lanes([k, n]);
    product(rec, "nn", [m, k, n], lanes, k / lanes, a, b)
}

/// `a · bᵀ` for `a` `[m, k]`, `b` `[n, k]`, none of them 0: `[m, n]`.
pub fn nt(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    let lanes = lanes([k, n]);
    product(rec, "nt", [m, k, n], lanes, k / lanes, a, b)
}

/// `aᵀ · b` for `a` `[k, m]`, `b` `[k, n]`, none of them 0: `[m, n]`.
pub fn tn(rec: &mut Recorder, m: usize, k: usize, n: usize, a: TensorId, b: TensorId) -> TensorId {
    product(rec, "tn", [m, k, n], lanes([m, n]), k, a, b)
}

/// Width of a register block where these sizes are cut into blocks.
fn lanes(sizes: [usize; 2]) -> usize {
    if sizes.iter().all(|size| size.is_multiple_of(4)) { 4 } else { 1 }
}

fn product(
    rec: &mut Recorder,
    entry: &'static str,
    [m, k, n]: [usize; 3],
    lanes: usize,
    depth: usize,
    a: TensorId,
    b: TensorId,
) -> TensorId {
    let c = rec.transient("product", m * n);
    let tile = TILE.min(m.next_multiple_of(lanes));
    let columns = n / lanes;
    let wide = if columns.is_multiple_of(2) { 2 } else { 1 };
    let shader = &SHADERS[lanes_variant(lanes, rec.tuning())];
    let kernel = Kernel::new(shader, entry)
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
