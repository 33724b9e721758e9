//! Convolutions of every scheme, and what is derived from them, equal the twins.

use l2rw::gpu::{Matrices, Precision, ShaderChecks, Staging, Tuning};
use l2rw::ops::{View, Window, conv};
use l2rw::reference;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::gram;
use crate::common::device::{Bench, has_f16, matrices, offered};
use crate::common::table::{Expected, Tolerance, assert_table, assert_table_tuned};
use crate::common::values::{INPUTS, values, values_with_nan};

#[derive(Debug)]
pub struct Case {
    pub n: usize,
    pub window: Window,
}

pub fn cases() -> Vec<Case> {
    let windows = [
        // Blocks of 4 → 4 channels.
        (3, Window::same(5, 7, 4, 8, 3, 1)),
        (2, Window::same(3, 33, 8, 4, 3, 1)),
        (3, Window::same(6, 5, 8, 4, 3, 2)),
        (2, Window::same(7, 10, 4, 4, 3, 3)),
        (3, Window::same(7, 4, 4, 4, 5, 2)),
        (2, Window::same(9, 11, 4, 4, 7, 1)),
        (3, Window::same(5, 3, 8, 4, 1, 1)),
        (3, Window::same(1, 1, 4, 4, 3, 1)),
        (5, Window::same(1, 1, 4, 8, 1, 2)),
        (3, Window::padded(6, 5, 4, 12, 1, 2, 1)),
        // 1 → 4.
        (3, Window::same(5, 7, 3, 4, 3, 1)),
        (3, Window::same(6, 5, 1, 4, 5, 2)),
        (2, Window::padded(3, 4, 2, 4, 1, 2, 1)),
        // ResNets for large images: stems of stride 2, wide images, projections.
        (2, Window::padded(9, 12, 3, 8, 7, 2, 3)),
        (1, Window::padded(3, 112, 3, 4, 7, 2, 3)),
        (2, Window::padded(11, 8, 5, 6, 7, 2, 3)),
        (3, Window::padded(7, 10, 8, 16, 1, 2, 0)),
        // 1 → 1.
        (2, Window::same(7, 5, 3, 5, 3, 3)),
        (2, Window::padded(7, 5, 4, 6, 7, 1, 2)),
        (2, Window { kernel_w: 2, pad_left: 0, ..Window::same(4, 5, 2, 3, 3, 1) }),
        (2, Window { kernel_h: 1, pad_top: 0, ..Window::same(4, 9, 2, 3, 7, 1) }),
        (2, Window::padded(1, 1, 1, 3, 1, 1, 1)),
        // Linear layers.
        (1, Window::linear(8, 12)),
        (9, Window::linear(12, 8)),
        (3, Window::linear(5, 4)),
        (9, Window::linear(6, 3)),
        (1, Window::linear(7, 1)),
        // Inputs that are shorter than a block of channels.
        (1, Window::linear(1, 4)),
        (1, Window::linear(3, 8)),
        (1, Window::same(1, 2, 1, 4, 3, 1)),
    ];
    windows.into_iter().map(|(n, window)| Case { n, window }).collect()
}

pub struct Data {
    pub x: Vec<f64>,
    dx: Vec<f64>,
    weights: Vec<f64>,
    weights_tangent: Vec<f64>,
    pub dy: Vec<f64>,
}

impl Data {
    fn new(n: usize, w: &Window) -> Self {
        Self::of(values, n, w)
    }

    /// Activations and their gradients by `input`.
    fn of(input: fn(u32, usize) -> Vec<f64>, n: usize, w: &Window) -> Self {
        Self {
            x: input(1, n * w.input_len()),
            dx: input(2, n * w.input_len()),
            weights: values(3, w.weight_len()),
            weights_tangent: values(4, w.weight_len()),
            dy: input(5, n * w.output_len()),
        }
    }
}

impl Case {
    /// Without and with NaNs.
    pub fn data(&self) -> [Data; 2] {
        INPUTS.map(|input| Data::of(input, self.n, &self.window))
    }
}

fn plus(sum: Vec<f64>, addend: &[f64]) -> Vec<f64> {
    sum.iter().zip(addend).map(|(a, b)| a + b).collect()
}

fn record_passes(n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    record_passes_of(&Data::new(n, w), n, w, bench, expected);
}

