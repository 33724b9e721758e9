//! Stochastic gradient descent.

use super::check_len;

/// The settings of one [`sgd`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// lr.
    pub learning_rate: f64,
    /// μ; 0 for none.
    pub momentum: f64,
    /// λ, the factor of θ in the gradient where the decay mask is 1.
    pub weight_decay: f64,
    /// Whether to look ahead along the velocity.
    pub nesterov: bool,
}

/// One step, PyTorch's convention (Sutskever et al. 2013, with the learning rate outside the
/// velocity): `g' = g + λ · mask · θ`, `v ← μ v + g'`, and `θ ← θ − lr · v`, or
/// `θ ← θ − lr · (g' + μ v)` with Nesterov's momentum.
///
/// All four slices have one element a parameter; `decay_mask` is 1 where weight decay applies and 0
/// elsewhere.
pub fn sgd(
    settings: Sgd,
    parameters: &mut [f64],
    velocity: &mut [f64],
    gradient: &[f64],
    decay_mask: &[f64],
) {
    check_len("velocity", velocity, parameters.len());
    check_len("gradient", gradient, parameters.len());
    check_len("decay_mask", decay_mask, parameters.len());
    for k in 0..parameters.len() {
        let g = gradient[k] + settings.weight_decay * decay_mask[k] * parameters[k];
        velocity[k] = settings.momentum * velocity[k] + g;
        let step =
            if settings.nesterov { g + settings.momentum * velocity[k] } else { velocity[k] };
        parameters[k] -= settings.learning_rate * step;
    }
}

#[cfg(test)]
mod tests {
    use super::{Sgd, sgd};

    const SETTINGS: Sgd =
        Sgd { learning_rate: 0.5, momentum: 0.5, weight_decay: 0.25, nesterov: false };

    #[test]
    fn a_step_is_momentum_plus_masked_decay() {
        let (mut theta, mut v) = ([4.0, 4.0], [2.0, 2.0]);
        sgd(SETTINGS, &mut theta, &mut v, &[1.0, 1.0], &[1.0, 0.0]);
        assert_eq!((v, theta), ([3.0, 2.0], [2.5, 3.0]));
    }

    #[test]
    fn nesterov_looks_ahead_along_the_new_velocity() {
        let (mut theta, mut v) = ([4.0], [2.0]);
        let settings = Sgd { nesterov: true, ..SETTINGS };
        sgd(settings, &mut theta, &mut v, &[1.0], &[1.0]);
        assert_eq!((v, theta), ([3.0], [2.25]));
    }

    #[test]
    fn a_gradient_of_zero_leaves_decay_and_momentum() {
        let (mut theta, mut v) = ([4.0], [2.0]);
        sgd(SETTINGS, &mut theta, &mut v, &[0.0], &[1.0]);
        assert_eq!((v, theta), ([2.0], [3.0]));
    }
}
