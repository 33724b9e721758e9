//! Softmax cross-entropy and its derivatives equal the twins.

use l2rw::ops::{View, softmax_cross_entropy as loss};
use l2rw::reference::softmax_cross_entropy as twin;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

#[derive(Debug)]
struct Case {
    n: usize,
    classes: usize,
    /// Scores lie in −range .. range.
    range: f64,
    /// Added to the score of the label.
    label_bonus: f64,
}

fn cases() -> Vec<Case> {
    let case = |n, classes, range, label_bonus| Case { n, classes, range, label_bonus };
    vec![
        case(1, 2, 1.0, 0.0),
        case(67, 2, 3.0, 0.0),
        case(5, 10, 3.0, 0.0),
        case(70, 100, 5.0, 0.0),
        case(33, 10, 80.0, 0.0),
        // Confidently right, confidently wrong.
        case(9, 7, 1.0, 20.0),
        case(9, 7, 1.0, -60.0),
    ]
}

struct Data {
    scores: Vec<f64>,
    labels: Vec<u32>,
}

impl Data {
    fn new(case: &Case) -> Self {
        let labels: Vec<u32> = (0..case.n).map(|i| (i * i % case.classes) as u32).collect();
        let mut scores = values(1, case.n * case.classes);
        for (index, score) in scores.iter_mut().enumerate() {
            let is_label = labels[index / case.classes] as usize == index % case.classes;
            let bonus = if is_label { case.label_bonus } else { 0.0 };
            *score = f64::from((case.range * *score + bonus) as f32);
        }
        Self { scores, labels }
    }

    /// First largest score of each example.
    fn predictions(&self, classes: usize) -> Vec<u32> {
        let first_largest = |row: &[f64]| {
            (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as u32
        };
        self.scores.chunks(classes).map(first_largest).collect()
    }
}

impl Case {
    /// WGSL's exp(−x) may be off by 3 + 2x units in the last place, x up to the spread of scores.
    fn probability(&self) -> Tolerance {
        let spread = 2.0 * self.range + self.label_bonus.abs();
        let relative = (3.0 + 2.0 * spread + self.classes as f64) * f64::from(f32::EPSILON);
        // Denormals may be flushed.
        Tolerance { atol: 1e-37, rtol: 2.0 * relative }
    }

    /// WGSL's log is good to 2⁻²¹ near 1 and the score's rounding counts in full.
    fn loss(&self) -> Tolerance {
        let probability = self.probability();
        Tolerance { atol: 2.0_f64.powi(-21) + probability.rtol, rtol: 1e-6 }
    }
}

#[test]
fn losses_residuals_and_predictions_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let Case { n, classes, .. } = *case;
        let data = Data::new(case);
        let (scores, labels) = (bench.floats(&data.scores), bench.integers(&data.labels));
        let found = loss::forward(&mut bench.rec, classes, scores, labels);
        let losses = twin::losses(n, classes, &data.scores, &data.labels);
        expected.floats("losses", found.losses, losses, case.loss());
        let residual = twin::residual(n, classes, &data.scores, &data.labels);
        expected.floats("residual", found.residual, residual, case.probability());
        expected.words("predictions", found.predictions, data.predictions(classes));
    });
}

#[test]
fn losses_and_residuals_against_smoothed_targets_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let Case { n, classes, .. } = *case;
        let data = Data::new(case);
        for smoothing in [0.1, 0.75] {
            let (scores, labels) = (bench.floats(&data.scores), bench.integers(&data.labels));
            let found = loss::forward(&mut bench.rec, classes, scores, labels);
            loss::smooth_target(&mut bench.rec, classes, (scores, labels), &found, smoothing);
            let (losses, residual) =
                twin::smoothed(n, classes, &data.scores, &data.labels, smoothing);
            // Loss and difference may cancel; probability and target as well.
            let spread = 2.0 * case.range + case.label_bonus.abs();
            let rounding = f64::from(f32::EPSILON);
            let loss = case.loss();
            let atol = loss.atol + rounding * spread * classes as f64;
            expected.floats("losses", found.losses, losses, Tolerance { atol, ..loss });
            let probability = case.probability();
            let atol = probability.rtol + 2.0 * rounding;
            expected.floats("residual", found.residual, residual, Tolerance { atol, rtol: 0.0 });
        }
    });
}

