//! A bias per channel. The tangent of [`add`] is `add` of the tangents.

use super::{check_len, example_weight};

/// `y = x + b`: `x` is `[n, positions, channels]`, `b` is `[channels]`.
pub fn add(n: usize, positions: usize, channels: usize, x: &[f64], b: &[f64]) -> Vec<f64> {
    check_len("x", x, n * positions * channels);
    check_len("b", b, channels);
    let mut y = vec![0.0; x.len()];
    for at in 0..x.len() {
        y[at] = x[at] + b[at % channels];
    }
    y
}

/// The gradient `[channels]` with respect to the bias, `Σ_i example_weights_i · ∂f_i/∂b`.
///
/// `dy` is `[n, positions, channels]`; `example_weights` is `[n]`, all ones where `None`. Examples
/// of weight 0 are skipped, whatever `dy` holds for them.
pub fn gradient(
    n: usize,
    positions: usize,
    channels: usize,
    dy: &[f64],
    example_weights: Option<&[f64]>,
) -> Vec<f64> {
    check_len("dy", dy, n * positions * channels);
    if let Some(weights) = example_weights {
        check_len("example_weights", weights, n);
    }
    let mut db = vec![0.0; channels];
    for i in 0..n {
        let weight = example_weight(example_weights, i);
        if weight == 0.0 {
            continue;
        }
        for p in 0..positions {
            for c in 0..channels {
                db[c] += weight * dy[(i * positions + p) * channels + c];
            }
        }
    }
    db
}

/// `u_i = ⟨∂f_i/∂b, g⟩`: `dy` is `[n, positions, channels]`, `g` is `[channels]`. Returns `[n]`.
pub fn similarity(n: usize, positions: usize, channels: usize, dy: &[f64], g: &[f64]) -> Vec<f64> {
    check_len("dy", dy, n * positions * channels);
    check_len("g", g, channels);
    let mut u = vec![0.0; n];
    for i in 0..n {
        for p in 0..positions {
            for c in 0..channels {
                u[i] += dy[(i * positions + p) * channels + c] * g[c];
            }
        }
    }
    u
}
