//! Steps of AdamW over the flat parameter vector.

use super::parts::{GRID, STEP, wgsl};
use super::per_element;
use super::sgd::State;
use crate::gpu::{Access, Kernel, Recorder, Shader, TensorId};

/// `shaders/adamw.wgsl`
static SHADER: Shader = Shader::new("adamw", &[GRID, STEP, wgsl!("adamw")]);

/// What stays the same over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// β₁, share of the old first moment.
    pub beta1: f32,
    /// β₂, share of the old second moment.
    pub beta2: f32,
    /// ε, added to the root of the second moment.
    pub epsilon: f32,
}

/// m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; θ ← θ − η·λ·θ − η·m̂ / (√v̂ + ε), with the bias
/// corrections, η and λ from the step's uniform. `state.velocity` holds the first moment m.
/// Nothing happens where something was [found](super::not_finite) that is not finite.
pub fn update(
    rec: &mut Recorder,
    step: TensorId,
    state: State,
    second_moment: TensorId,
    gradient: TensorId,
    found: TensorId,
    options: Options,
) {
    let len = rec.len(state.parameters);
    let kernel = Kernel::new(&SHADER, "update")
        .constant("BETA_1", options.beta1)
        .constant("BETA_2", options.beta2)
        .constant("EPSILON", options.epsilon);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.whole(state.parameters, Access::ReadWrite),
        rec.whole(state.velocity, Access::ReadWrite),
        rec.whole(second_moment, Access::ReadWrite),
        rec.read(gradient),
        rec.read(state.decay_mask),
        rec.read(found),
    ];
    rec.dispatch(kernel, bindings, per_element(len), 16 * len as u64);
}
