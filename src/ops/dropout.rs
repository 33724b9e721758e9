//! Dropout whose mask is the same in all passes of a step.

use super::parts::{GRID, RNG, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Kernel, Recorder, Shader, TensorId};

/// `shaders/dropout.wgsl`
static SHADER: Shader = Shader::new("dropout", &[GRID, STEP, RNG, wgsl!("dropout")]);

/// Inverted dropout of `x` at `rate`. The mask depends on the step, on `stream` and on an element's
/// place alone, so the same call serves forward, tangent and backward pass. The first element has
/// the place `first`: 0 unless `x` is a part of a batch.
pub fn apply(
    rec: &mut Recorder,
    step: TensorId,
    rate: f32,
    stream: u32,
    first: usize,
    x: TensorId,
) -> TensorId {
    let len = rec.len(x);
    let y = rec.transient("dropout", len);
    let kernel = Kernel::new(&SHADER, "apply")
        .constant("RATE", rate)
        .constant("STREAM", stream)
        .size("FIRST", first);
    let bindings = vec![rec.whole(step, Access::Uniform), rec.read(x), rec.write(y)];
    rec.dispatch(kernel, bindings, per_element(len), len as u64);
    y
}
