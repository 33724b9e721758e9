//! The Gaussian error linear unit.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::check_len;

/// The error function 2/√π ∫₀ˣ exp(−t²) dt, as 2/√π · exp(−x²) · Σ 2ᵏ x²ᵏ⁺¹ / (1 · 3 · … · (2k+1)),
/// whose terms have one sign (Abramowitz and Stegun, 1964, equation 7.1.6).
pub fn error_function(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut k) = (x, x, 0.0);
    while term.abs() > f64::EPSILON * sum.abs() {
        k += 1.0;
        term *= 2.0 * x * x / (2.0 * k + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// Φ(x), the distribution function of the standard normal distribution.
fn distribution(x: f64) -> f64 {
    0.5 * (1.0 + error_function(x * FRAC_1_SQRT_2))
}

/// Φ'(x).
fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// `x · Φ(x)`, any shape.
pub fn forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| x * distribution(x)).collect()
}

/// `value · (Φ(x) + x · Φ'(x))`: the tangent and the gradient of [`forward`]. `x` and `value` have
/// the same shape.
pub fn times_derivative(x: &[f64], value: &[f64]) -> Vec<f64> {
    check_len("value", value, x.len());
    let mut product = vec![0.0; x.len()];
    for at in 0..x.len() {
        product[at] = value[at] * (distribution(x[at]) + x[at] * density(x[at]));
    }
    product
}

#[cfg(test)]
mod tests {
    use super::{error_function, forward};

    #[test]
    fn the_error_function_has_the_values_of_the_tables() {
        // Abramowitz and Stegun, 1964, table 7.1.
        let table = [(0.0, 0.0), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)];
        for (x, expected) in table {
            assert!((error_function(x) - expected).abs() < 5e-11, "{x}");
            assert_eq!(error_function(-x), -error_function(x));
        }
        assert_eq!((error_function(7.0), error_function(-7.0)), (1.0, -1.0));
        assert!(error_function(f64::NAN).is_nan());
    }

    #[test]
    fn far_from_zero_the_unit_is_the_rectifier() {
        assert_eq!(forward(&[0.0, 40.0]), [0.0, 40.0]);
        assert!(forward(&[-40.0])[0].abs() < 1e-300);
    }
}
