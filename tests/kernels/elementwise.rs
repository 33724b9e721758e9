//! Kernels that take tensors element by element equal their twins.

use l2rw::data::sampling::pcg_hash;
use l2rw::gpu::{ShaderChecks, TensorId};
use l2rw::ops::shortcut::Shortcut;
use l2rw::ops::{Step, View, add, bias, dropout, relu, shortcut};
use l2rw::reference;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

/// Lengths around the 64 elements of a workgroup.
const LENGTHS: [usize; 5] = [1, 63, 64, 65, 1_000];

#[test]
fn sums_and_zeros_equal_the_twin() {
    assert_table(&LENGTHS, |&len, bench, expected| {
        let (a, b) = (values(1, len), values(2, len));
        let (a_in, b_in) = (bench.floats(&a), bench.floats(&b));
        let sum = add::forward(&mut bench.rec, a_in, b_in);
        expected.floats("sum", sum, reference::add::forward(&a, &b), Tolerance::ROUNDED);
        let zeros = add::zeros_like(&mut bench.rec, a_in);
        expected.floats("zeros", zeros, vec![0.0; len], Tolerance::EXACT);
    });
}

#[test]
fn more_elements_than_one_dimension_of_workgroups_holds_are_all_reached() {
    // 65,535 workgroups of 64, and some more; an odd number goes one by one.
    let len = 65_535 * 64 + 101;
    let mut bench = Bench::new();
    let x = bench.integers(&vec![1.0_f32.to_bits(); len]);
    let sum = add::forward(&mut bench.rec, x, x);
    let results = bench.run_bits(ShaderChecks::Trusted, &[sum]);
    assert_eq!(results[0].iter().position(|&bits| bits != 2.0_f32.to_bits()), None);
}

#[test]
fn the_rectifier_and_its_mask_equal_the_twins() {
    assert_table(&LENGTHS, |&len, bench, expected| {
        let (mut x, d) = (values(1, len), values(2, len));
        x[0] = 0.0;
        let (x_in, d_in) = (bench.floats(&x), bench.floats(&d));
        let y = relu::forward(&mut bench.rec, x_in);
        let masked = relu::mask(&mut bench.rec, y, d_in);
        let reference = reference::relu::forward(&x);
        let masked_reference = reference::relu::apply_mask(&reference, &d);
        expected.floats("output", y, reference, Tolerance::EXACT);
        expected.floats("masked", masked, masked_reference, Tolerance::EXACT);
    });
}

#[derive(Debug)]
struct BiasCase {
    n: usize,
    positions: usize,
    channels: usize,
}

#[test]
fn biases_their_gradients_and_their_similarities_equal_the_twins() {
    let case = |n, positions, channels| BiasCase { n, positions, channels };
    let cases = [case(3, 35, 5), case(1, 1, 7), case(9, 1, 3), case(2, 512, 3), case(2, 300, 2)];
    assert_table(&cases, |&BiasCase { n, positions, channels }, bench, expected| {
        let (x, dy) = (values(1, n * positions * channels), values(2, n * positions * channels));
        let (b, g, mut weights) = (values(3, channels), values(4, channels), values(5, n));
        let [y_in, dy_in, b_in, g_in] = [&x, &dy, &b, &g].map(|v| bench.floats(v));
        let (b_in, g_in) = (View::whole(&bench.rec, b_in), View::whole(&bench.rec, g_in));
        bias::forward(&mut bench.rec, y_in, b_in);
        let reference = reference::bias::add(n, positions, channels, &x, &b);
        expected.floats("sum", y_in, reference, Tolerance::roundings(1, 2.0));

        let sums = bias::position_sums(&mut bench.rec, dy_in, positions, channels);
        weights[n / 2] = 0.0;
        let weights_in = bench.floats(&weights);
        let tolerance = Tolerance::sums(&[n * positions], 1.0);
        for weights in [None, Some(&weights)] {
            let out = bench.rec.transient("gradient", channels);
            let view = View::whole(&bench.rec, out);
            bias::gradient(&mut bench.rec, sums, weights.map(|_| weights_in), view);
            let weights = weights.map(Vec::as_slice);
            let reference = reference::bias::gradient(n, positions, channels, &dy, weights);
            expected.floats("gradient", out, reference, tolerance);
        }

        let out = bench.rec.transient("similarity", n);
        let view = View::whole(&bench.rec, out);
        bias::similarity(&mut bench.rec, sums, g_in, view);
        let reference = reference::bias::similarity(n, positions, channels, &dy, &g);
        expected.floats("similarity", out, reference, Tolerance::sums(&[positions, channels], 1.0));
    });
}

