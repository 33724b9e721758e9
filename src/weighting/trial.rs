//! Every method on the device against its twin and against hand-made cases: linear classifiers of
//! tiny images, trained by the trainer.

use super::sampling::Sampling;
use super::twin::{Memory, Seen, Told, Twin};
use super::{Setup, Weighting, by_name, cases, variants};
use crate::gpu::ShaderChecks;
use crate::nn::{Network, Shape, zoo};
use crate::plan::{Facts, Optimizer};
use crate::reference::{rng, sample};
use crate::train::{ImageSet, Schedule, StepReport, Trainer, TrainerOptions};

#[path = "../../tests/common/device.rs"]
mod device;

/// A label and an image of as many bytes as there are classes, which are class scores once scaled.
#[derive(Clone, Debug)]
pub struct Of(u32, Vec<u8>);

/// An example with a label and scores.
pub fn of(label: u32, scores: &[u8]) -> Of {
    Of(label, scores.to_vec())
}

/// A batch that is the whole training set, and what it should weigh.
#[derive(Clone, Debug)]
pub struct Case {
    method: &'static str,
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

    fn says_something(&self) -> bool {
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
        mentor: Some(super::Mentor::untrained(7)),
        ..Setup::default()
    }
}

/// A trainer of a linear classifier, and the twin of its method.
struct Trial {
    trainer: Trainer,
    twin: Twin,
    classes: usize,
    train: Vec<Of>,
    clean: Vec<Of>,
    sampling: Sampling,
    seed: u32,
    cursor: (u32, u32),
    memory: Memory,
}

fn network(classes: usize) -> Network {
    zoo::mlp(Shape::new(1, 1, classes), &[], classes).unwrap()
}

fn bytes(examples: &[Of]) -> (Vec<u8>, Vec<u32>) {
    let images = examples.iter().flat_map(|Of(_, image)| image.clone()).collect();
    (images, examples.iter().map(|Of(label, _)| *label).collect())
}

fn floats(image: &[u8]) -> Vec<f64> {
    image.iter().map(|byte| f64::from(*byte)).collect()
}

