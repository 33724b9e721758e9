//! AdamW equals its twin.

use l2rw::ops::adamw::{self, Options};
use l2rw::ops::not_finite::SLOTS;
use l2rw::ops::{Step, sgd};
use l2rw::reference;
use l2rw::reference::adamw::AdamW;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{values, values_with_nan};

#[derive(Debug)]
struct Case {
    len: usize,
    /// Powers of two and sums of few of them, which `f32` holds exactly.
    settings: AdamW,
}

fn cases() -> Vec<Case> {
    let settings = |weight_decay, beta1, beta2, epsilon, step| AdamW {
        learning_rate: 0.125,
        weight_decay,
        beta1,
        beta2,
        epsilon,
        step,
    };
    vec![
        Case { len: 1, settings: settings(0.0, 0.5, 0.75, 0.0625, 1) },
        Case { len: 65, settings: settings(0.0625, 0.875, 0.9375, 0.0625, 1) },
        Case { len: 200, settings: settings(0.25, 0.875, 0.984_375, 0.000_976_562_5, 7) },
        Case { len: 1_000, settings: settings(0.0625, 0.0, 0.5, 0.5, 300) },
    ]
}

#[test]
fn two_steps_equal_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        let mask: Vec<f64> = (0..case.len).map(|k| if k % 3 == 0 { 0.0 } else { 1.0 }).collect();
        let (mut theta, mut m) = (values(1, case.len), values(2, case.len));
        let mut v: Vec<f64> = values(3, case.len).iter().map(|x| x * x).collect();
        let state = sgd::State {
            parameters: bench.floats(&theta),
            velocity: bench.floats(&m),
            decay_mask: bench.floats(&mask),
        };
        // What f32 holds is what the twin starts from as well.
        v.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        let second_moment = bench.floats(&v);
        let s = case.settings;
        let options =
            Options { beta1: s.beta1 as f32, beta2: s.beta2 as f32, epsilon: s.epsilon as f32 };
        for later in 0..2 {
            let settings = AdamW { step: s.step + later, ..s };
            let step = Step {
                learning_rate: s.learning_rate as f32,
                weight_decay: s.weight_decay as f32,
                first_correction: (1.0 - s.beta1.powi(settings.step)) as f32,
                second_correction: (1.0 - s.beta2.powi(settings.step)) as f32,
                ..Step::default()
            };
            let uniform = bench.uniform(bytemuck::cast_slice(&[step]));
            let gradient = values_with_nan(4 + later as u32, case.len);
            let gradient_in = bench.floats(&gradient);
            let found = bench.integers(&[0; SLOTS]);
            adamw::update(
                &mut bench.rec,
                uniform,
                state,
                second_moment,
                gradient_in,
                found,
                options,
            );
            reference::adamw::adamw(settings, &mut theta, &mut m, &mut v, &gradient, &mask);
        }
        expected.floats("first moment", state.velocity, m, Tolerance::roundings(12, 2.0));
        expected.floats("second moment", second_moment, v, Tolerance::roundings(12, 2.0));
        // Division by a root down to ε magnifies roundings.
        let magnified = 1.0 / s.epsilon.max(0.015_625);
        let tolerance = Tolerance::roundings(24, magnified);
        expected.floats("parameters", state.parameters, theta, tolerance);
    });
}
