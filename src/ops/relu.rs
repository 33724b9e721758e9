use super::{GRID, LANES_SCALAR, LANES_VEC4, LANES_WIDE, by_fours, per_element};
use crate::gpu::{Recorder, Shader, TensorId};

const RELU: &str = include_str!("../../shaders/relu.wgsl");

/// `shaders/relu.wgsl` by fours, the same with wide loads, and one by one.
static SHADERS: [Shader; 3] = [
    Shader { name: "relu", parts: &[GRID, LANES_VEC4, RELU] },
    Shader { name: "relu", parts: &[GRID, LANES_WIDE, RELU] },
    Shader { name: "relu", parts: &[GRID, LANES_SCALAR, RELU] },
];

/// `y = max(x, 0)`
pub fn forward(rec: &mut Recorder, x: TensorId) -> TensorId {
    let len = rec.len(x);
    let y = rec.transient("relu", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    let (kernel, lanes) = by_fours(&SHADERS, "forward", len, rec.tuning());
    rec.dispatch(kernel, bindings, per_element(len / lanes), len as u64);
    y
}

/// `value` where the rectifier's `output` is positive, else 0: its tangent and its gradient.
pub fn mask(rec: &mut Recorder, output: TensorId, value: TensorId) -> TensorId {
    let len = rec.len(value);
    let masked = rec.transient("relu mask", len);
    let bindings = vec![rec.read(output), rec.read(value), rec.write(masked)];
    let (kernel, lanes) = by_fours(&SHADERS, "mask", len, rec.tuning());
    rec.dispatch(kernel, bindings, per_element(len / lanes), len as u64);
    masked
}
