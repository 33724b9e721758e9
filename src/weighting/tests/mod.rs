//! Every method on the device against its twin and against hand-made cases: linear classifiers of
//! tiny images, trained by the trainer.

mod case;
mod trial;

pub use case::{Case, of};

use case::{Of, failures_of_case, setup};
use trial::Trial;

use super::methods::cases;
use super::{Setup, by_name, variants};
use crate::ops::Optimizer;
use crate::reference::rng;
use crate::reference::step::{TwinInput, TwinOutput};

/// Random examples of which some are easy, some hard, classes unevenly frequent.
fn examples(tag: u32, count: u32, classes: u32) -> Vec<Of> {
    let hash = |i: u32| rng::pcg_hash(rng::pcg_hash(tag) ^ i);
    let example = |i: u32| {
        let label = (hash(1000 + i) % (classes * classes)).isqrt();
        let scores = (0..classes).map(|k| (hash(i * 64 + k) % 5) as u8).collect();
        Of(label, scores)
    };
    (0..count).map(example).collect()
}

/// Runs a method beside its twin, with a finite outcome.
fn failures_of_run(
    name: &str,
    classes: usize,
    sets: (&[Of], &[Of]),
    (batch, rate, scale, steps): (usize, f32, f64, usize),
    optimizer: Optimizer,
) -> Vec<String> {
    let weighting = by_name(name, &setup(classes)).unwrap();
    let mut trial = Trial::new(weighting, classes, sets, batch, rate, optimizer);
    trial.set_diagonal(scale);
    let mut failures = Vec::new();
    for _ in 0..steps {
        let (report, _, _, differences) = trial.step();
        failures.extend(differences);
        let all = report.weights.iter().chain(&report.losses);
        if !all.clone().all(|value| value.is_finite()) {
            failures.push(format!("not finite: {:?} {:?}", report.weights, report.losses));
        }
        if report.weights.iter().any(|w| *w < 0.0) {
            failures.push(format!("negative weights {:?}", report.weights));
        }
    }
    if !trial.parameters().iter().all(|p| p.is_finite()) {
        failures.push("the parameters are not finite".into());
    }
    failures.iter().map(|f| format!("{name}: {f}")).collect()
}

/// A step whose scores are its inputs.
pub fn seen_for_differences() -> TwinInput {
    let classes = 3;
    let mut parameters = vec![0.0; (classes + 1) * classes];
    for class in 0..classes {
        parameters[class * classes + class] = 1.0;
    }
    TwinInput {
        classes,
        inputs: vec![0.3, -0.9, 0.5, 1.1, 0.2, -0.4, -0.6, 0.8, 0.7, 0.0, 0.1, 1.9],
        labels: vec![0, 2, 1, 1],
        indices: vec![0, 1, 2, 3],
        parameters,
        learning_rate: 0.1,
        ..TwinInput::default()
    }
}

/// Holds the residuals of a twin to central differences of its losses.
pub fn assert_residual(tell: impl Fn(&TwinInput) -> TwinOutput) {
    let seen = seen_for_differences();
    let residual = tell(&seen).residual;
    for (at, r) in residual.iter().enumerate() {
        let loss = |by: f64| {
            let mut seen = seen.clone();
            seen.inputs[at] += by;
            tell(&seen).losses[at / seen.classes]
        };
        let numerical = (loss(1e-6) - loss(-1e-6)) / 2e-6;
        assert!((numerical - r).abs() < 1e-8, "{at}: {numerical} {r}");
    }
}

#[test]
fn every_method_equals_its_twin_over_several_steps_of_training() {
    let mut failures = Vec::new();
    for variant in variants() {
        // Less than a workgroup of examples, and more than one.
        for (count, clean, batch) in [(40, 6, 12), (600, 67, 70)] {
            let (train, clean) = (examples(1, count, 4), examples(2, clean, 4));
            let run = (batch, 0.05, 0.4, 6);
            failures.extend(failures_of_run(
                variant.name,
                4,
                (&train, &clean),
                run,
                Optimizer::PLAIN,
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_noise_layer_follows_the_trainers_optimizer() {
    let (train, clean) = (examples(1, 40, 4), examples(2, 6, 4));
    for optimizer in [
        Optimizer::Sgd { momentum: 0.9, nesterov: false },
        Optimizer::Sgd { momentum: 0.9, nesterov: true },
        // With a small ε, gradients that are zero but for rounding would move at full speed.
        Optimizer::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-3 },
    ] {
        for name in ["s-model", "s-model-conf"] {
            let run = (12, 0.05, 0.4, 8);
            let failures = failures_of_run(name, 4, (&train, &clean), run, optimizer);
            assert!(failures.is_empty(), "{optimizer:?}: {}", failures.join("\n"));
        }
    }
}

#[test]
fn every_method_equals_the_closed_form_of_its_hand_made_cases() {
    let cases = cases();
    let without: Vec<&str> = variants()
        .map(|variant| variant.name)
        .filter(|name| !cases.iter().any(|c| c.method == *name && c.says_something()))
        .collect();
    assert!(without.is_empty(), "methods without a hand-made case: {without:?}");
    let failures: Vec<String> = cases.iter().flat_map(failures_of_case).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_method_survives_degenerate_input() {
    let mut failures = Vec::new();
    let (train, clean) = (examples(3, 24, 4), examples(4, 5, 4));
    let without_class_2: Vec<Of> = train.iter().filter(|of| of.0 != 2).cloned().collect();
    let all_equal: Vec<Of> = (0..8).map(|i| of(i % 4, &[1, 1, 1, 1])).collect();
    let right = |label: u32| Of(label, (0..4).map(|k| if k == label { 255 } else { 0 }).collect());
    let all_right: Vec<Of> = (0..8).map(|i| right(i % 4)).collect();
    let one_class: Vec<Of> = (0..8).map(|i| of(1, &[i, 3, 2, 1])).collect();
    for variant in variants() {
        for (what, train, clean, run) in [
            ("a class is absent", &without_class_2, &clean[..], (4, 0.05, 0.4, 4)),
            ("only one class", &one_class, &clean[..], (4, 0.05, 0.4, 3)),
            ("all losses equal", &all_equal, &all_equal[..], (8, 0.0, 0.4, 3)),
            ("all losses zero", &all_right, &all_right[..], (8, 0.05, 4.0, 3)),
            ("a batch of 1", &train, &clean[..], (1, 0.05, 0.4, 5)),
            ("m = 1", &train, &clean[..1], (4, 0.05, 0.4, 3)),
        ] {
            let found = failures_of_run(variant.name, 4, (train, clean), run, Optimizer::PLAIN);
            failures.extend(found.into_iter().map(|f| format!("{what}: {f}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn names_are_unique_and_an_unknown_one_is_refused_with_the_list() {
    let mut names: Vec<&str> = variants().map(|variant| variant.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let message = by_name("nonesuch", &Setup::default()).unwrap_err().to_string();
    assert!(message.contains("nonesuch") && message.contains("l2rw"), "{message}");
}
