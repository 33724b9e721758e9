//! From similarities to example weights.

/// `w̃_i = max(u_i, 0)`, then `w_i = w̃_i / Σ_k w̃_k`, or all 0 where that sum is 0 (Ren et al.
/// 2018, algorithm 1). `u` is `[n]`; returns `[n]`.
///
/// An infinite or NaN `u_i` counts as 0, so one diverged example cannot take the others' weights
/// with it, and the weights are always finite.
pub fn rectify_and_normalise(u: &[f64]) -> Vec<f64> {
    let mut w = vec![0.0; u.len()];
    let mut sum = 0.0;
    for i in 0..u.len() {
        if u[i] > 0.0 && u[i].is_finite() {
            w[i] = u[i];
            sum += u[i];
        }
    }
    let divisor = if sum > 0.0 { sum } else { 1.0 };
    for i in 0..w.len() {
        w[i] /= divisor;
    }
    w
}

/// `w_i` times the factor of its label's class, from `[classes]`; 0 where the label is none of
/// them. Returns `[n]`.
pub fn by_class(w: &[f64], labels: &[u32], factors: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; w.len()];
    for i in 0..w.len() {
        if let Some(factor) = factors.get(labels[i] as usize) {
            out[i] = w[i] * factor;
        }
    }
    out
}

/// `1/n` for each of `n` examples: plain training.
pub fn uniform(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

#[cfg(test)]
mod tests {
    use super::{by_class, rectify_and_normalise, uniform};

    #[test]
    fn a_weight_is_multiplied_by_the_factor_of_its_own_class() {
        let factors = [2.0, 0.0, 0.5];
        let found = by_class(&[0.25, 0.5, 3.0, 1.0], &[2, 0, 1, 3], &factors);
        assert_eq!(found, [0.125, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn negative_similarities_get_no_weight_and_the_rest_sums_to_one() {
        assert_eq!(rectify_and_normalise(&[3.0, -5.0, 1.0, 0.0]), [0.75, 0.0, 0.25, 0.0]);
    }

    #[test]
    fn without_a_positive_similarity_every_weight_is_zero() {
        assert_eq!(rectify_and_normalise(&[-1.0, 0.0, -0.0]), [0.0; 3]);
        assert!(rectify_and_normalise(&[]).is_empty());
    }

    #[test]
    fn a_diverged_example_does_not_take_the_others_with_it() {
        let u = [f64::NAN, 2.0, f64::INFINITY, 2.0, f64::NEG_INFINITY];
        assert_eq!(rectify_and_normalise(&u), [0.0, 0.5, 0.0, 0.5, 0.0]);
    }

    #[test]
    fn uniform_weights_sum_to_one() {
        assert_eq!(uniform(4), [0.25; 4]);
        assert!(uniform(0).is_empty());
    }
}
