use super::{GRID, per_element};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/relu.wgsl`
pub static SHADER: Shader =
    Shader { name: "relu", parts: &[GRID, include_str!("../../shaders/relu.wgsl")] };

/// `y = max(x, 0)`
pub fn forward(rec: &mut Recorder, x: TensorId) -> TensorId {
    let len = rec.len(x);
    let y = rec.transient("relu", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    rec.dispatch(Kernel::new(&SHADER, "forward"), bindings, per_element(len), len as u64);
    y
}

/// `value` where the rectifier's `output` is positive, else 0: its tangent and its gradient.
pub fn mask(rec: &mut Recorder, output: TensorId, value: TensorId) -> TensorId {
    let len = rec.len(value);
    let masked = rec.transient("relu mask", len);
    let bindings = vec![rec.read(output), rec.read(value), rec.write(masked)];
    rec.dispatch(Kernel::new(&SHADER, "mask"), bindings, per_element(len), len as u64);
    masked
}