fn record_passes_of(data: &Data, n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    let (x, dx, dy) = (bench.floats(&data.x), bench.floats(&data.dx), bench.floats(&data.dy));
    let weights = bench.floats(&data.weights);
    let weights = View::whole(&bench.rec, weights);
    let weights_tangent = bench.floats(&data.weights_tangent);
    let weights_tangent = View::whole(&bench.rec, weights_tangent);
    let tolerance = Tolerance::sums(&[w.patch_len()], 1.0);
    let twice = Tolerance::sums(&[2 * w.patch_len()], 1.0);

    let z = conv::forward(&mut bench.rec, w, n, x, weights, None);
    let reference = reference::conv::forward(w, n, &data.x, &data.weights);
    expected.floats("forward", z, reference.clone(), tolerance);
    let z = conv::forward(&mut bench.rec, w, n, x, weights, Some(dy));
    expected.floats("forward + addend", z, plus(reference, &data.dy), tolerance);

    let cases = [
        (None, None),
        (Some(&data.dx), None),
        (Some(&data.dx), Some((dy, None))),
        (Some(&data.dx), Some((dy, Some(dy)))),
    ];
    for (tangent, addend) in cases {
        let x = (x, tangent.map(|_| dx));
        let (z, dz) = conv::dual(&mut bench.rec, w, n, x, weights, weights_tangent, addend);
        let tangent = tangent.map(Vec::as_slice);
        let (mut ref_z, mut ref_dz) =
            reference::conv::dual(w, n, &data.x, tangent, &data.weights, &data.weights_tangent);
        if let Some((_, tangent)) = addend {
            ref_z = plus(ref_z, &data.dy);
            ref_dz = if tangent.is_some() { plus(ref_dz, &data.dy) } else { ref_dz };
        }
        expected.floats("dual value", z, ref_z, tolerance);
        expected.floats("dual tangent", dz, ref_dz, twice);
    }

    let gradient = conv::input_gradient(&mut bench.rec, w, n, dy, weights);
    let reference = reference::conv::input_gradient(w, n, &data.dy, &data.weights);
    let tolerance = Tolerance::sums(&[w.kernel_h * w.kernel_w * w.out_channels], 1.0);
    expected.floats("input gradient", gradient, reference, tolerance);
}

fn record_weight_gradients(n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    record_weight_gradients_of(&Data::new(n, w), n, w, bench, expected);
}

fn record_weight_gradients_of(
    data: &Data,
    n: usize,
    w: &Window,
    bench: &mut Bench,
    expected: &mut Expected,
) {
    let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));
    let tolerance = Tolerance::sums(&[n * w.out_positions()], 1.0);

    let out = bench.rec.transient("gradient", w.weight_len());
    let view = View::whole(&bench.rec, out);
    conv::weight_gradient(&mut bench.rec, w, n, x, dy, None, view);
    let reference = reference::conv::weight_gradient(w, n, &data.x, &data.dy, None);
    expected.floats("weight gradient", out, reference, tolerance);

    let (example_weights, nan_x, nan_dy) = weighted_examples(n, w, data);
    let [weights, x, dy] = [&example_weights, &nan_x, &nan_dy].map(|v| bench.floats(v));
    let out = bench.rec.transient("weighted gradient", w.weight_len());
    let view = View::whole(&bench.rec, out);
    conv::weight_gradient(&mut bench.rec, w, n, x, dy, Some(weights), view);
    let reference = reference::conv::weight_gradient(w, n, &nan_x, &nan_dy, Some(&example_weights));
    expected.floats("weighted gradient", out, reference, tolerance);
}

/// Weights, every third of them 0, with inputs and gradients that are NaN where the weight is 0.
fn weighted_examples(n: usize, w: &Window, data: &Data) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut weights = values(6, n);
    let (mut x, mut dy) = (data.x.clone(), data.dy.clone());
    for example in (1..n).step_by(3) {
        weights[example] = 0.0;
        x[example * w.input_len()..(example + 1) * w.input_len()].fill(f64::NAN);
        dy[example * w.output_len()..(example + 1) * w.output_len()].fill(f64::NAN);
    }
    (weights, x, dy)
}

fn record_similarity(n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    record_similarity_of(&Data::new(n, w), n, w, bench, expected);
}

