//! The rectifier, and the mask that its tangents and gradients pass.

use super::parts::{GRID, Lanes, RECTIFIER, wgsl};
use super::per_element;
use crate::gpu::{Binding, Kernel, Recorder, Shader, TensorId};

/// `y = max(x, 0)`; a NaN stays a NaN.
pub fn forward(rec: &mut Recorder, x: TensorId) -> TensorId {
    let len = rec.len(x);
    let y = rec.transient("relu", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    record(rec, "forward", bindings, len);
    y
}

/// `value` where the rectifier's `output` is not 0, else 0: its tangent and its gradient.
pub fn mask(rec: &mut Recorder, output: TensorId, value: TensorId) -> TensorId {
    let len = rec.len(value);
    let masked = rec.transient("relu mask", len);
    let bindings = vec![rec.read(output), rec.read(value), rec.write(masked)];
    record(rec, "mask", bindings, len);
    masked
}

fn record(rec: &mut Recorder, entry: &'static str, bindings: Vec<Binding>, len: usize) {
    let lanes = Lanes::of(&[len], rec.tuning());
    let shader = Shader::joined("relu", [GRID, lanes.part(), RECTIFIER, wgsl!("relu")]);
    rec.dispatch(
        Kernel::new(shader, entry),
        bindings,
        per_element(len / lanes.count()),
        len as u64,
    );
}
