//! Weights from similarities equal those of the twin.

use l2rw::ops::example_weights;
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

fn similarities() -> Vec<Vec<f64>> {
    let denormal = 2.0_f64.powi(-149);
    let largest = f64::from(f32::MAX);
    let cases = vec![
        vec![3.0, -5.0, 1.0, 0.0],
        vec![-1.0, 0.0, -0.0, -2.5],
        vec![7.0],
        vec![-7.0],
        vec![f64::NAN, 2.0, f64::INFINITY, 2.0, f64::NEG_INFINITY, -f64::NAN],
        vec![f64::NAN; 3],
        vec![f64::INFINITY; 2],
        vec![1e-30, 1e30, -1e30],
        // Sums beyond every f32.
        vec![1e38; 4],
        vec![largest, largest, 1.0, -largest, largest / 4.0],
        vec![largest; 10_000],
        // Numbers that have no leading digit, beside each other and beside others.
        vec![denormal],
        vec![denormal, 3.0 * denormal, -denormal, 4e-40, 1e-39],
        vec![1e-39, 1e-38, 2e-38],
        vec![denormal, 2.0_f64.powi(-126), 2.0_f64.powi(-24)],
        values(1, 67),
        values(3, 257),
        values(2, 10_000),
    ];
    let rounded = |u: Vec<f64>| u.into_iter().map(|u| f64::from(u as f32)).collect();
    cases.into_iter().map(rounded).collect()
}

#[test]
fn weights_are_rectified_and_normalised_as_by_the_twin() {
    assert_table(&similarities(), |u, bench, expected| {
        let u_in = bench.floats(u);
        let largest = example_weights::largest(&mut bench.rec, u_in);
        let total = example_weights::sum_scaled(&mut bench.rec, u_in, largest);
        let w = example_weights::normalise(&mut bench.rec, u_in, largest, total);
        let rectified = || u.iter().filter(|u| u.is_finite()).map(|u| u.max(0.0));
        let found = rectified().fold(0.0, f64::max);
        expected.words("largest", largest, vec![(found as f32).to_bits()]);
        // The sum has one rounding an example, and all its terms have one sign.
        let rtol = (8.0 + u.len() as f64) * f64::from(f32::EPSILON);
        let tolerance = Tolerance { atol: 1e-37, rtol };
        let scale = if found > 0.0 { found.log2().floor().exp2() } else { 1.0 };
        expected.floats("total", total, vec![rectified().sum::<f64>() / scale], tolerance);
        let reference = reference::example_weights::rectify_and_normalise(u);
        expected.floats("weights", w, reference, tolerance);

        let factors = example_weights::divide(&mut bench.rec, u_in, u.len());
        expected.floats("factors", factors, reference::step::mean(u), tolerance);

        // As the first part of a batch.
        let parts = example_weights::divide(&mut bench.rec, u_in, u.len() + 13);
        let whole = [&u[..], &[0.0; 13]].concat();
        let reference = reference::step::mean(&whole)[..u.len()].to_vec();
        expected.floats("factors of a part", parts, reference, tolerance);
    });
}

#[derive(Debug)]
struct Parts {
    rows: usize,
    n: usize,
    pitch: usize,
}

#[test]
fn the_similarity_is_the_sum_of_its_parts_and_never_of_what_lies_between_them() {
    let cases = [
        Parts { rows: 1, n: 1, pitch: 64 },
        Parts { rows: 3, n: 5, pitch: 64 },
        Parts { rows: 70, n: 100, pitch: 128 },
        Parts { rows: 2, n: 128, pitch: 128 },
    ];
    assert_table(&cases, |&Parts { rows, n, pitch }, bench, expected| {
        let mut parts = values(1, rows * pitch);
        for row in parts.chunks_mut(pitch) {
            row[n..].fill(f64::NAN);
        }
        let parts_in = bench.floats(&parts);
        let u = example_weights::sum_parts(&mut bench.rec, n, pitch, parts_in);
        let columns = (0..n).map(|i| parts.iter().skip(i).step_by(pitch).sum());
        expected.floats("u", u, columns.collect(), Tolerance::sums(&[rows], 1.0));
    });
}

#[test]
fn the_weight_of_an_example_whose_label_is_none_of_the_classes_is_0() {
    let cases =
        [(1, vec![0]), (1, vec![1]), (3, vec![2, 3, 0, u32::MAX, 1 << 31, 1]), (10, vec![9; 70])];
    assert_table(&cases, |(classes, labels), bench, expected| {
        let weights = values(1, labels.len());
        let (labels_in, weights_in) = (bench.integers(labels), bench.floats(&weights));
        let kept = example_weights::labelled(&mut bench.rec, *classes, labels_in, weights_in);
        let known = |(weight, label): (&f64, &u32)| match (*label as usize) < *classes {
            true => (*weight as f32).to_bits(),
            false => 0,
        };
        expected.words("kept", kept, weights.iter().zip(labels).map(known).collect());
    });
}

#[test]
fn weights_are_multiplied_by_the_factor_of_their_labels_class() {
    let cases =
        [(1, vec![0]), (1, vec![1]), (3, vec![2, 3, 0, u32::MAX, 1 << 31, 1]), (10, vec![9; 70])];
    assert_table(&cases, |(classes, labels), bench, expected| {
        let (weights, factors) = (values(1, labels.len()), values(2, *classes));
        let (labels_in, weights_in) = (bench.integers(labels), bench.floats(&weights));
        let table = bench.floats(&factors);
        let found = example_weights::by_class(&mut bench.rec, weights_in, labels_in, table);
        let told = reference::example_weights::by_class(&weights, labels, &factors);
        expected.floats("weights by class", found, told, Tolerance::sums(&[1], 1.0));
    });
}
