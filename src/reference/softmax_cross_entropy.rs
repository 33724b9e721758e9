//! Softmax, cross-entropy, and the tangent route's last inner product.
//!
//! `logits` are `[n, classes]`, `labels` `[n]`. An example whose label is none of the classes does
//! not count: its loss and its residual are 0.

use super::check_len;

#[track_caller]
fn check(n: usize, classes: usize, logits: &[f64], labels: &[u32]) {
    check_len("logits", logits, n * classes);
    check_len("labels", labels, n);
}

fn maximum(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `f_i = log Σ_c exp(logits_ic) − logits_i,label`, shifted by the largest logit so that nothing
/// overflows. Returns `[n]`.
pub fn losses(n: usize, classes: usize, logits: &[f64], labels: &[u32]) -> Vec<f64> {
    check(n, classes, logits, labels);
    let mut losses = vec![0.0; n];
    for i in 0..n {
        let row = &logits[i * classes..(i + 1) * classes];
        let Some(label_logit) = row.get(labels[i] as usize) else { continue };
        let max = maximum(row);
        let mut sum = 0.0;
        for c in 0..classes {
            sum += (row[c] - max).exp();
        }
        losses[i] = sum.ln() - (label_logit - max);
    }
    losses
}

/// `exp(logits_ic) / Σ_c exp(logits_ic)`, shifted by the largest logit. Returns `[n, classes]`.
pub fn softmax(n: usize, classes: usize, logits: &[f64]) -> Vec<f64> {
    check_len("logits", logits, n * classes);
    let mut softmax = vec![0.0; n * classes];
    for i in 0..n {
        let row = &logits[i * classes..(i + 1) * classes];
        let max = maximum(row);
        let mut sum = 0.0;
        for c in 0..classes {
            sum += (row[c] - max).exp();
        }
        for c in 0..classes {
            softmax[i * classes + c] = (row[c] - max).exp() / sum;
        }
    }
    softmax
}

/// `∂f_i/∂logits_i = softmax_i − onehot_i`. Returns `[n, classes]`.
///
/// The label's entry is minus the sum of the others: `p − 1` would lose its digits to cancellation
/// for a confidently right example, in `f32` all of them.
pub fn residual(n: usize, classes: usize, logits: &[f64], labels: &[u32]) -> Vec<f64> {
    check(n, classes, logits, labels);
    let softmax = softmax(n, classes, logits);
    let mut residual = vec![0.0; n * classes];
    for i in 0..n {
        let label = labels[i] as usize;
        if label >= classes {
            continue;
        }
        let mut others = 0.0;
        for c in 0..classes {
            if c != label {
                residual[i * classes + c] = softmax[i * classes + c];
                others += softmax[i * classes + c];
            }
        }
        residual[i * classes + label] = -others;
    }
    residual
}

/// The losses `[n]` and residuals `[n, classes]` against the target
/// `(1 − s) · onehot + s / classes`, where `s` is the `smoothing`.
pub fn smoothed(
    n: usize,
    classes: usize,
    logits: &[f64],
    labels: &[u32],
    smoothing: f64,
) -> (Vec<f64>, Vec<f64>) {
    let probabilities = softmax(n, classes, logits);
    let (mut losses, mut residuals) = (vec![0.0; n], vec![0.0; n * classes]);
    for i in (0..n).filter(|i| (labels[*i] as usize) < classes) {
        for c in 0..classes {
            let is_label = f64::from(u8::from(labels[i] as usize == c));
            let target = (1.0 - smoothing) * is_label + smoothing / classes as f64;
            let against = self::losses(1, classes, &logits[i * classes..][..classes], &[c as u32]);
            losses[i] += target * against[0];
            residuals[i * classes + c] = probabilities[i * classes + c] - target;
        }
    }
    (losses, residuals)
}

/// The gradient `[n, classes]` of `Σ_i weights_i · f_i` with respect to the logits, from the
/// [`residual`] `[n, classes]` and the weights `[n]`. Exactly 0 for examples of weight 0.
pub fn gradient(n: usize, classes: usize, residual: &[f64], weights: &[f64]) -> Vec<f64> {
    check_len("residual", residual, n * classes);
    check_len("weights", weights, n);
    let mut gradient = vec![0.0; n * classes];
    for i in 0..n {
        if weights[i] == 0.0 {
            continue;
        }
        for c in 0..classes {
            gradient[i * classes + c] = weights[i] * residual[i * classes + c];
        }
    }
    gradient
}

/// `u_i = ⟨residual_i, dlogits_i⟩`: the directional derivative of every `f_i` where `dlogits` is
/// the logits' tangent along G. Both are `[n, classes]`. Returns `[n]`.
pub fn tangent(n: usize, classes: usize, residual: &[f64], dlogits: &[f64]) -> Vec<f64> {
    check_len("residual", residual, n * classes);
    check_len("dlogits", dlogits, n * classes);
    let mut u = vec![0.0; n];
    for i in 0..n {
        for c in 0..classes {
            u[i] += residual[i * classes + c] * dlogits[i * classes + c];
        }
    }
    u
}

/// Whether the largest logit is the label's, the first of equal ones counting as the largest.
/// Returns `[n]`.
pub fn correct(n: usize, classes: usize, logits: &[f64], labels: &[u32]) -> Vec<bool> {
    check(n, classes, logits, labels);
    let mut correct = vec![false; n];
    for i in 0..n {
        let row = &logits[i * classes..(i + 1) * classes];
        let mut argmax = 0;
        for c in 1..classes {
            if row[c] > row[argmax] {
                argmax = c;
            }
        }
        correct[i] = argmax == labels[i] as usize;
    }
    correct
}

#[cfg(test)]
mod tests {
    use super::{correct, gradient, losses, residual};

    #[test]
    fn huge_logits_overflow_nothing() {
        let logits = [1e4, 0.0, -1e4];
        assert_eq!(losses(1, 3, &logits, &[0]), [0.0]);
        assert_eq!(losses(1, 3, &logits, &[2]), [2e4]);
        assert_eq!(residual(1, 3, &logits, &[1]), [1.0, -1.0, 0.0]);
    }

    #[test]
    fn a_confidently_right_example_keeps_its_residual() {
        let r = residual(1, 2, &[40.0, 0.0], &[0]);
        assert!(r[1] > 0.0);
        assert_eq!(r[0], -r[1]);
    }

    #[test]
    fn equal_logits_count_as_the_first_class() {
        assert_eq!(correct(2, 3, &[1.0, 2.0, 2.0, 1.0, 2.0, 2.0], &[1, 2]), [true, false]);
    }

    #[test]
    fn a_weight_of_zero_gives_a_gradient_of_zero() {
        let g = gradient(2, 2, &[f64::NAN, f64::NAN, 1.0, -1.0], &[0.0, 0.5]);
        assert_eq!(g, [0.0, 0.0, 0.5, -0.5]);
    }

    #[test]
    fn an_example_whose_label_is_none_of_the_classes_does_not_count() {
        assert_eq!(losses(1, 2, &[0.0, 1.0], &[2]), [0.0]);
        assert_eq!(residual(1, 2, &[0.0, 1.0], &[u32::MAX]), [0.0; 2]);
        assert_eq!(correct(1, 2, &[0.0, 1.0], &[2]), [false]);
    }
}
