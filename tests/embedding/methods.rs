//! Which methods weigh batches that the application supplies.

use l2rw::gpu::{Shader, ShaderChecks, TensorId};
use l2rw::plan::{self, PlanError};
use l2rw::train::{Examples, Iteration, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::{Mentor, Method, PerExample, Setup, variants};

use super::levels::{N, host_batch, network, options, weights_of_a_step};
use crate::common::device::context;

#[test]
fn methods_that_need_a_training_set_are_refused_for_supplied_batches_and_the_others_weigh_them() {
    let context = context(ShaderChecks::Trusted);
    let setup = Setup {
        steps: 20,
        label_correct: Some(vec![0.5; 5]),
        confusion: Some(vec![1.0; 25]),
        mentor: Some(Mentor::untrained(1)),
        ..Setup::default()
    };
    let mut refused = Vec::new();
    for variant in variants() {
        let weighting = (variant.make)(&setup).unwrap();
        let method = weighting.name();
        match weights_of_a_step(context, &TrainerOptions { weighting, ..options() }) {
            Ok(weights) => {
                let sensible = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
                assert!(sensible && weights.len() == N, "{}: {weights:?}", variant.name);
            }
            Err(TrainError::Plan(PlanError::Weighting { method: named, reason })) => {
                assert_eq!(named, method);
                assert!(reason.contains("data set"), "{}: {reason}", variant.name);
                refused.push(variant.name);
            }
            Err(other) => panic!("{}: {other}", variant.name),
        }
    }
    let expected = [
        "proportion",
        "class-balanced",
        "class-balanced-focal",
        "hard-mining",
        "adaboost",
        "resample",
        "under-sampling",
        "over-sampling",
        "smote",
    ];
    refused.sort_unstable();
    assert_eq!(refused, {
        let mut expected = expected;
        expected.sort_unstable();
        expected
    });
}

/// A method from outside the crate, by the places of the examples in their set.
#[derive(Debug)]
struct ByPlace;

static BY_PLACE: Shader = l2rw::weight_shader!(
    "by_place",
    "
fn weight(i: u32) -> f32 {
    return f32(1u + indices[i]);
}
"
);

impl Method for ByPlace {
    fn name(&self) -> &'static str {
        "by-place"
    }

    fn weights(
        &self,
        it: &mut plan::IterationBuilder<'_>,
        seen: &plan::ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let raw = PerExample::new(&BY_PLACE).record(it, seen)?;
        Ok(it.normalise(raw))
    }
}

#[test]
fn a_method_of_ones_own_that_reads_places_in_the_training_set_is_refused_for_supplied_batches() {
    let context = context(ShaderChecks::Trusted);
    let options = TrainerOptions { weighting: ByPlace.into(), ..options() };
    for error in [
        Iteration::new(context, &network(), &options).unwrap_err(),
        Trainer::for_batches(context, &network(), &options).unwrap_err(),
    ] {
        let message = error.to_string();
        for part in ["by-place", "`indices`", "data set", "Trainer::new"] {
            assert!(message.contains(part), "{message}");
        }
    }

    let (train, shape) = (host_batch(1, N), network().input());
    let set = Examples::new(&train.0, &train.1, shape);
    let mut trainer = Trainer::new(context, &network(), set, None, &options).unwrap();
    trainer.step().unwrap();
    let report = trainer.take_report(true).unwrap().unwrap();
    let sum = (N * (N + 1) / 2) as f32;
    for (index, weight) in report.indices.iter().zip(&report.weights) {
        assert!((weight - (1 + index) as f32 / sum).abs() < 1e-6, "{report:?}");
    }
}