fn record_similarity_of(
    data: &Data,
    n: usize,
    w: &Window,
    bench: &mut Bench,
    expected: &mut Expected,
) {
    let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));
    let g = bench.floats(&data.weights);
    let g = View::whole(&bench.rec, g);
    let out = bench.rec.transient("similarity", n);
    let view = View::whole(&bench.rec, out);
    conv::similarity(&mut bench.rec, w, n, x, dy, g, view);
    let reference = reference::conv::similarity(w, n, &data.x, &data.dy, &data.weights);
    let tolerance = Tolerance::sums(&[w.patch_len(), w.output_len()], 1.0);
    expected.floats("similarity", out, reference, tolerance);
}

fn record_similarities(n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    let data = Data::new(n, w);
    let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));

    let rows = conv::per_example_gradient(&mut bench.rec, w, n, x, dy);
    let reference = reference::conv::per_example_gradient(w, n, &data.x, &data.dy);
    let tolerance = Tolerance::sums(&[w.out_positions()], 1.0);
    expected.floats("per-example gradient", rows, reference, tolerance);
    record_similarity(n, w, bench, expected);
}

#[test]
fn convolutions_their_tangents_and_their_transposes_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        record_passes(case.n, &case.window, bench, expected);
    });
}

#[test]
fn weight_gradients_equal_the_twins_and_never_see_examples_of_weight_zero() {
    assert_table(&cases(), |case, bench, expected| {
        record_weight_gradients(case.n, &case.window, bench, expected);
    });
}

#[test]
fn per_example_gradients_and_similarities_equal_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        record_similarities(case.n, &case.window, bench, expected);
    });
}

#[test]
fn a_nan_reaches_what_sees_it_and_nothing_else() {
    let windows = [
        (3, Window::same(5, 9, 4, 8, 3, 1)),
        (3, Window::same(6, 5, 8, 4, 3, 2)),
        (2, Window::same(5, 7, 3, 4, 3, 1)),
        (2, Window::padded(7, 5, 4, 6, 3, 1, 2)),
        (9, Window::linear(12, 8)),
        (9, Window::linear(6, 3)),
    ];
    let [staged, ..] = staged(None, Precision::F32);
    let tunings = [staged, Tuning::GPU, Tuning::SOFTWARE].map(offered);
    let cases = windows.map(|(n, window)| Case { n, window });
    assert_table_tuned(&cases, tunings, |Case { n, window }, bench, expected| {
        let data = Data::of(values_with_nan, *n, window);
        record_passes_of(&data, *n, window, bench, expected);
        record_similarity_of(&data, *n, window, bench, expected);
        // A NaN gradient meets the zeros of the padding as well, as where PyTorch unfolds images.
        let data = Data { dy: values(5, data.dy.len()), ..data };
        record_weight_gradients_of(&data, *n, window, bench, expected);
    });
}

/// What can be staged is, in tiles of 64 or up to 128 rows and columns, few or many splits.
fn staged(matrices: Option<Matrices>, precision: Precision) -> [Tuning; 3] {
    let tuning = |wide_tiles, workgroups, composed_dual| Tuning {
        staging: Some(Staging {
            channels: 1,
            product: 1,
            wide_tiles,
            workgroups,
            matrices,
            precision,
        }),
        composed_dual,
        ..Tuning::GPU
    };
    [tuning(false, 5, false), tuning(false, 1, false), tuning(true, 1, true)]
}

fn staged_cases() -> [Case; 8] {
    let windows = [
        // Steps of 16 channels with a remainder, two tiles of channels, parts of which are outside.
        (3, Window::same(5, 7, 20, 68, 3, 1)),
        // Two tiles of 64 pixels and channels that fill a tile of 128.
        (2, Window::padded(9, 8, 12, 116, 1, 1, 0)),
        // Taps that meet only some of the pixels, or none.
        (2, Window::same(7, 10, 8, 12, 5, 2)),
        (2, Window::padded(6, 5, 4, 8, 1, 3, 1)),
        (2, Window::padded(9, 12, 4, 8, 7, 2, 3)),
        (3, Window::padded(7, 10, 8, 20, 1, 2, 0)),
        (2, Window { kernel_w: 2, pad_left: 0, ..Window::same(4, 5, 4, 8, 4, 2) }),
        // A tile of 128 pixels and of 128 input channels.
        (70, Window::linear(120, 16)),
    ];
    windows.map(|(n, window)| Case { n, window })
}

#[test]
fn convolutions_staged_through_workgroup_memory_equal_the_twins() {
    for matrices in matrices() {
        let tunings = staged(matrices, Precision::F32);
        assert_table_tuned(&staged_cases(), tunings, |case, bench, expected| {
            record_passes(case.n, &case.window, bench, expected);
            record_weight_gradients(case.n, &case.window, bench, expected);
            record_similarity(case.n, &case.window, bench, expected);
        });
    }
}

