//! Steps of stochastic gradient descent equal the twin's.

use l2rw::ops::not_finite::SLOTS;
use l2rw::ops::{Step, sgd};
use l2rw::reference;
use l2rw::reference::sgd::Sgd;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{values, values_with_nan};

#[derive(Debug)]
struct Case {
    len: usize,
    /// Powers of two and sums of few of them, which `f32` holds exactly.
    settings: Sgd,
}

fn cases() -> Vec<Case> {
    let settings = |momentum, weight_decay, nesterov| Sgd {
        learning_rate: 0.125,
        momentum,
        weight_decay,
        nesterov,
    };
    vec![
        Case { len: 1, settings: settings(0.0, 0.0, false) },
        Case { len: 65, settings: settings(0.875, 0.0, false) },
        Case { len: 200, settings: settings(0.875, 0.0625, false) },
        Case { len: 1_000, settings: settings(0.875, 0.0625, true) },
    ]
}

fn step(settings: &Sgd) -> [Step; 1] {
    [Step {
        learning_rate: settings.learning_rate as f32,
        momentum: settings.momentum as f32,
        weight_decay: settings.weight_decay as f32,
        ..Step::default()
    }]
}

/// Every third parameter does not decay.
fn decay_mask(len: usize) -> Vec<f64> {
    (0..len).map(|k| if k % 3 == 0 { 0.0 } else { 1.0 }).collect()
}

fn state(bench: &mut Bench, parameters: &[f64], velocity: &[f64]) -> sgd::State {
    sgd::State {
        parameters: bench.floats(parameters),
        velocity: bench.floats(velocity),
        decay_mask: bench.floats(&decay_mask(parameters.len())),
    }
}

#[test]
fn two_steps_equal_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        let uniform = bench.uniform(bytemuck::cast_slice(&step(&case.settings)));
        let (mut parameters, mut velocity) = (values(1, case.len), values(2, case.len));
        let gradient = values_with_nan(3, case.len);
        let state = state(bench, &parameters, &velocity);
        let gradient_in = bench.floats(&gradient);
        let found = bench.integers(&[0; SLOTS]);
        for _ in 0..2 {
            sgd::update(&mut bench.rec, uniform, state, gradient_in, found, case.settings.nesterov);
            let mask = decay_mask(case.len);
            reference::sgd::sgd(case.settings, &mut parameters, &mut velocity, &gradient, &mask);
        }
        let tolerance = Tolerance::roundings(12, 4.0);
        expected.floats("velocity", state.velocity, velocity, tolerance);
        expected.floats("parameters", state.parameters, parameters, tolerance);
    });
}

#[test]
fn decay_reaches_the_clean_gradient_where_the_mask_allows() {
    assert_table(&cases(), |case, bench, expected| {
        let uniform = bench.uniform(bytemuck::cast_slice(&step(&case.settings)));
        let (parameters, gradient) = (values(1, case.len), values_with_nan(2, case.len));
        let state = state(bench, &parameters, &gradient);
        let gradient_in = bench.floats(&gradient);
        sgd::decay_clean_gradient(&mut bench.rec, uniform, state, gradient_in);
        let mask = decay_mask(case.len);
        let decayed = (0..case.len)
            .map(|k| gradient[k] + case.settings.weight_decay * mask[k] * parameters[k]);
        let tolerance = Tolerance::roundings(3, 2.0);
        expected.floats("G", gradient_in, decayed.collect(), tolerance);
    });
}

#[test]
fn a_virtual_step_is_a_step_without_momentum_and_decay_that_leaves_the_parameters_alone() {
    assert_table(&cases(), |case, bench, expected| {
        let uniform = bench.uniform(bytemuck::cast_slice(&step(&case.settings)));
        let (parameters, gradient) = (values(1, case.len), values_with_nan(3, case.len));
        let (parameters_in, gradient_in) = (bench.floats(&parameters), bench.floats(&gradient));
        let stepped = bench.rec.transient("stepped", case.len);
        sgd::virtual_step(&mut bench.rec, uniform, parameters_in, gradient_in, stepped);
        let plain = Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false, ..case.settings };
        let mut twin = parameters.clone();
        let mut velocity = vec![0.0; case.len];
        reference::sgd::sgd(plain, &mut twin, &mut velocity, &gradient, &vec![0.0; case.len]);
        expected.floats("stepped", stepped, twin, Tolerance::roundings(2, 1.125));
        expected.floats("parameters", parameters_in, parameters, Tolerance::EXACT);
    });
}
