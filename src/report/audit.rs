//! From what a model believes to which labels are doubtful, and how many.

/// How doubtful each label is, `[n]` in \[0, 1\]: (1 − p(given) + p(other)) / 2, where the other
/// class is the most probable one of the rest. That is the normalised margin of confident learning
/// (Northcutt et al., JAIR 2021, section 3.2) turned round, and 1 − p(given) with two classes.
///
/// A label that the model is undecided about, but believes most of all, is less doubtful so than one
/// of the same probability against which there is another class.
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`; a label without a probability counts as fully
/// doubtful.
pub fn scores(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let score = |(&label, row): (&u32, &Vec<f64>)| {
        let given = *row.get(label as usize)?;
        let others = row.iter().enumerate().filter(|(class, _)| *class != label as usize);
        let other = others.map(|(_, p)| *p).fold(0.0, f64::max);
        Some((1.0 - given + other) / 2.0)
    };
    labels.iter().zip(probabilities).map(|pair| score(pair).unwrap_or(1.0)).collect()
}

/// Estimated share of wrong labels among those of each class, `[classes]`; NaN for a class without
/// confidently classified examples.
///
/// The confident joint of confident learning (Northcutt et al., JAIR 2021, section 3.1): an example
/// counts for class j where p(j) reaches what it is on average for examples with the label j, and
/// for the most probable of such classes; the rate of a label is the share of its counted examples
/// that count for other classes. What the model often takes for each other comes out too high.
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`.
pub fn noise_rates(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let classes = probabilities.first().map_or(0, Vec::len);
    let thresholds = thresholds(labels, probabilities, classes);
    let mut counted = vec![0u32; classes];
    let mut agreeing = vec![0u32; classes];
    for (&label, row) in labels.iter().zip(probabilities) {
        let confident = (0..row.len()).filter(|&class| row[class] >= thresholds[class]);
        let class = confident.max_by(|&a, &b| row[a].total_cmp(&row[b]));
        if let (Some(class), Some(counted)) = (class, counted.get_mut(label as usize)) {
            *counted += 1;
            agreeing[label as usize] += u32::from(class == label as usize);
        }
    }
    let rate = |(agreeing, counted): (u32, u32)| 1.0 - f64::from(agreeing) / f64::from(counted);
    agreeing.into_iter().zip(counted).map(rate).collect()
}

/// Mean probability of each class among the examples that have its label; infinite for no examples.
fn thresholds(labels: &[u32], probabilities: &[Vec<f64>], classes: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0u32); classes];
    for (&label, row) in labels.iter().zip(probabilities) {
        if let (Some(sum), Some(p)) = (sums.get_mut(label as usize), row.get(label as usize)) {
            *sum = (sum.0 + p, sum.1 + 1);
        }
    }
    let mean = |(sum, count)| if count == 0 { f64::INFINITY } else { sum / f64::from(count) };
    sums.into_iter().map(mean).collect()
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
    fn a_label_with_a_rival_is_more_doubtful_than_one_without() {
        let rows = vec![vec![0.5, 0.25, 0.25], vec![0.5, 0.5, 0.0], vec![0.25, 0.5, 0.25]];
        assert_eq!(scores(&[0, 0, 0], &rows), [0.375, 0.5, 0.625]);
    }

    #[test]
    fn examples_count_for_the_class_that_they_are_confidently_taken_for() {
        // Labels 0: eight sure of 0, two of them sure of 1 instead, one undecided. Labels 1: all
        // sure of 1.
        let sure = |class: usize| if class == 0 { vec![0.9, 0.1] } else { vec![0.1, 0.9] };
        let mut rows: Vec<Vec<f64>> = (0..8).map(|i| sure(usize::from(i < 2))).collect();
        rows.push(vec![0.5, 0.5]);
        rows.extend((0..5).map(|_| sure(1)));
        let labels = [[0; 9].as_slice(), &[1; 5]].concat();
        assert_eq!(noise_rates(&labels, &rows), [0.25, 0.0]);
    }

    #[test]
    fn a_class_without_examples_has_no_rate() {
        let rates = noise_rates(&[0, 0], &[vec![0.9, 0.1], vec![0.9, 0.1]]);
        assert!(rates[0] == 0.0 && rates[1].is_nan(), "{rates:?}");
    }
}
