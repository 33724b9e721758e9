//! Statistics that say how well weights rank examples and how classes are confused.

use super::ReportError;

/// Area under the ROC curve: the chance that a positive example scores higher than a negative one,
/// ties counting half (mid-ranks).
///
/// `scores` and `positive` are parallel, one entry an example. To ask how well low weights find
/// corrupted labels, pass the negated mean weights and whether each label is corrupted.
///
/// `None` where it is undefined: one of the groups is empty, lengths differ, or a score is NaN.
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let order = descending(scores, positive)?;
    let positives = positive.iter().filter(|&&p| p).count();
    let negatives = positive.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    // Counts stay below 2^53 and steps are halves, so this sum is exact.
    let mut wins = 0.0;
    let mut negatives_below = negatives;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let tied_positives = tied.iter().filter(|&&i| positive[i]).count();
        let tied_negatives = tied.len() - tied_positives;
        negatives_below -= tied_negatives;
        wins += tied_positives as f64 * (negatives_below as f64 + 0.5 * tied_negatives as f64);
    }
    Some(wins / (positives as f64 * negatives as f64))
}

/// Average precision: precision at each distinct score, weighted by the recall gained there; 1 is a
/// perfect ranking, the share of positives is chance. Equal scores count as one threshold.
///
/// `scores` and `positive` are parallel, one entry an example. `None` where it is undefined: no
/// example is positive, the lengths differ, or a score is NaN.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let order = descending(scores, positive)?;
    let positives = positive.iter().filter(|&&p| p).count();
    if positives == 0 {
        return None;
    }
    let mut sum = 0.0;
    let (mut seen, mut found) = (0_usize, 0_usize);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let gained = tied.iter().filter(|&&i| positive[i]).count();
        seen += tied.len();
        found += gained;
        sum += gained as f64 * found as f64 / seen as f64;
    }
    Some(sum / positives as f64)
}

/// Indices by falling score, or `None` if the input cannot be ranked.
fn descending(scores: &[f64], positive: &[bool]) -> Option<Vec<usize>> {
    if scores.len() != positive.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    Some(order)
}

/// Counts examples by true class (row) and predicted class (column): `classes` × `classes`.
///
/// `labels` and `predictions` are parallel, one class index an example.
///
/// # Errors
///
/// [`ReportError::Input`] if the lengths differ or an index is not below `classes`.
pub fn confusion(
    labels: &[u32],
    predictions: &[u32],
    classes: usize,
) -> Result<Vec<Vec<u32>>, ReportError> {
    if labels.len() != predictions.len() {
        return Err(ReportError::Input {
            what: "confusion matrix".into(),
            problem: format!("{} labels but {} predictions", labels.len(), predictions.len()),
            remedy: "pass one prediction for every label",
        });
    }
    let mut counts = vec![vec![0_u32; classes]; classes];
    for (example, (&label, &prediction)) in labels.iter().zip(predictions).enumerate() {
        let cell = counts
            .get_mut(label as usize)
            .and_then(|row| row.get_mut(prediction as usize))
            .ok_or_else(|| ReportError::Input {
                what: "confusion matrix".into(),
                problem: format!(
                    "example {example} has label {label} and prediction {prediction}, but there \
                     are {classes} classes"
                ),
                remedy: "pass the number of classes that the labels were made for",
            })?;
        *cell += 1;
    }
    Ok(counts)
}
