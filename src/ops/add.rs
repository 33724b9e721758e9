use super::{GRID, per_element};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/add.wgsl`
pub static SHADER: Shader =
    Shader { name: "add", parts: &[GRID, include_str!("../../shaders/add.wgsl")] };

/// `shaders/zeros.wgsl`
pub static ZEROS: Shader =
    Shader { name: "zeros", parts: &[GRID, include_str!("../../shaders/zeros.wgsl")] };

/// `a + b`, of the same length.
pub fn forward(rec: &mut Recorder, a: TensorId, b: TensorId) -> TensorId {
    let len = rec.len(a);
    let sum = rec.transient("sum", len);
    let bindings = vec![rec.read(a), rec.read(b), rec.write(sum)];
    rec.dispatch(Kernel::new(&SHADER, "forward"), bindings, per_element(len), len as u64);
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