/// Gradients in the size of a deep network's, far below what f16 holds.
fn record_rounded_gradients(n: usize, w: &Window, bench: &mut Bench, expected: &mut Expected) {
    let (data, size) = (Data::new(n, w), (-20.0_f64).exp2());
    let dy: Vec<f64> = data.dy.iter().map(|v| v * size).collect();
    let weights = bench.floats(&data.weights);
    let weights = View::whole(&bench.rec, weights);
    let dy_in = bench.floats(&dy);
    bench.rec.allow_rounding(true);

    let gradient = conv::input_gradient(&mut bench.rec, w, n, dy_in, weights);
    let reference = reference::conv::input_gradient(w, n, &dy, &data.weights);
    let tolerance = Tolerance::rounded_sums(w.kernel_h * w.kernel_w * w.out_channels, size);
    expected.floats("input gradient", gradient, reference, tolerance);

    let (example_weights, nan_x, nan_dy) = weighted_examples(n, w, &Data { dy, ..data });
    let [weights, x, dy] = [&example_weights, &nan_x, &nan_dy].map(|v| bench.floats(v));
    let out = bench.rec.transient("weighted gradient", w.weight_len());
    let view = View::whole(&bench.rec, out);
    conv::weight_gradient(&mut bench.rec, w, n, x, dy, Some(weights), view);
    let reference = reference::conv::weight_gradient(w, n, &nan_x, &nan_dy, Some(&example_weights));
    let tolerance = Tolerance::rounded_sums(n * w.out_positions(), size);
    expected.floats("weighted gradient", out, reference, tolerance);
}

#[test]
fn gradients_of_factors_rounded_to_f16_equal_the_twins_to_that_rounding() {
    if !has_f16() {
        return;
    }
    for matrices in matrices() {
        let tunings = staged(matrices, Precision::F16);
        assert_table_tuned(&staged_cases(), tunings, |case, bench, expected| {
            record_rounded_gradients(case.n, &case.window, bench, expected);
        });
    }
}

#[test]
fn what_similarities_are_made_of_is_never_rounded() {
    if !has_f16() {
        return;
    }
    assert_table_tuned(&staged_cases(), staged(None, Precision::F16), |case, bench, expected| {
        record_passes(case.n, &case.window, bench, expected);
        record_weight_gradients(case.n, &case.window, bench, expected);
        bench.rec.allow_rounding(true);
        record_similarity(case.n, &case.window, bench, expected);
    });
}

#[test]
fn convolutions_whose_loads_a_subgroup_shares_equal_the_twins() {
    let windows = [
        // Subgroups of 4 × 2, 2 × 4 and 8 × 1 blocks, with tiles beyond the last example.
        (3, Window::same(5, 7, 16, 16, 3, 1)),
        (9, Window::same(5, 3, 8, 32, 3, 1)),
        (2, Window::same(3, 17, 32, 8, 3, 1)),
        // Rows that are outside for some tiles of a subgroup only, or for all.
        (3, Window::same(3, 5, 16, 16, 3, 2)),
        (11, Window::same(2, 2, 16, 16, 5, 1)),
        (2, Window::padded(6, 5, 16, 16, 1, 3, 1)),
        // Rows of 4, 8 and 2 tiles, which hand on pixels, on one side only as well; and of a narrow
        // one.
        (3, Window::same(3, 28, 8, 8, 5, 1)),
        (2, Window::same(2, 64, 4, 8, 3, 1)),
        (3, Window { pad_left: 0, ..Window::same(3, 16, 8, 8, 3, 1) }),
        (3, Window { pad_left: 3, kernel_w: 4, ..Window::same(3, 16, 8, 8, 3, 1) }),
        (9, Window::same(3, 1, 8, 8, 3, 1)),
        (3, Window { kernel_w: 2, pad_left: 0, ..Window::same(4, 5, 16, 32, 3, 2) }),
        // Kernels too wide for pairs of blocks, or for a subgroup.
        (2, Window::same(5, 9, 16, 8, 5, 1)),
        (3, Window::same(4, 7, 8, 16, 4, 2)),
        (2, Window::same(4, 9, 16, 8, 7, 1)),
        // Channels that no subgroup divides, and an odd number of blocks.
        (3, Window::same(4, 9, 12, 8, 3, 1)),
        (2, Window::same(3, 4, 16, 12, 3, 1)),
        (9, Window::linear(32, 16)),
        (70, Window::linear(20, 24)),
    ];
    let cases = windows.map(|(n, window)| Case { n, window });
    let tuning = |wide_loads, two_blocks| Tuning { wide_loads, two_blocks, ..Tuning::SOFTWARE };
    let tunings = [tuning(true, true), tuning(false, false)].map(offered);
    assert_table_tuned(&cases, tunings, |case, bench, expected| {
        record_passes(case.n, &case.window, bench, expected);
        record_weight_gradients(case.n, &case.window, bench, expected);
        record_similarities(case.n, &case.window, bench, expected);
        let data = Data::new(case.n, &case.window);
        gram::record_similarity(&data, case.n, &case.window, bench, expected);
    });
}

