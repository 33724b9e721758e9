//! What is not finite is found at its first place, and examples with such pixels are left out.

use l2rw::ops::not_finite::{self, Quantity, SLOTS};
use l2rw::ops::{Step, sgd};
use l2rw::reference::not_finite as twin;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

/// Lengths of up to six vectors, and what stands where in which.
#[derive(Debug)]
struct Case {
    lens: Vec<usize>,
    put: Vec<(usize, usize, f32)>,
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

#[test]
fn the_first_place_in_each_vector_is_told() {
    let case = |lens: &[usize], put: &[(usize, usize, f32)]| Case {
        lens: lens.to_vec(),
        put: put.to_vec(),
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let cases = [
        case(&[1], &[]),
        case(&[1], &[(0, 0, nan)]),
        case(&[65, 3], &[(0, 64, inf), (1, 2, -inf)]),
        case(&[100, 100, 10, 5_000, 5_000, 33], &[]),
        case(&[100, 100, 10, 5_000, 5_000, 33], &[(3, 4_999, nan), (3, 17, inf), (5, 32, nan)]),
        case(&[7, 70_000], &[(1, 69_999, nan), (0, 0, f32::MAX), (0, 1, 1e-40)]),
    ];
    assert_table(&cases, |case, bench, expected| {
        let step = Step { number: 41, ..Step::default() };
        let uniform = bench.uniform(bytemuck::cast_slice(&[step]));
        let mut vectors: Vec<Vec<f32>> =
            (1u32..).zip(&case.lens).map(|(tag, len)| floats(&values(tag, *len))).collect();
        for (vector, place, value) in &case.put {
            vectors[*vector][*place] = *value;
        }
        let mut told = [0; SLOTS];
        let named: Vec<(Quantity, &[f32])> =
            Quantity::ALL.into_iter().zip(vectors.iter().map(Vec::as_slice)).collect();
        twin::look(41, &named, &mut told);
        let tensor = |vector: &Vec<f32>| {
            let wide: Vec<f64> = vector.iter().map(|value| f64::from(*value)).collect();
            bench.floats(&wide)
        };
        let tensors: Vec<_> = Quantity::ALL.into_iter().zip(vectors.iter().map(tensor)).collect();
        let found = bench.integers(&[0; SLOTS]);
        not_finite::look(&mut bench.rec, uniform, &tensors, found);
        expected.words("found", found, told.to_vec());
    });
}

#[test]
fn no_step_is_taken_while_something_is_not_finite() {
    assert_table(&[0, 7], |&found, bench, expected| {
        let step = Step { learning_rate: 0.5, ..Step::default() };
        let uniform = bench.uniform(bytemuck::cast_slice(&[step]));
        let (theta, gradient) = (values(1, 70), values(2, 70));
        let state = sgd::State {
            parameters: bench.floats(&theta),
            velocity: bench.floats(&[0.0; 70]),
            decay_mask: bench.floats(&[0.0; 70]),
        };
        let gradient_in = bench.floats(&gradient);
        let mut words = [0; SLOTS];
        words[not_finite::STEP_SLOT] = found;
        let gate = bench.integers(&words);
        sgd::update(&mut bench.rec, uniform, state, gradient_in, gate, false);
        let rate = if found == 0 { 0.5 } else { 0.0 };
        let stepped = theta.iter().zip(&gradient).map(|(t, g)| t - rate * g).collect();
        expected.floats("parameters", state.parameters, stepped, Tolerance::roundings(2, 2.0));
    });
}

#[test]
fn examples_with_such_pixels_are_left_out() {
    let cases = [(1, 1, vec![0]), (3, 5, vec![]), (70, 12, vec![0, 13, 69 * 12 + 11])];
    assert_table(&cases, |(n, image, put), bench, expected| {
        let mut images = floats(&values(1, n * image));
        for (index, place) in put.iter().enumerate() {
            images[*place] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][index % 3];
        }
        let mut labels: Vec<u32> = (0..*n as u32).map(|i| i % 4).collect();
        let wide: Vec<f64> = images.iter().map(|value| f64::from(*value)).collect();
        let (images_in, labels_in) = (bench.floats(&wide), bench.integers(&labels));
        not_finite::leave_out(&mut bench.rec, images_in, labels_in, 4);
        twin::leave_out(&mut images, &mut labels, 4);
        let images = images.into_iter().map(f64::from).collect();
        expected.floats("images", images_in, images, Tolerance::EXACT);
        expected.words("labels", labels_in, labels);
    });
}
