//! From the similarities of a batch to the weights of its examples.

use super::parts::{GRID, wgsl};
use super::per_element;
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/example_weights.wgsl`
static SHADER: Shader = Shader::new("example_weights", &[GRID, wgsl!("example_weights")]);

fn kernel(entry: &'static str, examples: usize) -> Kernel {
    Kernel::new(&SHADER, entry).size("EXAMPLES", examples)
}

/// u = the sum of the rows of `parts` `[rows, pitch]`, of which the first `n` columns count: e.g.
/// each layer's similarity.
pub fn sum_parts(rec: &mut Recorder, n: usize, pitch: usize, parts: TensorId) -> TensorId {
    let rows = rec.len(parts) / pitch;
    let u = rec.transient("u", n);
    let bindings = vec![rec.read(parts), rec.write(u)];
    let kernel = kernel("sum_parts", n).size("PARTS", rows).size("PITCH", pitch);
    rec.dispatch(kernel, bindings, per_element(n), (rows * n) as u64);
    u
}

/// The largest max(u, 0), `[1]`; 0 where there is none. A similarity that is infinite or not a
/// number counts as 0. What a data-parallel run takes the maximum of over its ranks.
pub fn largest(rec: &mut Recorder, u: TensorId) -> TensorId {
    let n = rec.len(u);
    let largest = rec.transient("largest", 1);
    let bindings = vec![rec.read(u), rec.write(largest)];
    rec.dispatch(kernel("find_largest", n), bindings, [1, 1, 1], n as u64);
    largest
}

/// Σ max(u, 0) divided by the power of two of the largest, so that it fits an f32: `[1]`. What a
/// data-parallel run, whose ranks share the largest, sums over them.
pub fn sum_scaled(rec: &mut Recorder, u: TensorId, largest: TensorId) -> TensorId {
    let n = rec.len(u);
    let total = rec.transient("total", 1);
    let bindings = vec![rec.read(u), rec.read(largest), rec.write(total)];
    rec.dispatch(kernel("sum_scaled", n), bindings, [1, 1, 1], n as u64);
    total
}

/// w = max(u, 0) / Σ max(u, 0) of the sum's [`sum_scaled`] and its [`largest`], all 0 where it is 0
/// (Ren et al., 2018, equations 8 and 9).
pub fn normalise(rec: &mut Recorder, u: TensorId, largest: TensorId, total: TensorId) -> TensorId {
    let n = rec.len(u);
    let weights = rec.transient("weights", n);
    let bindings = vec![rec.read(u), rec.read(largest), rec.read(total), rec.write(weights)];
    rec.dispatch(kernel("normalise", n), bindings, per_element(n), n as u64);
    weights
}

/// w = max(u, 0) / `count`, the examples of the whole batch, of which `u` may be a part. What is
/// infinite or not a number counts as 0.
pub fn divide(rec: &mut Recorder, u: TensorId, count: usize) -> TensorId {
    let n = rec.len(u);
    let weights = rec.transient("weights", n);
    let bindings = vec![rec.read(u), rec.write(weights)];
    rec.dispatch(kernel("divide", n).size("COUNT", count), bindings, per_element(n), n as u64);
    weights
}

/// The weights `[n]`, but 0 where a label `[n]` is none of the classes.
pub fn labelled(
    rec: &mut Recorder,
    classes: usize,
    labels: TensorId,
    weights: TensorId,
) -> TensorId {
    let n = rec.len(weights);
    let out = rec.transient("weights", n);
    let bindings = vec![rec.read(weights), rec.read(labels), rec.write(out)];
    let kernel = kernel("keep_labelled", n).size("CLASSES", classes);
    rec.dispatch(kernel, bindings, per_element(n), 0);
    out
}

/// Each of the weights `[n]` times the factor of its label's class in `table` `[classes]`; 0 where
/// a label `[n]` is none of the classes.
pub fn by_class(
    rec: &mut Recorder,
    weights: TensorId,
    labels: TensorId,
    table: TensorId,
) -> TensorId {
    let n = rec.len(weights);
    let out = rec.transient("weights by class", n);
    let bindings = vec![rec.read(weights), rec.read(labels), rec.write(out), rec.read(table)];
    let kernel = kernel("times_class", n).size("CLASSES", rec.len(table));
    rec.dispatch(kernel, bindings, per_element(n), n as u64);
    out
}
