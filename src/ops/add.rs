use super::{GRID, LANES_SCALAR, LANES_VEC4, LANES_WIDE, by_fours, per_element};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

const ADD: &str = include_str!("../../shaders/add.wgsl");

/// `shaders/add.wgsl` by fours, the same with wide loads, and one by one.
pub static SHADERS: [Shader; 3] = [
    Shader { name: "add", parts: &[GRID, LANES_VEC4, ADD] },
    Shader { name: "add", parts: &[GRID, LANES_WIDE, ADD] },
    Shader { name: "add", parts: &[GRID, LANES_SCALAR, ADD] },
];

/// `shaders/zeros.wgsl`
pub static ZEROS: Shader =
    Shader { name: "zeros", parts: &[GRID, include_str!("../../shaders/zeros.wgsl")] };

/// `a + b`, of the same length.
pub fn forward(rec: &mut Recorder, a: TensorId, b: TensorId) -> TensorId {
    let len = rec.len(a);
    let sum = rec.transient("sum", len);
    let bindings = vec![rec.read(a), rec.read(b), rec.write(sum)];
    let (kernel, lanes) = by_fours(&SHADERS, "forward", len, rec.tuning());
    rec.dispatch(kernel, bindings, per_element(len / lanes), len as u64);
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
