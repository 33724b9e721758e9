//! Central differences and comparisons in `f64`.

/// Small against the margin that the tests keep from a kink, large against rounding.
pub const STEP: f64 = 1e-6;

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x + t · direction`.
pub fn moved(x: &[f64], t: f64, direction: &[f64]) -> Vec<f64> {
    assert_eq!(x.len(), direction.len());
    x.iter().zip(direction).map(|(x, d)| x + t * d).collect()
}

/// The derivative at 0 of a vector-valued function of one number.
pub fn central_difference(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let (above, below) = (f(STEP), f(-STEP));
    above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
}

/// The gradient of a scalar function by one central difference an element.
pub fn numerical_gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..x.len())
        .map(|k| {
            let mut direction = vec![0.0; x.len()];
            direction[k] = 1.0;
            central_difference(|t| vec![f(&moved(x, t, &direction))])[0]
        })
        .collect()
}

#[track_caller]
fn assert_within(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    for (k, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (a - e).abs() <= tolerance * (1.0 + e.abs()),
            "{what}: element {k} is {a}, expected {e}"
        );
    }
}

/// For two ways to compute the same thing, apart by rounding.
#[track_caller]
pub fn assert_equal(what: &str, actual: &[f64], expected: &[f64]) {
    assert_within(what, actual, expected, 1e-12);
}

/// For a derivative against a central difference with [`STEP`].
#[track_caller]
pub fn assert_derivative(what: &str, actual: &[f64], difference: &[f64]) {
    assert_within(what, actual, difference, 1e-8);
}