#[test]
fn residual_sums_and_their_gradients_equal_the_twins() {
    let shortcut = |height, width, in_channels, out_channels, stride| Shortcut {
        height,
        width,
        in_channels,
        out_channels,
        stride,
    };
    let cases = [
        shortcut(6, 8, 3, 8, 2),
        shortcut(5, 7, 4, 7, 2),
        shortcut(4, 5, 3, 3, 1),
        shortcut(3, 5, 2, 3, 1),
        shortcut(7, 8, 2, 2, 3),
        shortcut(1, 1, 2, 4, 2),
        // Channels by fours, on both sides of the input's as well.
        shortcut(5, 7, 4, 12, 2),
        shortcut(4, 3, 8, 8, 1),
        // The input's channels begin in the middle of four.
        shortcut(6, 5, 4, 8, 2),
    ];
    assert_table(&cases, |s, bench, expected| {
        let n = 3;
        let (x, main) = (values(1, n * s.input_len()), values(2, n * s.output_len()));
        let (x_in, main_in) = (bench.floats(&x), bench.floats(&main));
        let tolerance = Tolerance::sums(&[s.stride * s.stride + 1], 1.0);
        let y = shortcut::forward(&mut bench.rec, s, n, main_in, x_in);
        expected.floats("sum", y, reference::shortcut::forward(s, n, &main, &x), tolerance);
        let (dmain, dx) = (values(4, main.len()), values(5, x.len()));
        let main_dual = (main_in, bench.floats(&dmain));
        let x_dual = (x_in, bench.floats(&dx));
        let (y, dy) = shortcut::dual(&mut bench.rec, s, n, main_dual, x_dual);
        expected.floats("dual sum", y, reference::shortcut::forward(s, n, &main, &x), tolerance);
        let reference = reference::shortcut::forward(s, n, &dmain, &dx);
        expected.floats("dual sum's tangent", dy, reference, tolerance);
        let dx = shortcut::backward(&mut bench.rec, s, n, main_in);
        expected.floats("gradient", dx, reference::shortcut::backward(s, n, &main), tolerance);
    });
}

const RATE: f32 = 0.3;

const SEED: u32 = 7;

fn record_dropout(bench: &mut Bench, number: u32, stream: u32, x: &[f64]) -> TensorId {
    let step = Step { number, seed: SEED, ..Step::default() };
    let step = bench.uniform(bytemuck::cast_slice(&[step]));
    let x = bench.floats(x);
    dropout::apply(&mut bench.rec, step, RATE, stream, x)
}

/// What dropout makes of ones: 0 where an element is dropped.
fn mask(number: u32, stream: u32, len: usize) -> Vec<f64> {
    let mut bench = Bench::new();
    let y = record_dropout(&mut bench, number, stream, &vec![1.0; len]);
    bench.run(ShaderChecks::Trusted, &[y]).remove(0)
}

/// The mask from the hash that the kernel uses.
fn hashed_mask(number: u32, stream: u32, len: usize) -> Vec<f64> {
    let key = pcg_hash(SEED ^ pcg_hash(number ^ pcg_hash(stream)));
    let kept = |i| (pcg_hash(key ^ pcg_hash(i)) >> 8) as f32 / 16_777_216.0 >= RATE;
    let factor = |i| if kept(i) { 1.0 / (1.0 - f64::from(RATE)) } else { 0.0 };
    (0..len as u32).map(factor).collect()
}

#[test]
fn dropout_keeps_its_mask_within_a_step_and_layer_and_changes_it_between_them() {
    let len = 20_000;
    let first = mask(3, 1, len);
    let dropped = first.iter().filter(|&&v| v == 0.0).count() as f64 / len as f64;
    // Four standard deviations of a share of 0.3 of 20,000.
    assert!((dropped - f64::from(RATE)).abs() < 0.013, "{dropped}");
    assert_eq!(first, mask(3, 1, len));
    for other in [mask(4, 1, len), mask(3, 2, len)] {
        let agreeing = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
        // Independent masks agree with probability 0.7² + 0.3².
        assert!((agreeing / len as f64 - 0.58).abs() < 0.014, "{agreeing} of {len}");
    }
}

#[test]
fn dropout_multiplies_with_its_mask_as_the_twin_does() {
    assert_table(&LENGTHS, |&len, bench, expected| {
        let x = values(1, len);
        let y = record_dropout(bench, 3, 1, &x);
        let reference = reference::dropout::forward(&x, &hashed_mask(3, 1, len));
        expected.floats("output", y, reference, Tolerance::ROUNDED);
    });
}
