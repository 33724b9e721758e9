//! From the similarities of a batch to the weights of its examples.

use super::parts::{GRID, wgsl};
use super::per_element;
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/example_weights.wgsl`
static SHADER: Shader = Shader::new("example_weights", &[GRID, wgsl!("example_weights")]);

fn kernel(entry: &'static str, examples: usize, parts: usize) -> Kernel {
    Kernel::new(&SHADER, entry).size("EXAMPLES", examples).size("PARTS", parts)
}

/// u = the sum of the rows of `parts` `[rows, pitch]`, of which the first `n` columns count: e.g.
/// each layer's similarity.
pub fn sum_parts(rec: &mut Recorder, n: usize, pitch: usize, parts: TensorId) -> TensorId {
    let rows = rec.len(parts) / pitch;
    let u = rec.transient("u", n);
    let bindings = vec![rec.read(parts), rec.write(u)];
    let kernel = kernel("sum_parts", n, rows).size("PITCH", pitch);
    rec.dispatch(kernel, bindings, per_element(n), (rows * n) as u64);
    u
}

/// Σ max(u, 0), `[1]`: what a data-parallel run sums over its ranks.
pub fn sum_rectified(rec: &mut Recorder, u: TensorId) -> TensorId {
    let n = rec.len(u);
    let total = rec.transient("total", 1);
    let bindings = vec![rec.read(u), rec.write(total)];
    rec.dispatch(kernel("sum_rectified", n, 1), bindings, [1, 1, 1], n as u64);
    total
}

/// w = max(u, 0) / total, all 0 where the total is 0 (Ren et al., 2018, equations 8 and 9). A
/// similarity that is infinite or not a number counts as 0.
pub fn normalise(rec: &mut Recorder, u: TensorId, total: TensorId) -> TensorId {
    let n = rec.len(u);
    let weights = rec.transient("weights", n);
    let bindings = vec![rec.read(u), rec.read(total), rec.write(weights)];
    rec.dispatch(kernel("normalise", n, 1), bindings, per_element(n), n as u64);
    weights
}
