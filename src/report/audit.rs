//! From what a model believes to which labels are doubtful, and how many.

/// How doubtful each label is, `[n]` in \[0, 1\]: 1 − p(given), the self-confidence of confident
/// learning (Northcutt et al., JAIR 2021, section 3.2) turned round.
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`; a label without a probability counts as fully
/// doubtful.
pub fn scores(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let given = |(&label, row): (&u32, &Vec<f64>)| row.get(label as usize).copied();
    labels.iter().zip(probabilities).map(|pair| 1.0 - given(pair).unwrap_or(0.0)).collect()
}

/// Estimated share of wrong labels among those of each class, `[classes]`; NaN for a class without
/// examples or without trusted ones.
///
/// What the model says of the examples with label c is a mixture of what it says of true examples of
/// each class, which the trusted ones show: Σ_i π_i E\[p | true class i\]. The maximum-likelihood π, by
/// expectation maximisation, gives the rate 1 − π_c. Errors of the model that the trusted examples
/// share cancel, as in the estimation of label shift by confusion matrices (Lipton et al., ICML 2018).
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`; the same for the trusted examples.
pub fn noise_rates(
    labels: &[u32],
    probabilities: &[Vec<f64>],
    trusted_labels: &[u32],
    trusted_probabilities: &[Vec<f64>],
) -> Vec<f64> {
    let classes = probabilities.first().map_or(0, Vec::len);
    let components: Vec<Option<Vec<f64>>> =
        (0..classes).map(|class| mean_of(class, trusted_labels, trusted_probabilities)).collect();
    let rate = |class: usize| {
        let observed = mean_of(class, labels, probabilities)?;
        components[class].as_ref()?;
        Some(1.0 - proportions(&observed, &components)[class])
    };
    (0..classes).map(|class| rate(class).unwrap_or(f64::NAN)).collect()
}

/// Mean of the rows of a class.
fn mean_of(class: usize, labels: &[u32], rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let mut sum = vec![0.0; rows.first()?.len()];
    let mut count = 0;
    for (_, row) in labels.iter().zip(rows).filter(|(label, _)| **label as usize == class) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        count += 1;
    }
    (count > 0).then(|| sum.into_iter().map(|value| value / f64::from(count)).collect())
}

/// The shares of the components in the observed distribution.
fn proportions(observed: &[f64], components: &[Option<Vec<f64>>]) -> Vec<f64> {
    const ITERATIONS: usize = 1000;
    let present = components.iter().flatten().count().max(1) as f64;
    let mut shares: Vec<f64> =
        components.iter().map(|c| if c.is_some() { 1.0 / present } else { 0.0 }).collect();
    for _ in 0..ITERATIONS {
        let mut next = vec![0.0; shares.len()];
        for (outcome, &weight) in observed.iter().enumerate() {
            let joint: Vec<f64> = components
                .iter()
                .zip(&shares)
                .map(|(c, share)| c.as_ref().map_or(0.0, |c| share * c[outcome]))
                .collect();
            let total: f64 = joint.iter().sum();
            if total > 0.0 {
                next.iter_mut().zip(joint).for_each(|(next, j)| *next += weight * j / total);
            }
        }
        shares = next;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_as_doubtful_as_it_is_improbable() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![0.5, 0.5], vec![]];
        assert_eq!(scores(&[0, 0, 1, 0], &rows), [0.0, 1.0, 0.5, 1.0]);
    }

    #[test]
    fn rates_are_found_through_a_model_that_errs() {
        // Says 0 of seven tenths of true 0s, and of three tenths of true 1s.
        let says = |class: usize| if class == 0 { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        let mixture = |zeros: usize, ones: usize| -> Vec<Vec<f64>> {
            let zero = (0..zeros).map(|i| says(usize::from(i % 10 >= 7)));
            zero.chain((0..ones).map(|i| says(usize::from(i % 10 >= 3)))).collect()
        };
        let trusted_labels: Vec<u32> = (0..20).map(|i| i / 10).collect();
        // A fifth of the labels 0 and none of the labels 1 are wrong.
        let mut rows = mixture(80, 20);
        rows.extend(mixture(0, 50));
        let labels: Vec<u32> = (0..150).map(|i| u32::from(i >= 100)).collect();
        let rates = noise_rates(&labels, &rows, &trusted_labels, &mixture(10, 10));
        assert!((rates[0] - 0.2).abs() < 0.01 && rates[1] < 0.01, "{rates:?}");
    }

    #[test]
    fn a_class_without_trusted_examples_has_no_rate() {
        let rates =
            noise_rates(&[0, 1], &[vec![1.0, 0.0], vec![0.0, 1.0]], &[0], &[vec![1.0, 0.0]]);
        assert!(rates[0].is_finite() && rates[1].is_nan(), "{rates:?}");
    }
}
