//! The sum of two tensors.

use super::check_len;

/// `a + b`, element by element.
pub fn forward(a: &[f64], b: &[f64]) -> Vec<f64> {
    check_len("b", b, a.len());
    let mut sum = vec![0.0; a.len()];
    for at in 0..a.len() {
        sum[at] = a[at] + b[at];
    }
    sum
}
