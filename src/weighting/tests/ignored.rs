//! Examples of the caller's whose label is none of the classes: they do not count, in any method.

use wgpu::util::DeviceExt;

use super::case::setup;
use super::trial::{context, difference_beyond, network, parameters, rounding, set_weights};
use crate::gpu::{Context, ShaderChecks, read_back};
use crate::ops::Optimizer;
use crate::plan::{DatasetFacts, PlanError};
use crate::reference::step::{Memory, TwinInput, TwinOutput};
use crate::train::{BatchBuffers, Images, Iteration, Schedule, TrainError, TrainerOptions};
use crate::weighting::{Weighting, by_name, variants};

const CLASSES: usize = 4;
const SEED: u32 = 5;
const RATE: f32 = 0.1;

/// Two batches, each with labels that there are not.
fn seen(number: u32) -> TwinInput {
    let value = |i: u32| f64::from((i * 7 + number * 3) % 11) / 4.0 - 1.0;
    TwinInput {
        number,
        seed: SEED,
        learning_rate: RATE.into(),
        classes: CLASSES,
        inputs: (0..7 * CLASSES as u32).map(value).collect(),
        labels: vec![0, 4, 1, u32::MAX, 2, 3, 3],
        indices: (0..7).collect(),
        clean_inputs: (5..5 + 4 * CLASSES as u32).map(value).collect(),
        clean_labels: vec![1, u32::MAX, 2, 5],
        ..TwinInput::default()
    }
}

/// Images and labels in buffers of the application.
struct Buffers([wgpu::Buffer; 2]);

impl Buffers {
    fn new(context: &Context, images: &[f64], labels: &[u32]) -> Self {
        let buffer = |contents: &[u8]| {
            let usage = wgpu::BufferUsages::STORAGE;
            let descriptor = wgpu::util::BufferInitDescriptor { label: None, contents, usage };
            context.device.create_buffer_init(&descriptor)
        };
        let images: Vec<f32> = images.iter().map(|value| *value as f32).collect();
        Self([buffer(bytemuck::cast_slice(&images)), buffer(bytemuck::cast_slice(labels))])
    }

    fn batch(&self) -> BatchBuffers<'_> {
        let Self([images, labels]) = self;
        BatchBuffers { images: Images::Floats(images.slice(..)), labels: labels.slice(..) }
    }
}

/// An iteration on such batches; `None` for methods that need a training set.
fn iteration(context: &Context, weighting: Weighting) -> Option<Iteration> {
    let options = TrainerOptions {
        batch: seen(0).n(),
        clean_batch: seen(0).clean_labels.len(),
        schedule: Schedule::constant(RATE),
        optimizer: Optimizer::PLAIN,
        weight_decay: 0.0,
        seed: SEED,
        ..TrainerOptions::cifar(weighting)
    };
    let options =
        TrainerOptions { mean: vec![0.0; CLASSES], deviation: vec![1.0; CLASSES], ..options };
    match Iteration::new(context, &network(CLASSES), &options) {
        Ok(iteration) => Some(iteration),
        Err(TrainError::Plan(PlanError::Weighting { .. })) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Weights, losses and similarities of a step on the device.
fn step(iteration: &mut Iteration, seen: &TwinInput) -> [Vec<f64>; 3] {
    let context = iteration.model().context().clone();
    let train = Buffers::new(&context, &seen.inputs, &seen.labels);
    let clean = Buffers::new(&context, &seen.clean_inputs, &seen.clean_labels);
    let mut encoder = context.device.create_command_encoder(&Default::default());
    iteration.encode(&mut encoder, train.batch(), Some(clean.batch())).unwrap();
    context.queue.submit([encoder.finish()]);
    let floats = |buffer: &wgpu::Buffer| {
        let words = read_back(&context, buffer, 4 * seen.n() as u64).unwrap();
        words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect()
    };
    let outputs = iteration.outputs();
    let similarities = outputs.similarities.map_or(Vec::new(), floats);
    [floats(outputs.weights), floats(outputs.losses), similarities]
}

/// What a method does otherwise than its twin, and whether what does not count does not.
fn failures_of(name: &str, weighting: Weighting, mut iteration: Iteration) -> Vec<String> {
    let facts = DatasetFacts { classes: CLASSES, seed: SEED, ..DatasetFacts::default() };
    let mut twin = weighting.twin(&facts).unwrap_or_else(|| panic!("{name} has no twin"));
    let mut memory = Memory::new((CLASSES + 1) * CLASSES);
    set_weights(iteration.model(), |feature, class| if feature == class { 0.7 } else { -0.1 });
    let mut failures = Vec::new();
    for number in 0..4 {
        let mut seen = seen(number);
        seen.parameters = parameters(iteration.model());
        let [weights, losses, similarities] = step(&mut iteration, &seen);
        for i in (0..seen.n()).filter(|i| !seen.is_labelled(*i)) {
            let u = similarities.get(i).copied().unwrap_or(0.0);
            if [weights[i], losses[i], u] != [0.0; 3] {
                failures.push(format!("step {number}: example {i} counts: {weights:?} {losses:?}"));
            }
        }
        let told: TwinOutput = twin(&seen);
        let gradient = seen.gradient(&told.residual, &told.weights);
        let mut stepped = seen.parameters.clone();
        memory.descend(&seen, &mut stepped, &gradient);
        let found = parameters(iteration.model());
        for (what, found, expected) in [
            ("weights", &weights, &told.weights),
            ("losses", &losses, &told.losses),
            ("parameters", &found, &stepped),
        ] {
            let apart = difference_beyond(rounding(weighting.name()), found, expected);
            failures.extend(apart.map(|d| format!("step {number}: {what}{d}")));
        }
    }
    failures.iter().map(|failure| format!("{name}: {failure}")).collect()
}

#[test]
fn an_example_whose_label_is_none_of_the_classes_does_not_count_in_any_method() {
    let (mut failures, mut compared) = (Vec::new(), 0);
    for variant in variants() {
        for checks in [ShaderChecks::Trusted, ShaderChecks::Checked] {
            let weighting = by_name(variant.name, &setup(CLASSES)).unwrap();
            let Some(iteration) = iteration(context(checks), weighting.clone()) else { continue };
            let name = format!("{} {checks:?}", variant.name);
            failures.extend(failures_of(&name, weighting, iteration));
            compared += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared > 30, "{compared} methods take the application's batches");
}
