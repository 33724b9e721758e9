//! From what a model believes to which labels are doubtful, and how many.

/// How doubtful each label is, `[n]` in \[0, 1\]: the probability that it is wrong, by Bayes' rule
/// from what the model believes of the example, p(j | x), and from how often examples of class j
/// get the label i, t(i | j), if as many labels were wrong as right:
///
/// 1 − q(given) r(given | given) / Σ_j q(j) r(given | j), with r = t over what t is on average for
/// right and for wrong labels, and q(j) = p(j) over its mean among examples with the label j.
///
/// Hence a label counts as doubtful where the model believes in a class whose examples often get
/// it, and less so where it believes in one whose examples never do; and not for being one of a
/// class that the model is seldom sure of. t comes from the confident
/// joint of confident learning (Northcutt et al., JAIR 2021, section 3.1), which also counts what
/// the model takes for each other by mistake. Of the disagreements, as many as `mistakes` explains
/// say nothing of labels: that share of them is spread evenly over all classes. Where it is all of
/// them, this is 1 − q(given) / Σ_j q(j).
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`, `mistakes` the share of examples with right
/// labels that the model disagrees with, best measured on ones that it has not learned from. A
/// label without a probability counts as surely wrong.
pub fn scores(labels: &[u32], probabilities: &[Vec<f64>], mistakes: f64) -> Vec<f64> {
    let usual = thresholds(labels, probabilities);
    let rates = relative_rates(&confident_joint(labels, probabilities, &usual), mistakes);
    let score = |(&label, row): (&u32, &Vec<f64>)| {
        let label = label as usize;
        let relative = |class: usize| row[class] / usual[class].max(USUAL_AT_LEAST);
        let share = |class: usize| relative(class) * rates[class][label];
        let right = row.get(label).map(|_| share(label))?;
        let all: f64 = (0..row.len()).map(share).sum();
        (all > 0.0).then(|| 1.0 - right / all)
    };
    labels.iter().zip(probabilities).map(|pair| score(pair).unwrap_or(1.0)).collect()
}

/// How often examples of each class get each label, `[class][label]`: 1 for what is average among
/// right labels, and among wrong ones.
fn relative_rates(joint: &[Vec<u32>], mistakes: f64) -> Vec<Vec<f64>> {
    let classes = joint.len();
    let believed = |class: usize| -> u32 { joint.iter().map(|given| given[class]).sum() };
    let all: u32 = (0..classes).map(believed).sum();
    let agreeing: u32 = (0..classes).map(|class| joint[class][class]).sum();
    let disagreeing = 1.0 - f64::from(agreeing) / f64::from(all.max(1));
    let chance = if mistakes < disagreeing { mistakes / disagreeing } else { 1.0 };
    let average = disagreeing / (classes.max(2) - 1) as f64;
    let of_class = |class: usize| {
        let counted = f64::from(believed(class).max(1));
        let share = |label: usize| f64::from(joint[label][class]) / counted;
        let wrong: f64 = (0..classes).filter(|label| *label != class).map(share).sum();
        let right = 1.0 - (1.0 - chance) * wrong - chance * disagreeing;
        let rate = |label: usize| match label == class {
            true => right.max(RIGHT_AT_LEAST) / (1.0 - disagreeing).max(RIGHT_AT_LEAST),
            false if chance < 1.0 => chance + (1.0 - chance) * share(label) / average,
            false => 1.0,
        };
        (0..classes).map(rate).collect()
    };
    (0..classes).map(of_class).collect()
}

/// What the mean probability of a class is taken for at least.
const USUAL_AT_LEAST: f64 = 0.001;

/// What the share of right labels of a class is taken for at least.
const RIGHT_AT_LEAST: f64 = 0.001;

/// Estimated share of wrong labels among those of each class, `[classes]`; NaN for a class without
/// confidently classified examples. What the model often takes for each other comes out too high.
///
/// The rate of a label is the share of its examples in the confident joint (Northcutt et al., JAIR
/// 2021, section 3.1) that count for other classes.
///
/// `labels` is `[n]`, `probabilities` `[n][classes]`.
pub fn noise_rates(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let rate = |(label, counts): (usize, &Vec<u32>)| {
        1.0 - f64::from(counts[label]) / f64::from(counts.iter().sum::<u32>())
    };
    let usual = thresholds(labels, probabilities);
    confident_joint(labels, probabilities, &usual).iter().enumerate().map(rate).collect()
}

/// How many examples of each label count for each class, `[label][class]`: an example counts for
/// class j where p(j) reaches what it is on average for examples with the label j, and for the most
/// probable of such classes.
fn confident_joint(
    labels: &[u32],
    probabilities: &[Vec<f64>],
    thresholds: &[f64],
) -> Vec<Vec<u32>> {
    let classes = thresholds.len();
    let mut joint = vec![vec![0; classes]; classes];
    for (&label, row) in labels.iter().zip(probabilities) {
        let confident = (0..row.len()).filter(|&class| row[class] >= thresholds[class]);
        let class = confident.max_by(|&a, &b| row[a].total_cmp(&row[b]));
        if let (Some(class), Some(counts)) = (class, joint.get_mut(label as usize)) {
            counts[class] += 1;
        }
    }
    joint
}

/// Mean probability of each class among the examples that have its label; infinite for no examples.
fn thresholds(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let classes = probabilities.iter().map(Vec::len).max().unwrap_or_default();
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

    /// Of ten examples that are surely of class 0, two have the label 1; the rest is right.
    fn confused() -> (Vec<u32>, Vec<Vec<f64>>) {
        let sure =
            |class: usize| (0..3).map(|c| if c == class { 0.96875 } else { 0.015625 }).collect();
        let labels = [[0; 8].as_slice(), &[1, 1], &[1; 8], &[2; 8]].concat();
        let rows = [(10, 0), (8, 1), (8, 2)].map(|(count, class)| vec![sure(class); count]);
        (labels, rows.concat())
    }

    #[test]
    fn without_a_better_reason_a_label_is_as_doubtful_as_it_is_improbable_for_its_class() {
        let (labels, rows) = confused();
        let is_improbability = |labels: &[u32], rows: &[Vec<f64>], mistakes: f64| {
            let usual = thresholds(labels, rows);
            for ((score, row), label) in scores(labels, rows, mistakes).iter().zip(rows).zip(labels)
            {
                let relative: Vec<f64> = row.iter().zip(&usual).map(|(p, t)| p / t).collect();
                let right = relative[*label as usize] / relative.iter().sum::<f64>();
                assert!((score - (1.0 - right)).abs() < 1e-12, "{score} {row:?}");
            }
        };
        is_improbability(&labels, &rows, 1.0);
        // The model agrees with all labels: nothing is known of what is confused.
        let agreed: Vec<usize> = (0..labels.len()).filter(|i| ![8, 9].contains(i)).collect();
        let labels: Vec<u32> = agreed.iter().map(|i| labels[*i]).collect();
        let rows: Vec<Vec<f64>> = agreed.iter().map(|i| rows[*i].clone()).collect();
        is_improbability(&labels, &rows, 0.0);
    }

    #[test]
    fn a_rival_whose_examples_often_get_the_label_makes_it_doubtful() {
        let (mut labels, mut rows) = confused();
        labels.extend([1, 1]);
        rows.extend([vec![0.5, 0.4, 0.1], vec![0.1, 0.4, 0.5]]);
        let scores = scores(&labels, &rows, 0.0);
        // All confident examples of class 0 are those ten, of which 2 have the label 1; class 2
        // never has it. Of all 26, 2 are wrong. So 0.4 · 1 / (24 / 26) stands against 0.5 and 0.1
        // times 0.2 / (2 / 26 / 2), each over the mean of its class among those with its label.
        let of_one = (8.0 * 0.96875 + 2.0 * 0.015625 + 2.0 * 0.4) / 12.0;
        let against = |rival: f64| {
            let right = 0.4 * 26.0 / 24.0 / of_one;
            let wrong = rival * 0.2 * 26.0 / 0.96875;
            wrong / (right + wrong)
        };
        assert!((scores[26] - against(0.5)).abs() < 1e-12, "{}", scores[26]);
        assert!((scores[27] - against(0.1)).abs() < 1e-12, "{}", scores[27]);
        assert!(scores[8] > 0.9, "{}", scores[8]);
    }

    #[test]
    fn a_class_that_the_model_is_seldom_sure_of_is_not_doubtful_for_that() {
        // Labels 0 have 0.9 of the probability, labels 1 have 0.4.
        let labels = [[0; 4], [1; 4]].concat();
        let rows = [vec![vec![0.9, 0.1]; 4], vec![vec![0.6, 0.4]; 4]].concat();
        let scores = scores(&labels, &rows, 1.0);
        let expected = |rival: f64| rival / (1.0 + rival);
        assert!((scores[0] - expected(0.1 / 0.4)).abs() < 1e-12, "{scores:?}");
        assert!((scores[4] - expected(0.6 / 0.9)).abs() < 1e-12, "{scores:?}");
    }

    #[test]
    fn a_label_without_a_probability_is_surely_wrong() {
        assert_eq!(scores(&[0, 5], &[vec![], vec![0.5, 0.5]], 0.1), [1.0, 1.0]);
        assert_eq!(scores(&[], &[], 0.1), [0.0; 0]);
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
