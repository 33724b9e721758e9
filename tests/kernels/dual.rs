//! Dual numbers through kernels of all kinds equal the difference quotient of plain ones.

use l2rw::gpu::{Recorder, ShaderChecks, TensorId};
use l2rw::ops::norm::{self, Norm};
use l2rw::ops::{NormKind, View, Window, conv, pool};

use crate::common::device::Bench;
use crate::common::values::values;

const N: usize = 5;
const CLASSES: usize = 3;
const INPUT: Window = Window {
    height: 7,
    width: 6,
    in_channels: 3,
    kernel_h: 3,
    kernel_w: 3,
    stride: 1,
    pad_top: 1,
    pad_left: 1,
    out_height: 7,
    out_width: 6,
    out_channels: 4,
};

fn norm() -> Norm {
    Norm {
        kind: NormKind::Batch,
        n: N,
        positions: INPUT.out_positions(),
        channels: INPUT.out_channels,
        epsilon: 1e-3,
        whole: None,
        has_scale: true,
        relu: true,
    }
}

fn pooled() -> Window {
    Window::same(7, 6, INPUT.out_channels, INPUT.out_channels, 3, 2)
}

fn linear() -> Window {
    Window::linear(pooled().output_len(), CLASSES)
}

/// Parameters of the convolution, the norm and the linear layer, or a direction in their space.
fn parameters(seed: u32) -> [Vec<f64>; 3] {
    let affine = 2 * INPUT.out_channels;
    [
        values(seed, INPUT.weight_len()),
        values(seed + 1, affine),
        values(seed + 2, linear().weight_len()),
    ]
}

fn upload(bench: &mut Bench, parameters: &[Vec<f64>; 3]) -> [View; 3] {
    parameters.each_ref().map(|vector| {
        let tensor = bench.floats(vector);
        View::whole(&bench.rec, tensor)
    })
}

fn scores(rec: &mut Recorder, x: TensorId, [filters, affine, weights]: [View; 3]) -> TensorId {
    let z = conv::forward(rec, &INPUT, N, x, filters, None);
    let moments = norm::statistics(rec, &norm(), z, None);
    let y = norm::forward(rec, &norm(), z, moments, affine);
    let (y, _) = pool::max_forward(rec, &pooled(), N, y);
    conv::forward(rec, &linear(), N, y, weights, None)
}

fn score_tangents(
    rec: &mut Recorder,
    x: TensorId,
    [filters, affine, weights]: [View; 3],
    [dfilters, daffine, dweights]: [View; 3],
) -> TensorId {
    let (z, dz) = conv::dual(rec, &INPUT, N, (x, None), filters, dfilters, None);
    let moments = norm::statistics(rec, &norm(), z, None);
    let dy = norm::tangent(rec, &norm(), z, dz, moments, affine, Some(daffine));
    let y = norm::forward(rec, &norm(), z, moments, affine);
    let (y, winner) = pool::max_forward(rec, &pooled(), N, y);
    let dy = pool::max_tangent(rec, &pooled(), N, dy, winner);
    conv::dual(rec, &linear(), N, (y, Some(dy)), weights, dweights, None).1
}

#[test]
fn dual_numbers_through_a_network_are_its_difference_quotient() {
    // Rounding of scores around 3 costs 1e-6 / STEP, a kink of ReLU or maximum within STEP a little
    // of one score among the contributions of 48 features.
    const STEP: f64 = 1.0 / 512.0;
    const TOLERANCE: f64 = 5e-3;
    let (theta, direction) = (parameters(10), parameters(20));
    let moved = |step: f64| {
        let mut moved = theta.clone();
        for (vector, direction) in moved.iter_mut().zip(&direction) {
            for (value, d) in vector.iter_mut().zip(direction) {
                *value += step * d;
            }
        }
        moved
    };
    let mut bench = Bench::new();
    let x = bench.floats(&values(1, N * INPUT.input_len()));
    let [here, along, above, below] = [theta.clone(), direction.clone(), moved(STEP), moved(-STEP)]
        .map(|vectors| upload(&mut bench, &vectors));
    let tangents = score_tangents(&mut bench.rec, x, here, along);
    let (above, below) = (scores(&mut bench.rec, x, above), scores(&mut bench.rec, x, below));
    let results = bench.run(ShaderChecks::Trusted, &[tangents, above, below]);
    let largest = results[0].iter().fold(0.0_f64, |largest, t| largest.max(t.abs()));
    assert!(largest > 1.0, "tangents of {largest} show nothing");
    for (index, tangent) in results[0].iter().enumerate() {
        let quotient = (results[1][index] - results[2][index]) / (2.0 * STEP);
        let error = (tangent - quotient).abs();
        assert!(error < TOLERANCE * (1.0 + tangent.abs()), "[{index}] {tangent} and {quotient}");
    }
}
