//! Every method on the device against its twin and against hand-made cases: linear classifiers of
//! tiny images, trained by the trainer.

mod case;
mod ignored;
mod trial;

pub use case::{Case, of};

use case::{Of, failures_of_case, setup};
use trial::{Trial, parameters, set_weights};

use super::methods::cases;
use super::*;
use crate::gpu::Tuning;
use crate::ops::Optimizer;
use crate::plan::{Input, PlanError, Route, TrainingOptions, training};
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
    weighting: Weighting,
    classes: usize,
    sets: (&[Of], &[Of]),
    (batch, rate, scale, steps): (usize, f32, f64, usize),
    optimizer: Optimizer,
) -> Vec<String> {
    let name = weighting.name();
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
    if !parameters(trial.model()).iter().all(|p| p.is_finite()) {
        failures.push("the parameters are not finite".into());
    }
    failures.iter().map(|f| format!("{name}: {f}")).collect()
}

fn named(name: &str) -> Weighting {
    by_name(name, &setup(4)).unwrap()
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
            let sets = (&train[..], &clean[..]);
            let weighting = named(variant.name);
            failures.extend(failures_of_run(weighting, 4, sets, run, Optimizer::PLAIN));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn targets_are_smoothed_under_learned_and_under_uniform_weights() {
    let (train, clean) = (examples(1, 40, 4), examples(2, 6, 4));
    let routes = [Route::Tangent, Route::PerLayer].map(Some);
    let learned = routes.map(|route| L2rw { route, ..L2rw::default() }.into());
    for of in learned.into_iter().chain([Uniform.into()]) {
        let smoothed = LabelSmoothing { smoothing: 0.3, of }.into();
        let sets = (&train[..], &clean[..]);
        let failures = failures_of_run(smoothed, 4, sets, (12, 0.05, 0.4, 6), Optimizer::PLAIN);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

#[test]
fn a_factor_of_the_class_multiplies_learned_and_other_weights() {
    let (train, clean) = (examples(1, 40, 4), examples(2, 6, 4));
    let routes = [Route::Tangent, Route::PerLayer].map(Some);
    let learned = routes.map(|route| L2rw { route, ..L2rw::default() }.into());
    let others = [Uniform.into(), named("focal"), named("random")];
    for of in learned.into_iter().chain(others) {
        for factors in [ClassFactors::Balanced, ClassFactors::Given(vec![0.5, 7.0, 0.0, 2.0])] {
            let weighting: Weighting = ClassWeighted { factors, of: of.clone() }.into();
            let (sets, run) = ((&train[..], &clean[..]), (12, 0.05, 0.4, 6));
            let failures = failures_of_run(weighting, 4, sets, run, Optimizer::PLAIN);
            assert!(failures.is_empty(), "{}", failures.join("\n"));
        }
    }
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
            let failures = failures_of_run(named(name), 4, (&train, &clean), run, optimizer);
            assert!(failures.is_empty(), "{optimizer:?}: {}", failures.join("\n"));
        }
    }
}

#[test]
fn adaboost_still_knows_after_two_hundred_passes_what_it_never_missed() {
    // Four kinds of images, of which each pass takes one for the next class. Every pass divides the
    // weights of the last kind by about four: none of them fits an f32 after 80.
    let train: Vec<Of> =
        (0..8).map(|i| Of(i % 4, (0..4).map(|k| u8::from(k == i % 4)).collect())).collect();
    let mut trial = Trial::new(AdaBoost.into(), 4, (&train, &train), 8, 0.0, Optimizer::PLAIN);
    let mut share = 0.0;
    for pass in 0..203 {
        let missed = if pass < 200 { pass % 3 } else { 3 };
        let taken_for = |kind: usize| if kind == missed { (kind + 1) % 4 } else { kind };
        set_weights(trial.model(), |kind, class| f64::from(u8::from(class == taken_for(kind))));
        let (report, seen, told, _) = trial.step();
        for (found, expected) in report.weights.iter().zip(&told.weights) {
            let near = (f64::from(*found) - expected).abs() < 1e-3;
            assert!(near, "pass {pass}: {:?}, expected {:?}", report.weights, told.weights);
        }
        let pairs = told.weights.iter().zip(&seen.labels);
        share = pairs.filter(|(_, label)| **label == 3).map(|(w, _)| w).sum();
        assert!(pass == 0 || share < 0.1 || pass > 200, "pass {pass}: {share}");
    }
    assert!(
        (share - 0.75).abs() < 1e-6,
        "the share of what a round of four classes missed: {share}"
    );
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
            let weighting = named(variant.name);
            let found = failures_of_run(weighting, 4, (train, clean), run, Optimizer::PLAIN);
            failures.extend(found.into_iter().map(|f| format!("{what}: {f}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_an_option_of_a_method_must_not_be_is_refused_by_its_value() {
    let adam = |rate, decay| MetaOptimizer::Adam { rate, decay };
    let nesterov = |momentum| MetaOptimizer::Nesterov { rate: 0.1, momentum, decay: 0.0 };
    let mwn = |optimizer| MetaWeightNet { optimizer, ..MetaWeightNet::default() };
    let mentor = |percentile, decay| {
        let mentor = Mentor::untrained(1);
        MentorNet { mentor, steps: 9, percentile, decay }
    };
    let pd =
        MentorNetPd { steps: 9, burn_in: 0.1, linear_from: 0.9, slope: 1.0, dropped: [0.5; 2] };
    let paced = |percentile, decay| SelfPaced { linear: false, percentile, decay };
    let factors = |factors: &[f64], of: Weighting| {
        let factors = ClassFactors::Given(factors.to_vec());
        Weighting::from(ClassWeighted { factors, of })
    };
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    let wrong: Vec<(Weighting, &str)> = vec![
        (L2rw { last_layers: Some(0), ..L2rw::default() }.into(), "0 layers"),
        (mwn(adam(nan, 0.0)).into(), "NaN"),
        (mwn(adam(infinite, 0.0)).into(), "inf"),
        (mwn(adam(0.1, -0.5)).into(), "-0.5"),
        (mwn(nesterov(1.0)).into(), "is 1;"),
        (mwn(nesterov(nan)).into(), "NaN"),
        (MetaWeightNet { hidden: 0, ..MetaWeightNet::default() }.into(), "no units"),
        (mentor(1.5, 0.5).into(), "1.5"),
        (mentor(0.5, nan).into(), "NaN"),
        (MentorNetPd { burn_in: nan, ..pd }.into(), "NaN"),
        (MentorNetPd { linear_from: 2.0, ..pd }.into(), "2"),
        (MentorNetPd { slope: 0.0, ..pd }.into(), "0"),
        (MentorNetPd { slope: infinite, ..pd }.into(), "inf"),
        (MentorNetPd { dropped: [-0.25, 0.0], ..pd }.into(), "-0.25"),
        (paced(nan, 0.5).into(), "NaN"),
        (paced(0.5, -1.0).into(), "-1"),
        (Ghm { bins: 0, momentum: 0.5 }.into(), "no regions"),
        (Ghm { bins: 3, momentum: 1.0 }.into(), "1"),
        (Focal { gamma: -1.0, beta: None }.into(), "-1"),
        (Focal { gamma: infinite, beta: None }.into(), "inf"),
        (Focal { gamma: 0.0, beta: Some(1.0) }.into(), "1"),
        (Focal { gamma: 0.0, beta: Some(nan) }.into(), "NaN"),
        (LabelWeights::Weighted(vec![0.5; 2]).into(), "2 probabilities"),
        (LabelWeights::Weighted(vec![0.5, nan, 0.5]).into(), "NaN"),
        (Reed { beta: nan, hard: true }.into(), "NaN"),
        (Reed { beta: 1.5, hard: false }.into(), "1.5"),
        (LabelSmoothing { smoothing: 1.0, of: Uniform.into() }.into(), "smoothing is 1"),
        (LabelSmoothing { smoothing: nan, of: L2rw::default().into() }.into(), "NaN"),
        (
            LabelSmoothing { smoothing: 0.1, of: SModel::Diagonal(0.5).into() }.into(),
            "cannot be smoothed",
        ),
        (factors(&[1.0; 2], L2rw::default().into()), "2 factors"),
        (factors(&[1.0, nan, 1.0], L2rw::default().into()), "NaN"),
        (factors(&[1.0, -0.5, 1.0], Uniform.into()), "-0.5"),
        (factors(&[0.0; 3], Uniform.into()), "all classes are 0"),
        (factors(&[1.0; 3], factors(&[1.0; 3], Uniform.into())), "twice"),
        (factors(&[1.0; 3], MetaWeightNet::default().into()), "cannot be multiplied"),
        (SModel::Diagonal(1.0).into(), "1"),
        (SModel::Diagonal(nan).into(), "NaN"),
        (SModel::Confusion(vec![1.0; 4]).into(), "4 numbers"),
        (SModel::Confusion(vec![infinite; 9]).into(), "inf"),
    ];
    let network = trial::network(3);
    for (weighting, text) in wrong {
        let name = weighting.name();
        let options = TrainingOptions {
            batch: 4,
            clean_batch: 2,
            weighting,
            optimizer: Optimizer::PLAIN,
            tuning: Tuning::default(),
            input: Input::Buffers,
        };
        match training(&network, &options) {
            Err(PlanError::Weighting { method, reason }) => {
                assert!(method == name && reason.contains(text), "{name} {text}: {reason}");
            }
            other => panic!("{name} {text}: {other:?}"),
        }
    }
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
