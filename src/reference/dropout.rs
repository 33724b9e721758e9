//! Inverted dropout (Srivastava et al., 2014) with a mask drawn elsewhere.

use super::check_len;

/// `x · mask`, its own tangent and backward pass; `x` and `mask` have the same shape.
///
/// `mask` is 0 where an element is dropped and `1 / (1 − rate)` where it is kept, so that
/// evaluation needs no factor.
pub fn forward(x: &[f64], mask: &[f64]) -> Vec<f64> {
    check_len("mask", mask, x.len());
    let mut y = vec![0.0; x.len()];
    for at in 0..x.len() {
        y[at] = x[at] * mask[at];
    }
    y
}

#[cfg(test)]
mod tests {
    use super::forward;

    #[test]
    fn kept_elements_are_scaled_up() {
        assert_eq!(forward(&[1.0, 2.0, 3.0], &[2.0, 0.0, 2.0]), [2.0, 0.0, 6.0]);
    }
}
