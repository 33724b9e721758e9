//! The rectifier.

use super::check_len;

/// `max(x, 0)`, any shape. A NaN comes out as 0.
pub fn forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| x.max(0.0)).collect()
}

/// `d` where the ReLU's output (or its input) `y` is positive, 0 elsewhere: both the tangent and
/// the backward pass. `y` and `d` have the same shape.
pub fn apply_mask(y: &[f64], d: &[f64]) -> Vec<f64> {
    check_len("d", d, y.len());
    let mut out = vec![0.0; d.len()];
    for at in 0..d.len() {
        if y[at] > 0.0 {
            out[at] = d[at];
        }
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
}
