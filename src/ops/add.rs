//! Sums of two tensors, and zeros.

use super::parts::{GRID, Lanes, wgsl};
use super::per_element;
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/zeros.wgsl`
static ZEROS: Shader = Shader::new("zeros", &[GRID, wgsl!("zeros")]);

/// `a + b`, of the same length.
pub fn forward(rec: &mut Recorder, a: TensorId, b: TensorId) -> TensorId {
    let len = rec.len(a);
    let sum = rec.transient("sum", len);
    let bindings = vec![rec.read(a), rec.read(b), rec.write(sum)];
    let lanes = Lanes::of(&[len], rec.tuning());
    let kernel = lanes.kernel("add", wgsl!("add"), "forward");
    rec.dispatch(kernel, bindings, per_element(len / lanes.count()), len as u64);
    sum
}

/// Zeros, as many as `x` has elements: the tangent of a constant.
pub fn zeros_like(rec: &mut Recorder, x: TensorId) -> TensorId {
    let len = rec.len(x);
    let zeros = rec.transient("zeros", len);
    let bindings = vec![rec.write(zeros)];
    rec.dispatch(Kernel::new(&ZEROS, "zeros"), bindings, per_element(len), 0);
    zeros
}
