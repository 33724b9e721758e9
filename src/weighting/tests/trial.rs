//! A trainer beside the twin of its method.

use std::sync::OnceLock;

use super::case::Of;
use crate::gpu::{Context, ShaderChecks};
use crate::nn::{Network, Shape, zoo};
use crate::ops::Optimizer;
use crate::plan::{DatasetFacts, Sampling, Weighting};
use crate::reference::step::{Memory, MethodTwin, TwinInput, TwinOutput};
use crate::reference::{rng, sample};
use crate::train::{Examples, Model, Schedule, StepReport, Trainer, TrainerOptions};

/// The device for these checks, opened once: software adapters leak memory with every new one.
pub fn context(checks: ShaderChecks) -> &'static Context {
    static OPENED: [OnceLock<Context>; 2] = [const { OnceLock::new() }; 2];
    OPENED[usize::from(checks == ShaderChecks::Checked)].get_or_init(|| {
        let opened = pollster::block_on(Context::new_async(None, checks));
        opened.unwrap_or_else(|error| panic!("{error}"))
    })
}

/// A trainer of a linear classifier, and the twin of its method.
pub struct Trial {
    trainer: Trainer,
    twin: MethodTwin,
    classes: usize,
    train: Vec<Of>,
    clean: Vec<Of>,
    pub sampling: Sampling,
    seed: u32,
    cursor: (u32, u32),
    memory: Memory,
    /// What rounding may make of a value, as a share of the largest.
    rounding: f64,
}

/// A linear classifier of images of as many numbers as there are classes.
pub fn network(classes: usize) -> Network {
    zoo::mlp(Shape::new(1, 1, classes), &[], classes).unwrap()
}

/// Where in the flat vector the classifier's weights lie, and its biases.
fn places(model: &Model) -> (usize, usize) {
    let parameters = &model.network().parameters;
    (parameters[0].offset, parameters[1].offset)
}

/// Makes the classifier's weights those of each feature and class; no bias.
pub fn set_weights(model: &Model, of: impl Fn(usize, usize) -> f64) {
    let classes = model.network().classes();
    let (weight, bias) = places(model);
    let mut values = vec![0.0f32; bias + classes];
    for (at, value) in values[weight..weight + classes * classes].iter_mut().enumerate() {
        *value = of(at / classes, at % classes) as f32;
    }
    model.context().write(model.parameters().unwrap(), bytemuck::cast_slice(&values));
}

/// The classifier's weights `[features, classes]`, then its biases.
pub fn parameters(model: &Model) -> Vec<f64> {
    let (weight, bias) = places(model);
    let classes = model.network().classes();
    let words = pollster::block_on(model.read_vector("parameters")).unwrap();
    let at = |first: usize, len: usize| words[first..first + len].iter();
    let float = |word: &u32| f64::from(f32::from_bits(*word));
    at(weight, classes * classes).chain(at(bias, classes)).map(float).collect()
}

fn bytes(examples: &[Of]) -> (Vec<u8>, Vec<u32>) {
    let images = examples.iter().flat_map(|Of(_, image)| image.clone()).collect();
    (images, examples.iter().map(|Of(label, _)| *label).collect())
}

fn floats(image: &[u8]) -> Vec<f64> {
    image.iter().map(|byte| f64::from(*byte)).collect()
}

impl Trial {
    pub fn new(
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
        let set = Examples::new(&images, &labels, shape);
        let clean_set = Examples::new(&clean_images, &clean_labels, shape);
        let facts = DatasetFacts { labels: &labels, values: (&images).into(), classes, seed };
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
        let context = context(ShaderChecks::Checked);
        let trainer = Trainer::new(context, &network, set, Some(clean_set), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (train, clean) = (train.to_vec(), clean.to_vec());
        let (cursor, memory) = ((0, 0), Memory::new((classes + 1) * classes));
        let rounding = rounding(name);
        Self { trainer, twin, classes, train, clean, sampling, seed, cursor, memory, rounding }
    }

    /// The network that is trained.
    pub fn model(&self) -> &Model {
        self.trainer.model()
    }

    /// Weights `scale` on the diagonal, no bias.
    pub fn set_diagonal(&mut self, scale: f64) {
        set_weights(self.model(), |feature, class| if feature == class { scale } else { 0.0 });
    }

    /// One step on the device and the same by the twins: the report and what differs.
    pub fn step(&mut self) -> (StepReport, TwinInput, TwinOutput, Vec<String>) {
        let before = parameters(self.model());
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
        let seen = TwinInput {
            network: None,
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
            if let Some(difference) = difference_beyond(self.rounding, found, expected) {
                differences.push(format!("step {number}: {what}{difference}"));
            }
        };
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|v| f64::from(*v)).collect() };
        compare("weights", &wide(&report.weights), &told.weights);
        compare("losses", &wide(&report.losses), &told.losses);
        let gradient = seen.gradient(&told.residual, &told.weights);
        let mut stepped = before;
        self.memory.descend(&seen, &mut stepped, &gradient);
        compare("parameters", &parameters(self.model()), &stepped);
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

/// What rounding may make of a value in steps of this method, as a share of the largest.
pub fn rounding(method: &str) -> f64 {
    match method {
        // Normal numbers are made with a cosine, which Vulkan lets be off by 2⁻¹¹.
        "random" => 2e-3,
        _ => ROUNDING,
    }
}

const ROUNDING: f64 = 5e-5;

/// Where two vectors differ by more than rounding.
pub fn difference(found: &[f64], expected: &[f64]) -> Option<String> {
    difference_beyond(ROUNDING, found, expected)
}

/// The same for another share of the largest value.
pub fn difference_beyond(rounding: f64, found: &[f64], expected: &[f64]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!(": {} elements, expected {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(1e-6f64, |a, b| a.max(b.abs()));
    let differs = |(f, e): (&f64, &f64)| !f.is_finite() || (f - e).abs() > rounding * largest;
    let at = found.iter().zip(expected).position(differs)?;
    Some(format!("[{at}] is {}, expected {}", found[at], expected[at]))
}

pub fn in_set_order(report: &StepReport, values: &[f32]) -> Vec<f64> {
    let mut ordered = vec![f64::NAN; values.len()];
    for (index, value) in report.indices.iter().zip(values) {
        ordered[*index as usize] = f64::from(*value);
    }
    ordered
}
