//! Another engine trains, and gets just the weights: its layers' inputs and output gradients of a
//! training and a clean batch go in as buffers, the weights of the training examples come out as
//! one. The engine here is five shaders of its own; no network of the crate is involved.
//!
//! cargo run --release --example own_engine

mod engine;

use anyhow::Result;
use l2rw::gpu::{Context, read_back};
use l2rw::layer_weights::{LayerBatch, LayerShape, LayerTensors, LayerWeights};
use l2rw::train::WeightLedger;

use engine::{Activations, CLASSES, Engine, FEATURES, HIDDEN};

const TRAIN: usize = 600;
const CLEAN: usize = 30;
const STEPS: usize = 300;

fn main() -> Result<()> {
    sigpipe::reset();
    let context = Context::new(None)?;
    let (points, truth) = points(TRAIN + CLEAN);
    let (train_points, clean_points) = points.split_at(TRAIN * FEATURES);
    let (train_truth, clean_labels) = truth.split_at(TRAIN);
    // Most labels 0 become 1, nearly half of the 2s become 0: plain training learns that.
    let labels: Vec<u32> = train_truth.iter().zip(0..).map(|(&label, i)| noisy(label, i)).collect();
    for learned in [false, true] {
        let engine = Engine::new(&context);
        let train = engine.batch(&context, train_points, &labels);
        let clean = engine.batch(&context, clean_points, clean_labels);
        let layers = layers(&train, &clean);
        let reweighting = LayerWeights::new(&context, TRAIN, CLEAN, &layers)?;
        let uniform = engine.upload(&context, &[1.0 / TRAIN as f32; TRAIN]);
        let weights = if learned { reweighting.weights() } else { &uniform };
        let mut ledger = WeightLedger::new(TRAIN);
        let indices: Vec<u32> = (0..TRAIN as u32).collect();
        for step in 0..STEPS {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            engine.forward_backward(&context, &mut encoder, &train, 1.0);
            if learned {
                engine.forward_backward(&context, &mut encoder, &clean, 1.0 / CLEAN as f32);
                reweighting.encode(&mut encoder.begin_compute_pass(&Default::default()));
            }
            engine.update(&context, &mut encoder, &train, weights);
            context.queue.submit([encoder.finish()]);
            if learned && step % 10 == 0 {
                let words = read_back(&context, weights, 4 * TRAIN as u64)?;
                let weights: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
                ledger.record(&indices, &weights)?;
            }
        }
        let right = engine.predictions(&context, &train)?;
        let right = right.iter().zip(train_truth).filter(|(found, truth)| found == truth).count();
        let how = if learned { "learned weights" } else { "equal weights" };
        println!(
            "{how}: {:.1} % of the training points right",
            100.0 * right as f64 / TRAIN as f64
        );
        if learned {
            let mean = |wrong: bool| {
                let of: Vec<f64> = (0..TRAIN)
                    .filter(|&i| (labels[i] != train_truth[i]) == wrong)
                    .filter_map(|i| ledger.mean(i))
                    .collect();
                of.iter().sum::<f64>() / of.len() as f64
            };
            println!(
                "mean weight of right labels {:.2}, of wrong ones {:.2}",
                mean(false),
                mean(true)
            );
        }
    }
    Ok(())
}

/// What the crate is told of the engine's two layers. The ReLU between them needs no entry.
fn layers<'a>(train: &'a Activations, clean: &'a Activations) -> [LayerTensors<'a>; 4] {
    let first = |batch: &'a Activations| LayerBatch {
        input: Some(batch.points.slice(..)),
        output_gradient: batch.hidden_gradient.slice(..),
    };
    let second = |batch: &'a Activations| LayerBatch {
        input: Some(batch.hidden.slice(..)),
        output_gradient: batch.score_gradient.slice(..),
    };
    let first = LayerTensors {
        name: "first weights",
        layer: LayerShape::Linear { inputs: FEATURES, outputs: HIDDEN },
        train: first(train),
        clean: first(clean),
    };
    let second = LayerTensors {
        name: "second weights",
        layer: LayerShape::Linear { inputs: HIDDEN, outputs: CLASSES },
        train: second(train),
        clean: second(clean),
    };
    [first.bias("first bias"), first, second.bias("second bias"), second]
}

/// Three blobs in the plane, by a hash.
fn points(count: usize) -> (Vec<f32>, Vec<u32>) {
    let mut points = Vec::new();
    let mut labels = Vec::new();
    for i in 0..count as u32 {
        let label = i % CLASSES as u32;
        let angle = label as f32 * std::f32::consts::TAU / CLASSES as f32;
        for (k, center) in [(0, angle.cos()), (1, angle.sin())] {
            let sum: f32 = (0..4).map(|part| random(i, 4 * k + part)).sum();
            points.push(center + 0.8 * (sum - 2.0));
        }
        labels.push(label);
    }
    (points, labels)
}

fn noisy(label: u32, i: u32) -> u32 {
    let flip = [0.65, 0.1, 0.45][label as usize];
    if random(i, 100) < flip { (label + 1) % CLASSES as u32 } else { label }
}

/// In [0, 1).
fn random(i: u32, k: u32) -> f32 {
    let hash = |x: u32| {
        let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        (word >> 22) ^ word
    };
    (hash(i ^ hash(k)) >> 8) as f32 / 16_777_216.0
}
