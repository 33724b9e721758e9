//! The rectifier.

use super::check_len;

/// `max(x, 0)`, any shape. A NaN stays a NaN, as in PyTorch.
pub fn forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| if x <= 0.0 { 0.0 } else { x }).collect()
}

/// 0 where the ReLU's output (or its input) `y` is 0 or less, `d` elsewhere: both the tangent and
/// the backward pass. `y` and `d` have the same shape.
pub fn apply_mask(y: &[f64], d: &[f64]) -> Vec<f64> {
    check_len("d", d, y.len());
    let mut out = vec![0.0; d.len()];
    for at in 0..d.len() {
        out[at] = if y[at] <= 0.0 { 0.0 } else { d[at] };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{apply_mask, forward};

    #[test]
    fn the_derivative_at_zero_is_zero() {
        let x = [-1.5, 0.0, 2.0];
        assert_eq!(forward(&x), [0.0, 0.0, 2.0]);
        assert_eq!(apply_mask(&x, &[3.0, 4.0, 5.0]), [0.0, 0.0, 5.0]);
        assert_eq!(apply_mask(&forward(&x), &[3.0, 4.0, 5.0]), [0.0, 0.0, 5.0]);
    }

    #[test]
    fn a_nan_stays_one_and_lets_derivatives_through() {
        assert!(forward(&[f64::NAN])[0].is_nan());
        assert_eq!(apply_mask(&[f64::NAN], &[3.0]), [3.0]);
    }
}
