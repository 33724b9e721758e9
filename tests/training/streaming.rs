//! Data sets that do not lie on the device: the bits of those that do, and sources that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::device::context;
use crate::common::steps::run;
use crate::common::values;
use l2rw::data::Dataset;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Padding, Shape};
use l2rw::ops::batch::ValueType;
use l2rw::train::{
    Contents, ExampleSource, Examples, Placement, SourceError, TrainError, Trainer, TrainerOptions,
    Values, ValuesMut,
};
use l2rw::weighting::{Setup, by_name};

const SHAPE: Shape = Shape { height: 5, width: 7, channels: 3 };
const EXAMPLES: usize = 61;

fn network() -> Network {
    let mut b = Network::builder("streamed", SHAPE);
    let mut x = b.input();
    x = b.conv("conv", x, 8, 3, 2, Padding::Same, false);
    x = b.norm("norm", x, Normalisation::batch());
    x = b.relu("relu", x);
    b.linear("fc", x, 3);
    b.build().unwrap()
}

fn bytes() -> Vec<u8> {
    let values = (0..EXAMPLES * SHAPE.len()).map(|i| values::uniform(11, i as u32));
    values.map(|value| ((value + 1.0) * 127.9) as u8).collect()
}

/// Classes of different sizes.
fn labels() -> Vec<u32> {
    (0..EXAMPLES as u32).map(|i| if i % 6 == 0 { 2 } else { i % 2 }).collect()
}

fn options(method: &str) -> TrainerOptions {
    TrainerOptions {
        batch: 7,
        clean_batch: 5,
        ..TrainerOptions::cifar(by_name(method, &Setup::default()).unwrap())
    }
}

fn trainer(set: Examples<'_>, options: &TrainerOptions) -> Trainer {
    let context = context(ShaderChecks::Trusted);
    Trainer::new(context, &network(), set, Some(set), options).unwrap()
}

fn state(trainer: &Trainer) -> Vec<u8> {
    trainer.model().to_safetensors(Contents::Checkpoint).unwrap()
}

#[test]
fn streamed_steps_have_the_bits_of_those_on_the_device() {
    let (bytes, labels) = (bytes(), labels());
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 100.0).collect();
    // In passes, by classes, over a list that leaves examples out, with counts of classes.
    for method in ["l2rw", "resample", "under-sampling", "proportion"] {
        for values in [Values::from(&bytes), Values::from(&floats)] {
            let set = Examples::new(values, &labels, SHAPE);
            let options = options(method);
            let mut resident = trainer(set, &options);
            let placed = resident.placements().unwrap();
            assert_eq!((placed.train, placed.clean), (Placement::Device, Placement::Device));
            let expected = run(&mut resident, 50);
            // Room for nothing, and for the clean set alone.
            let (clean, size) = (labels.len() * SHAPE.len(), values.value_type().size());
            let uses_clean = options.weighting.uses_clean_set();
            let limits = [(0, true), ((clean * size) as u64, !uses_clean)];
            for (limit, clean_streamed) in limits {
                let limited = TrainerOptions { device_data_limit: Some(limit), ..options.clone() };
                let mut streamed = trainer(set, &limited);
                let placed = streamed.placements().unwrap();
                let train_streamed = limit == 0 || uses_clean;
                assert_eq!(placed.train == Placement::Streamed, train_streamed, "{method} {limit}");
                let clean_streamed = clean_streamed && uses_clean;
                assert_eq!(placed.clean == Placement::Streamed, clean_streamed, "{method} {limit}");
                let found = run(&mut streamed, 50);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(found, expected, "{method}, {limit} bytes");
                }
                assert!(state(&streamed) == state(&resident), "{method}, {limit} bytes");
                // Only the batches' values are on the device.
                assert!(!train_streamed || streamed.memory_bytes() < resident.memory_bytes());
            }
        }
    }
}

#[test]
fn a_streamed_run_goes_on_from_a_checkpoint_of_one_on_the_device_at_any_step() {
    let (bytes, labels) = (bytes(), labels());
    let set = Examples::new(&bytes, &labels, SHAPE);
    let options = options("l2rw");
    let mut resident = trainer(set, &options);
    run(&mut resident, 11);
    let checkpoint = state(&resident);
    let expected = run(&mut resident, 6);
    let mut streamed =
        trainer(set, &TrainerOptions { device_data_limit: Some(0), ..options.clone() });
    // Batches of other steps have been read ahead.
    run(&mut streamed, 3);
    for _ in 0..2 {
        streamed.model_mut().load_safetensors(&checkpoint, Contents::Checkpoint).unwrap();
        assert_eq!(run(&mut streamed, 6), expected);
    }
    assert!(state(&streamed) == state(&resident));
}

