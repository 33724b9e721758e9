//! Steps of stochastic gradient descent over the flat parameter vector, real and virtual ones.

use super::parts::{GRID, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Kernel, Recorder, Shader, TensorId};

/// `shaders/sgd.wgsl`
static SHADER: Shader = Shader::new("sgd", &[GRID, STEP, wgsl!("sgd")]);

/// The flat vectors of a network, all of one length.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// θ
    pub parameters: TensorId,
    /// v
    pub velocity: TensorId,
    /// 1 where weight decay applies, else 0.
    pub decay_mask: TensorId,
}

/// v ← μ·v + g + λ·θ; θ ← θ − η·v, with η, μ, λ from the step's uniform. Nothing
/// happens where something was [found](super::not_finite) that is not finite.
pub fn update(
    rec: &mut Recorder,
    step: TensorId,
    state: State,
    gradient: TensorId,
    found: TensorId,
    nesterov: bool,
) {
    let len = rec.len(state.parameters);
    let kernel = Kernel::new(&SHADER, "update").constant("NESTEROV", nesterov);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.whole(state.parameters, Access::ReadWrite),
        rec.whole(state.velocity, Access::ReadWrite),
        rec.read(gradient),
        rec.read(state.decay_mask),
        rec.read(found),
    ];
    rec.dispatch(kernel, bindings, per_element(len), 6 * len as u64);
}

/// G ← G + λ·θ: weight decay in the clean loss as well, as in the official code for CIFAR.
pub fn decay_clean_gradient(
    rec: &mut Recorder,
    step: TensorId,
    state: State,
    clean_gradient: TensorId,
) {
    let len = rec.len(clean_gradient);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.read(state.parameters),
        rec.read(state.decay_mask),
        rec.whole(clean_gradient, Access::ReadWrite),
    ];
    let kernel = Kernel::new(&SHADER, "decay_clean_gradient");
    rec.dispatch(kernel, bindings, per_element(len), 3 * len as u64);
}

/// `stepped` ← θ − η·g: the plain step, without momentum or decay, by which meta-learning looks
/// ahead.
pub fn virtual_step(
    rec: &mut Recorder,
    step: TensorId,
    parameters: TensorId,
    gradient: TensorId,
    stepped: TensorId,
) {
    let len = rec.len(parameters);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.read(parameters),
        rec.read(gradient),
        rec.write(stepped),
    ];
    rec.dispatch(Kernel::new(&SHADER, "virtual_step"), bindings, per_element(len), 2 * len as u64);
}