impl Trial {
    fn new(
        weighting: Weighting,
        classes: usize,
        (train, clean): (&[Of], &[Of]),
        batch: usize,
        rate: f32,
        optimizer: Optimizer,
    ) -> Self {
        let seed = 5;
        let network = network(classes);
        let (images, labels) = bytes(train);
        let (clean_images, clean_labels) = bytes(clean);
        let shape = network.input();
        let set = ImageSet { images: &images, labels: &labels, shape };
        let clean_set = ImageSet { images: &clean_images, labels: &clean_labels, shape };
        let facts = Facts { labels: &labels, images: &images, classes, seed };
        let name = weighting.name();
        let twin = weighting.twin(&facts).unwrap_or_else(|| panic!("{name} has no twin"));
        let sampling = weighting.sampling(&facts).unwrap();
        let options = TrainerOptions {
            batch,
            clean_batch: clean.len(),
            schedule: Schedule::constant(rate),
            optimizer,
            weight_decay: 0.0,
            crop_pad: 0,
            flip: false,
            mean: vec![0.0; classes],
            deviation: vec![1.0 / 255.0; classes],
            seed,
            ..TrainerOptions::cifar(weighting)
        };
        let context = device::context(ShaderChecks::Checked);
        let trainer = Trainer::new(context, &network, set, Some(clean_set), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (train, clean) = (train.to_vec(), clean.to_vec());
        let (cursor, memory) = ((0, 0), Memory::new((classes + 1) * classes));
        Self { trainer, twin, classes, train, clean, sampling, seed, cursor, memory }
    }

    /// Weights `scale` on the diagonal, no bias.
    fn set_diagonal(&mut self, scale: f64) {
        let classes = self.classes;
        let (weight, bias) = self.places();
        let mut values = vec![0.0f32; bias + classes];
        for class in 0..classes {
            values[weight + class * classes + class] = scale as f32;
        }
        let buffer = self.trainer.model().parameters().unwrap();
        self.trainer.model().context().queue.write_buffer(buffer, 0, bytemuck::cast_slice(&values));
    }

    fn places(&self) -> (usize, usize) {
        let parameters = &self.trainer.network().parameters;
        (parameters[0].offset, parameters[1].offset)
    }

    /// Weights `[features, classes]`, then biases.
    fn parameters(&self) -> Vec<f64> {
        let (weight, bias) = self.places();
        let words = pollster::block_on(self.trainer.model().read_vector("parameters")).unwrap();
        let float = |word: &u32| f64::from(f32::from_bits(*word));
        let (classes, at) =
            (self.classes, |first: usize, len: usize| words[first..first + len].iter());
        at(weight, classes * classes).chain(at(bias, classes)).map(float).collect()
    }

    /// One step on the device and the same by the twins: the report and what differs.
    fn step(&mut self) -> (StepReport, Seen, Told, Vec<String>) {
        let before = self.parameters();
        let number = self.trainer.steps() as u32;
        let mut report = self.trainer.step().unwrap();
        while let Some(next) = self.trainer.take_report(true).unwrap() {
            report = Some(next);
        }
        let report = report.unwrap();
        let (epoch, position) = self.cursor;
        let n = report.indices.len() as u32;
        let (indices, inputs) = self.drawn(number, epoch, position, n);
        let labels: Vec<u32> = indices.iter().map(|i| self.train[*i as usize].0).collect();
        let clean = |i: &u32| &self.clean[*i as usize];
        let seen = Seen {
            number,
            seed: self.seed,
            position,
            learning_rate: f64::from(self.trainer.options().schedule.initial),
            optimizer: self.trainer.options().optimizer,
            classes: self.classes,
            inputs,
            labels,
            indices: indices.clone(),
            clean_inputs: report.clean_indices.iter().flat_map(|i| floats(&clean(i).1)).collect(),
            clean_labels: report.clean_indices.iter().map(|i| clean(i).0).collect(),
            parameters: before.clone(),
        };
        self.advance(n);
        let told = (self.twin)(&seen);
        let mut differences = Vec::new();
        if indices != report.indices {
            differences.push(format!("drew {:?}, expected {indices:?}", report.indices));
        }
        let mut compare = |what: &str, found: &[f64], expected: &[f64]| {
            if let Some(difference) = difference(found, expected) {
                differences.push(format!("step {number}: {what}{difference}"));
            }
        };
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|v| f64::from(*v)).collect() };
        compare("weights", &wide(&report.weights), &told.weights);
        compare("losses", &wide(&report.losses), &told.losses);
        let gradient = seen.gradient(&seen.inputs, &told.residual, &told.weights);
        let mut stepped = before;
        self.memory.descend(&seen, &mut stepped, &gradient);
        compare("parameters", &self.parameters(), &stepped);
        (report, seen, told, differences)
    }

    /// Examples and images of a batch.
    fn drawn(&self, number: u32, epoch: u32, position: u32, n: u32) -> (Vec<u32>, Vec<f64>) {
        let (order, starts) = self.sampling.tables(self.train.len());
        let (mut indices, mut inputs) = (Vec::new(), Vec::new());
        for slot in 0..n {
            let place = match &self.sampling {
                Sampling::Passes => {
                    let len = self.train.len() as u32;
                    rng::permuted_index(self.seed, epoch, position + slot, len) as usize
                }
                Sampling::Balanced(_) => sample::class_place(self.seed, number, slot, &starts),
                _ => sample::pass_place(self.seed, epoch, position, slot, order.len()),
            };
            let index = order[place] as usize;
            let image = floats(&self.train[index].1);
            indices.push(index as u32);
            match self.sampling.neighbours() {
                Some((count, table)) if place >= self.train.len() => {
                    let other = sample::partner(self.seed, number, slot, index, table, count);
                    let other = floats(&self.train[other].1);
                    inputs.extend(sample::mix(self.seed, number, slot, &image, &other));
                }
                _ => inputs.extend(image),
            }
        }
        (indices, inputs)
    }

    fn advance(&mut self, n: u32) {
        let len = self.sampling.pass_len(self.train.len()).unwrap_or(self.train.len()) as u32;
        self.cursor.1 += n;
        if self.cursor.1 + n > len {
            self.cursor = (self.cursor.0 + 1, 0);
        }
    }
}

/// Where two vectors differ by more than rounding.
fn difference(found: &[f64], expected: &[f64]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!(": {} elements, expected {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(1e-6f64, |a, b| a.max(b.abs()));
    let differs = |(f, e): (&f64, &f64)| !f.is_finite() || (f - e).abs() > 5e-5 * largest;
    let at = found.iter().zip(expected).position(differs)?;
    Some(format!("[{at}] is {}, expected {}", found[at], expected[at]))
}

fn in_set_order(report: &StepReport, values: &[f32]) -> Vec<f64> {
    let mut ordered = vec![f64::NAN; values.len()];
    for (index, value) in report.indices.iter().zip(values) {
        ordered[*index as usize] = f64::from(*value);
    }
    ordered
}

fn failures_of_case(case: &Case) -> Vec<String> {
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
pub fn seen_for_differences() -> Seen {
    let classes = 3;
    let mut parameters = vec![0.0; (classes + 1) * classes];
    for class in 0..classes {
        parameters[class * classes + class] = 1.0;
    }
    Seen {
        classes,
        inputs: vec![0.3, -0.9, 0.5, 1.1, 0.2, -0.4, -0.6, 0.8, 0.7, 0.0, 0.1, 1.9],
        labels: vec![0, 2, 1, 1],
        indices: vec![0, 1, 2, 3],
        parameters,
        learning_rate: 0.1,
        ..Seen::default()
    }
}

/// Holds the residuals of a twin to central differences of its losses.
pub fn assert_residual(tell: impl Fn(&Seen) -> Told) {
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