#[test]
fn a_nan_among_the_scores_spoils_its_own_example_alone() {
    assert_table(&[3_usize], |&classes, bench, expected| {
        let scores = [0.5, f64::NAN, 1.0, -f64::NAN, 1.0, 2.0, 1.0, 2.0, 0.5];
        let (labels, dlogits) = ([0, 1, 2], values(3, 9));
        let (scores_in, labels_in) = (bench.floats(&scores), bench.integers(&labels));
        let found = loss::forward(&mut bench.rec, classes, scores_in, labels_in);
        let tolerance = Tolerance::roundings(16, 2.0);
        expected.floats("losses", found.losses, twin::losses(3, 3, &scores, &labels), tolerance);
        let residual = twin::residual(3, 3, &scores, &labels);
        let dlogits_in = bench.floats(&dlogits);
        let out = bench.rec.transient("tangent", 3);
        let view = View::whole(&bench.rec, out);
        loss::tangent(&mut bench.rec, classes, found.residual, dlogits_in, view);
        expected.floats("tangent", out, twin::tangent(3, 3, &residual, &dlogits), tolerance);
        expected.floats("residual", found.residual, residual, tolerance);
    });
}

#[test]
fn the_first_of_equal_scores_is_the_prediction() {
    assert_table(&[3_usize], |&classes, bench, expected| {
        let scores = bench.floats(&[1.0, 2.0, 2.0, 5.0, 5.0, 5.0, -1.0, -3.0, -1.0]);
        let labels = bench.integers(&[0; 3]);
        let found = loss::forward(&mut bench.rec, classes, scores, labels);
        expected.words("predictions", found.predictions, vec![1, 0, 0]);
    });
}

#[test]
fn an_example_whose_label_is_none_of_the_classes_does_not_count() {
    assert_table(&[2, 3, 1 << 31, 0xff80_0000, u32::MAX], |&label, bench, expected| {
        let (scores, labels) = ([1.0, 2.0, 3.0, f64::NAN, 0.5, -1.0], [2, label, 1]);
        let (scores_in, labels_in) = (bench.floats(&scores), bench.integers(&labels));
        let found = loss::forward(&mut bench.rec, 2, scores_in, labels_in);
        let losses = twin::losses(3, 2, &scores, &labels);
        assert_eq!(losses[..2], [0.0; 2]);
        let tolerance = Tolerance::roundings(16, 2.0);
        loss::smooth_target(&mut bench.rec, 2, (scores_in, labels_in), &found, 0.0);
        expected.floats("losses", found.losses, losses, tolerance);
        let residual = twin::residual(3, 2, &scores, &labels);
        expected.floats("residual", found.residual, residual, tolerance);
        expected.words("predictions", found.predictions, vec![1, 0, 0]);
    });
}

#[test]
fn gradients_and_tangents_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let Case { n, classes, .. } = *case;
        let data = Data::new(case);
        let residual: Vec<f64> = twin::residual(n, classes, &data.scores, &data.labels)
            .iter()
            .map(|r| f64::from(*r as f32))
            .collect();
        let (weights, dlogits) = (values(2, n), values(3, n * classes));
        let [residual_in, weights_in, dlogits_in] =
            [&residual, &weights, &dlogits].map(|v| bench.floats(v));
        let gradient = loss::backward(&mut bench.rec, classes, residual_in, weights_in);
        let reference = twin::gradient(n, classes, &residual, &weights);
        // Denormals may be flushed.
        let tolerance = Tolerance { atol: 1e-37, ..Tolerance::ROUNDED };
        expected.floats("gradient", gradient, reference, tolerance);

        let out = bench.rec.transient("tangent", n);
        let view = View::whole(&bench.rec, out);
        loss::tangent(&mut bench.rec, classes, residual_in, dlogits_in, view);
        let reference = twin::tangent(n, classes, &residual, &dlogits);
        expected.floats("tangent", out, reference, Tolerance::sums(&[classes], 1.0));
    });
}

#[test]
fn an_example_of_weight_zero_has_a_gradient_of_zero_whatever_its_residual() {
    assert_table(&[2_usize], |&classes, bench, expected| {
        let residual = bench.floats(&[f64::NAN, f64::INFINITY, 0.5, -0.5]);
        let weights = bench.floats(&[0.0, 0.5]);
        let gradient = loss::backward(&mut bench.rec, classes, residual, weights);
        expected.floats("gradient", gradient, vec![0.0, 0.0, 0.25, -0.25], Tolerance::EXACT);
    });
}