#[test]
fn convolutions_that_read_their_sizes_equal_the_twins() {
    let bound = |tuning| offered(Tuning { bound_sizes: true, shared_loads: false, ..tuning });
    assert_table_tuned(
        &cases(),
        [Tuning::GPU, Tuning::SOFTWARE].map(bound),
        |case, bench, expected| {
            record_passes(case.n, &case.window, bench, expected);
            record_similarity(case.n, &case.window, bench, expected);
        },
    );
}

#[test]
fn layers_of_equal_counts_of_blocks_but_other_blocks_are_told_apart() {
    // 4 → 3 blocks of 4 channels, and of 1.
    assert_table(&["16 → 12, 4 → 3"], |_, bench, expected| {
        for window in [Window::linear(16, 12), Window::linear(4, 3)] {
            record_passes(5, &window, bench, expected);
            record_weight_gradients(5, &window, bench, expected);
        }
    });
}

#[test]
fn weight_gradients_over_many_splits_equal_the_twin() {
    // More image rows than a block of the reduction adds up.
    let cases = [Case { n: 45, window: Window::same(7, 3, 1, 4, 3, 1) }];
    assert_table(&cases, |case, bench, expected| {
        record_weight_gradients(case.n, &case.window, bench, expected);
    });
}

prop_compose! {
    /// Any choice of register-tile kernels that the device offers.
    fn any_tuning()(
        (composed_dual, uniform_weights, trees) in any::<(bool, bool, bool)>(),
        (two_blocks, wide_loads, shared_loads) in any::<(bool, bool, bool)>(),
        bound_sizes in any::<bool>(),
        (split_invocations, chunk) in (1_usize..5000, 1_usize..40),
    ) -> Tuning {
        offered(Tuning {
            composed_dual, uniform_weights, wide_loads, shared_loads, two_blocks,
            bound_sizes, split_invocations, chunk, trees, staging: None,
        })
    }
}

prop_compose! {
    fn any_window()(
        (height, width) in (1_usize..9, 1_usize..12),
        in_channels in prop::sample::select(vec![1_usize, 2, 3, 4, 8, 16]),
        out_channels in prop::sample::select(vec![1_usize, 3, 4, 8, 16]),
        (kernel_h, kernel_w) in (1_usize..5, 1_usize..5),
        stride in 1_usize..4,
        (pad_top, pad_left) in (0_usize..3, 0_usize..3),
        (out_height, out_width) in (1_usize..6, 1_usize..12),
    ) -> Window {
        Window {
            height, width, in_channels, kernel_h, kernel_w, stride, pad_top, pad_left, out_height,
            out_width, out_channels,
        }
    }
}

#[test]
fn convolutions_over_any_window_equal_the_twins() {
    // Every shrinking step compiles pipelines anew.
    let config =
        Config { cases: 24, max_shrink_iters: 50, failure_persistence: None, ..Config::default() };
    let compared = TestRunner::new(config).run(
        &(1_usize..4, any_window(), any_tuning()),
        |(n, window, tuning)| {
            let (mut bench, mut expected) = (Bench::new(), Expected::default());
            bench.rec.tune(tuning);
            record_passes(n, &window, &mut bench, &mut expected);
            record_weight_gradients(n, &window, &mut bench, &mut expected);
            let differences = expected.submit(bench, ShaderChecks::Trusted).differences();
            if differences.is_empty() {
                Ok(())
            } else {
                Err(TestCaseError::fail(differences.join("\n")))
            }
        },
    );
    compared.unwrap_or_else(|error| panic!("{error}"));
}
