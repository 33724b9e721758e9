//! Adam with decoupled weight decay.

use super::check_len;

/// The settings of an [`adamw`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// η
    pub learning_rate: f64,
    /// λ, which acts where the decay mask is 1.
    pub weight_decay: f64,
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub epsilon: f64,
    /// t, counted from 1.
    pub step: i32,
}

/// One step (Loshchilov and Hutter, ICLR 2019, algorithm 2, in PyTorch's convention: decay is
/// multiplied by the learning rate).
///
/// All slices have one element a parameter; `decay_mask` is 1 where weight decay applies and 0
/// elsewhere.
pub fn adamw(
    settings: AdamW,
    parameters: &mut [f64],
    first_moment: &mut [f64],
    second_moment: &mut [f64],
    gradient: &[f64],
    decay_mask: &[f64],
) {
    check_len("first_moment", first_moment, parameters.len());
    check_len("second_moment", second_moment, parameters.len());
    check_len("gradient", gradient, parameters.len());
    check_len("decay_mask", decay_mask, parameters.len());
    let AdamW { learning_rate, weight_decay, beta1, beta2, epsilon, step } = settings;
    for k in 0..parameters.len() {
        let g = gradient[k];
        let m = beta1 * first_moment[k] + (1.0 - beta1) * g;
        let v = beta2 * second_moment[k] + (1.0 - beta2) * g * g;
        first_moment[k] = m;
        second_moment[k] = v;
        let decayed = parameters[k] - learning_rate * weight_decay * decay_mask[k] * parameters[k];
        let root = (v / (1.0 - beta2.powi(step))).sqrt() + epsilon;
        let direction = if m == 0.0 { 0.0 } else { m / (1.0 - beta1.powi(step)) / root };
        parameters[k] = decayed - learning_rate * direction;
    }
}

#[cfg(test)]
mod tests {
    use super::{AdamW, adamw};

    const SETTINGS: AdamW = AdamW {
        learning_rate: 0.5,
        weight_decay: 0.25,
        beta1: 0.5,
        beta2: 0.75,
        epsilon: 0.0,
        step: 1,
    };

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate_and_the_sign_of_the_gradient() {
        let (mut theta, mut m, mut v) = ([4.0, 4.0], [0.0; 2], [0.0; 2]);
        adamw(SETTINGS, &mut theta, &mut m, &mut v, &[3.0, -0.1], &[0.0, 0.0]);
        assert_eq!((m[0], v[0]), (1.5, 2.25));
        assert!((theta[0] - 3.5).abs() < 1e-12 && (theta[1] - 4.5).abs() < 1e-12, "{theta:?}");
    }

    #[test]
    fn a_parameter_without_gradients_stays_even_without_epsilon() {
        let (mut theta, mut m, mut v) = ([4.0], [0.0], [0.0]);
        adamw(SETTINGS, &mut theta, &mut m, &mut v, &[0.0], &[0.0]);
        assert_eq!(theta, [4.0]);
    }

    #[test]
    fn decay_is_decoupled_from_the_gradient_and_masked() {
        let (mut theta, mut m, mut v) = ([4.0, 4.0], [0.0; 2], [1.0; 2]);
        adamw(SETTINGS, &mut theta, &mut m, &mut v, &[0.0, 0.0], &[1.0, 0.0]);
        assert_eq!((theta, m), ([3.5, 4.0], [0.0, 0.0]));
    }
}
