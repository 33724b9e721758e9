//! Steps of several ranks, and of one device beside them.

use super::device::context;
use super::steps::run;
use super::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Padding, Shape};
use l2rw::train::{Contents, Examples, Schedule, Snapshot, StepReport, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, Weighting};

/// A training and a clean set of the same images of classes that differ in brightness, with some
/// labels of the former wrong.
pub struct Data {
    pub shape: Shape,
    pub train: (Vec<u8>, Vec<u32>),
    pub clean: (Vec<u8>, Vec<u32>),
}

impl Data {
    pub fn new(shape: Shape, (train, clean): (usize, usize), classes: u32) -> Self {
        let set = |count: usize, seed: u32, wrong: usize| {
            let labels: Vec<u32> = (0..count as u32).map(|i| i % classes).collect();
            let value = |at: usize| {
                let class = labels[at / shape.len()] as f32;
                let noise = values::uniform(seed, at as u32) as f32;
                (127.0 + 60.0 * noise + 3.0 * class * ((at % 7) as f32 - 3.0)).clamp(0.0, 255.0)
            };
            let images = (0..count * shape.len()).map(|at| value(at) as u8).collect();
            let given = |(i, label): (usize, &u32)| match i % 4 < wrong {
                true => (label + 1) % classes,
                false => *label,
            };
            (images, labels.iter().enumerate().map(given).collect())
        };
        Self { shape, train: set(train, 1, 1), clean: set(clean, 2, 0) }
    }

    pub fn set<'a>(&self, (images, labels): &'a (Vec<u8>, Vec<u32>)) -> Examples<'a> {
        Examples::new(images, labels, self.shape)
    }
}

/// A run as one rank sees it.
pub struct Seen {
    pub reports: Vec<StepReport>,
    pub parameters: Vec<u8>,
    pub checkpoint: Vec<u8>,
}

pub fn seen(trainer: &mut Trainer, steps: usize) -> Seen {
    let reports = run(trainer, steps);
    let file = |contents| trainer.model().to_safetensors(contents).unwrap();
    let (parameters, checkpoint) = (file(Contents::Parameters), file(Contents::Checkpoint));
    Seen { reports, parameters, checkpoint }
}

pub fn alone(network: &Network, data: &Data, options: &TrainerOptions) -> Trainer {
    let context = context(ShaderChecks::Trusted);
    let (train, clean) = (data.set(&data.train), data.set(&data.clean));
    Trainer::new(context, network, train, Some(clean), options).unwrap()
}

/// The floats of the tensors of a safetensors file whose names begin like this.
pub fn numbers(file: &[u8], begin: &str) -> Vec<f32> {
    let tensors = safetensors::SafeTensors::deserialize(file).unwrap();
    let mut named = tensors.tensors();
    named.retain(|(name, _)| name.starts_with(begin));
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let floats = named.iter().flat_map(|(_, view)| view.data().as_chunks::<4>().0);
    floats.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Holds numbers to those of one device: all within `share` of the largest.
pub fn assert_near(what: &str, found: &[f32], expected: &[f32], share: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = largest(expected);
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= share * largest, "{what}[{at}]: {a}, alone {b} of {largest}");
    }
}

/// How far off what a step computes for each example may be, as a share of the largest.
///
/// Ranks sum in another order. Where examples are computed apart, that touches the sums of a step
/// alone. BatchNorm's statistics are such sums as well: where their rounding puts an activation on
/// the other side of a ReLU's kink, a gradient makes a step that is no rounding.
pub fn tolerance(network: &Network) -> f32 {
    if network.mixes_examples() { 1e-2 } else { 1e-4 }
}

/// Whether a weight is 0 hangs on rounding where u is almost 0.
fn assert_same_signs(what: &str, found: &StepReport, expected: &StepReport, share: f32) {
    let near = share * largest(&expected.similarities);
    let differs = |i: &usize| (found.weights[*i] > 0.0) != (expected.weights[*i] > 0.0);
    for i in (0..expected.weights.len()).filter(differs) {
        assert!(expected.similarities[i].abs() <= near, "{what}: weight {i}");
    }
}

/// One step on one device.
pub struct Step {
    pub before: Snapshot,
    pub report: StepReport,
    pub parameters: Vec<u8>,
    pub checkpoint: Vec<u8>,
}

pub fn step_alone(trainer: &mut Trainer) -> Step {
    let before = trainer.snapshot().unwrap();
    let Seen { mut reports, parameters, checkpoint } = seen(trainer, 1);
    Step { before, report: reports.remove(0), parameters, checkpoint }
}

pub fn assert_same_step(what: &str, found: &Step, expected: &Step, share: f32) {
    let (reported, alone) = (&found.report, &expected.report);
    assert_eq!(reported.indices, alone.indices, "{what}");
    assert_eq!(reported.clean_indices, alone.clean_indices, "{what}");
    let near = |name: &str, of: fn(&StepReport) -> &[f32]| {
        assert_near(&format!("{what}: {name}"), of(reported), of(alone), share);
    };
    near("u", |report| &report.similarities);
    near("w", |report| &report.weights);
    near("loss", |report| &report.losses);
    assert_same_signs(what, reported, alone, share);
    let near = |name: &str, of: &dyn Fn(&Step) -> Vec<f32>| {
        assert_near(&format!("{what}: {name}"), &of(found), &of(expected), share);
    };
    near("parameters", &|step| numbers(&step.parameters, ""));
    // The gradient of the weighted loss, in SGD's velocity or AdamW's moments.
    near("gradients", &|step| numbers(&step.checkpoint, "optimizer/"));
}

pub fn options(weighting: impl Into<Weighting>) -> TrainerOptions {
    TrainerOptions {
        batch: 96,
        clean_batch: 96,
        weight_decay: 1e-3,
        schedule: Schedule::constant(0.02),
        ..TrainerOptions::cifar(weighting)
    }
}

/// Small enough for many runs.
pub const SMALL: Shape = Shape { height: 6, width: 5, channels: 3 };

pub fn small(norm: Option<Normalisation>) -> Network {
    let mut b = Network::builder("small", SMALL);
    let mut x = b.input();
    x = b.conv("conv", x, 8, 3, 1, Padding::Same, true);
    if let Some(norm) = norm {
        x = b.norm("norm", x, norm);
    }
    x = b.relu("relu", x);
    x = b.dropout("dropout", x, 0.3);
    b.linear("fc", x, 3);
    b.build().unwrap()
}

pub fn small_options() -> TrainerOptions {
    let schedule = Schedule::constant(1e-4);
    TrainerOptions { batch: 11, clean_batch: 7, schedule, ..options(L2rw::default()) }
}
