//! Hand-made cases: a batch that is the whole training set, and what it should weigh.

use super::trial::{Trial, difference, in_set_order};
use crate::ops::Optimizer;
use crate::weighting::{Mentor, Setup, by_name};

/// A label and an image of as many bytes as there are classes, which are class scores once scaled.
#[derive(Clone, Debug)]
pub struct Of(pub u32, pub Vec<u8>);

/// An example with a label and scores.
pub fn of(label: u32, scores: &[u8]) -> Of {
    Of(label, scores.to_vec())
}

/// A batch that is the whole training set, and what it should weigh.
#[derive(Clone, Debug)]
pub struct Case {
    pub method: &'static str,
    classes: usize,
    train: Vec<Of>,
    clean: Vec<Of>,
    scale: f64,
    steps: usize,
    rate: f32,
    setup: Setup,
    weights: Option<Vec<f64>>,
    losses: Option<Vec<f64>>,
    drawn: Option<Vec<usize>>,
    drawn_by_class: Option<Vec<usize>>,
    weights_of_slots: Option<Vec<f64>>,
    batch: usize,
    check: Option<fn(&[f64]) -> bool>,
}

impl Case {
    /// Scores are the bytes times ln 3, so that softmax gives fractions; one step at rate 0.
    pub fn new(method: &'static str, classes: usize, train: &[Of]) -> Self {
        Self {
            method,
            classes,
            train: train.to_vec(),
            clean: train.to_vec(),
            scale: 3.0_f64.ln(),
            steps: 1,
            rate: 0.0,
            setup: setup(classes),
            weights: None,
            losses: None,
            drawn: None,
            drawn_by_class: None,
            weights_of_slots: None,
            batch: train.len(),
            check: None,
        }
    }

    /// Scores are the bytes times this.
    pub fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// The clean batch.
    pub fn clean(self, clean: &[Of]) -> Self {
        Self { clean: clean.to_vec(), ..self }
    }

    /// The last of several steps counts.
    pub fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// What the method is told.
    pub fn setup(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    /// Expected weights, in the order of the training set.
    pub fn weights(self, weights: &[f64]) -> Self {
        Self { weights: Some(weights.to_vec()), ..self }
    }

    /// Expected losses, in the order of the training set.
    pub fn losses(self, losses: &[f64]) -> Self {
        Self { losses: Some(losses.to_vec()), ..self }
    }

    /// How often one pass should draw each example.
    pub fn drawn(self, drawn: &[usize]) -> Self {
        Self { drawn: Some(drawn.to_vec()), ..self }
    }

    /// How many examples one pass should draw of each class that occurs.
    pub fn drawn_by_class(self, drawn: &[usize]) -> Self {
        Self { drawn_by_class: Some(drawn.to_vec()), ..self }
    }

    /// Expected weights in the order of the batch, where it does not draw every example once.
    pub fn weights_of_slots(self, weights: &[f64]) -> Self {
        Self { weights_of_slots: Some(weights.to_vec()), ..self }
    }

    /// Size of the batch, where it is not that of the training set.
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// What must hold for the weights, where they are random.
    pub fn check(self, check: fn(&[f64]) -> bool) -> Self {
        Self { check: Some(check), ..self }
    }

    pub fn says_something(&self) -> bool {
        let drawn = self.drawn.is_some() || self.drawn_by_class.is_some();
        drawn || self.weights.is_some() || self.losses.is_some() || self.check.is_some()
    }
}

/// Everything that a method may ask for.
pub fn setup(classes: usize) -> Setup {
    let correct = (1..=classes).map(|class| class as f64 / classes as f64);
    let confusion = (0..classes * classes).map(|i| (i * 7 % 5) as f64 + 1.0);
    Setup {
        steps: 20,
        label_correct: Some(correct.collect()),
        confusion: Some(confusion.collect()),
        mentor: Some(Mentor::untrained(7)),
        ..Setup::default()
    }
}

/// What the device does otherwise than the case and the twin say.
pub fn failures_of_case(case: &Case) -> Vec<String> {
    let weighting = by_name(case.method, &case.setup).unwrap();
    let sets = (case.train.as_slice(), case.clean.as_slice());
    let mut trial =
        Trial::new(weighting, case.classes, sets, case.batch, case.rate, Optimizer::PLAIN);
    trial.set_diagonal(case.scale);
    let mut failures = Vec::new();
    let mut last = None;
    for _ in 0..case.steps {
        let (report, _, _, differences) = trial.step();
        failures.extend(differences);
        last = Some(report);
    }
    let report = last.unwrap();
    if let Some(expected) = &case.weights {
        let found = in_set_order(&report, &report.weights);
        failures.extend(difference(&found, expected).map(|d| format!("closed form: weights{d}")));
    }
    if let Some(expected) = &case.losses {
        let found = in_set_order(&report, &report.losses);
        failures.extend(difference(&found, expected).map(|d| format!("closed form: losses{d}")));
    }
    if let Some(check) = case.check {
        let found: Vec<f64> = report.weights.iter().map(|w| f64::from(*w)).collect();
        if !check(&found) {
            failures.push(format!("the weights are {found:?}"));
        }
    }
    if let Some(expected) = &case.drawn {
        let (order, _) = trial.sampling.tables(case.train.len());
        let count = |i: usize| order.iter().filter(|index| **index as usize == i).count();
        let found: Vec<usize> = (0..case.train.len()).map(count).collect();
        if found != *expected {
            failures.push(format!("a pass draws {found:?}, expected {expected:?}"));
        }
    }
    if let Some(expected) = &case.weights_of_slots {
        let found: Vec<f64> = report.weights.iter().map(|w| f64::from(*w)).collect();
        failures.extend(difference(&found, expected).map(|d| format!("closed form: weights{d}")));
    }
    if let Some(expected) = &case.drawn_by_class {
        let (order, _) = trial.sampling.tables(case.train.len());
        let of = |class: u32| {
            order.iter().filter(|index| case.train[**index as usize].0 == class).count()
        };
        let found: Vec<usize> = (0..case.classes as u32).map(of).filter(|n| *n > 0).collect();
        if found != *expected {
            failures.push(format!("a pass draws {found:?} of the classes, expected {expected:?}"));
        }
    }
    failures.iter().map(|failure| format!("{case:?}\n    {failure}")).collect()
}