#[test]
fn what_mixes_pairs_of_examples_cannot_be_streamed() {
    let (bytes, labels) = (bytes(), labels());
    let set = Examples::new(&bytes, &labels, SHAPE);
    let options = TrainerOptions { device_data_limit: Some(0), ..options("smote") };
    let context = context(ShaderChecks::Trusted);
    let error = Trainer::new(context, &network(), set, None, &options).unwrap_err().to_string();
    assert!(error.contains("smote") && error.contains("on the device"), "{error}");
}

/// A source that is slow, and of which an example is broken until it is repaired.
struct Moody {
    bytes: Vec<u8>,
    labels: Vec<u32>,
    broken: Option<usize>,
    panics: bool,
    repaired: Arc<AtomicBool>,
}

impl ExampleSource for Moody {
    fn shape(&self) -> Shape {
        SHAPE
    }

    fn value_type(&self) -> ValueType {
        ValueType::Bytes
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError> {
        // So that batches overtake each other.
        std::thread::sleep(Duration::from_micros(index as u64 * 37 % 400));
        if self.broken == Some(index) && !self.repaired.load(Ordering::Relaxed) {
            assert!(!self.panics, "a reader's mistake");
            return Err("the disk is gone".into());
        }
        Examples::new(&self.bytes, &self.labels, SHAPE).read(index, out)
    }
}

fn streaming(source: Moody, options: &TrainerOptions) -> Trainer {
    let (bytes, labels) = (bytes(), labels());
    let clean = Examples::new(&bytes, &labels, SHAPE);
    let context = context(ShaderChecks::Trusted);
    Trainer::streaming(context, &network(), Arc::new(source), Some(clean), options).unwrap()
}

#[test]
fn a_source_that_is_slow_and_out_of_order_gives_the_same_run() {
    let (bytes, labels) = (bytes(), labels());
    let options = options("l2rw");
    let expected = run(&mut trainer(Examples::new(&bytes, &labels, SHAPE), &options), 20);
    let repaired = Arc::default();
    let source = Moody { bytes, labels, broken: None, panics: false, repaired };
    assert_eq!(run(&mut streaming(source, &options), 20), expected);
}

#[test]
fn an_example_that_cannot_be_read_ends_its_step_and_the_next_call_tries_again() {
    let (bytes, labels) = (bytes(), labels());
    let options = options("l2rw");
    let expected = run(&mut trainer(Examples::new(&bytes, &labels, SHAPE), &options), 12);
    // One that the sixth step draws.
    let broken = expected[5].indices[3] as usize;
    for panics in [false, true] {
        let repaired = Arc::new(AtomicBool::new(false));
        let (bytes, labels, told) = (bytes.clone(), labels.clone(), repaired.clone());
        let source = Moody { bytes, labels, broken: Some(broken), panics, repaired: told };
        let mut trainer = streaming(source, &options);
        let mut reports = Vec::new();
        let error = loop {
            match trainer.step() {
                Ok(report) => reports.extend(report),
                Err(error) => break error,
            }
        };
        let TrainError::Source { which: "training", example, reason } = &error else {
            panic!("{error}");
        };
        assert_eq!(*example, broken);
        assert!(reason.contains(if panics { "panicked" } else { "the disk is gone" }), "{reason}");
        let taken = trainer.steps();
        assert!(trainer.step().is_err(), "it is still broken");
        assert_eq!(trainer.steps(), taken, "no step has been taken");
        repaired.store(true, Ordering::Relaxed);
        while trainer.steps() < 12 {
            // Batches that were read ahead may have failed before the repair.
            match trainer.step() {
                Ok(report) => reports.extend(report),
                Err(TrainError::Source { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        while let Some(report) = trainer.take_report(true).unwrap() {
            reports.push(report);
        }
        assert_eq!(reports, expected);
    }
}

#[test]
fn a_set_is_scored_in_pieces_with_the_bits_of_an_evaluation() {
    let (bytes, labels) = (bytes(), labels());
    let set = Examples::new(&bytes, &labels, SHAPE);
    let mut trainer = trainer(set, &options("l2rw"));
    run(&mut trainer, 5);
    let expected = trainer.evaluation(set, 8).unwrap().scores().unwrap();
    let mut predictor = trainer.model().predictor();
    assert_eq!(predictor.score(&set, 8).unwrap(), expected);
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let shape = [SHAPE.height, SHAPE.width, SHAPE.channels];
    let owned = Dataset::new("owned", shape, names, bytes.clone(), labels.clone()).unwrap();
    assert_eq!(predictor.score(&owned, 8).unwrap(), expected);
    // Predictions after it have no labels, and an error leaves nothing behind.
    assert_eq!(predictor.predict(&bytes, 8).unwrap().scores, expected.scores);
    let (bytes, labels, repaired) = (bytes.clone(), labels.clone(), Arc::default());
    let source = Moody { bytes, labels, broken: Some(50), panics: false, repaired };
    let error = predictor.score(&source, 8).unwrap_err();
    assert!(matches!(error, TrainError::Source { example: 50, .. }), "{error}");
    assert_eq!(predictor.score(&set, 8).unwrap(), expected);
}
