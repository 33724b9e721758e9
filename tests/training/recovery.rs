//! Training that outlives its device, with the bits of one that did not have to.

use std::cell::RefCell;

use crate::common::steps::run;
use l2rw::gpu::{Context, GpuError};
use l2rw::nn::{Network, Shape, zoo};
use l2rw::train::{
    Contents, Examples, Recovering, StepReport, TrainError, Trainer, TrainerOptions,
};
use l2rw::weighting::{L2rw, MetaWeightNet, Weighting};

const N: usize = 24;
const STEPS: u64 = 40;
const EVERY: u64 = 7;

struct Data {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    network: Network,
    options: TrainerOptions,
}

impl Data {
    fn new(weighting: Weighting) -> Self {
        let shape = Shape::new(6, 6, 1);
        let pixels = (0..shape.len() * N).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..N as u32).map(|i| i % 3).collect();
        let network = zoo::mlp(shape, &[16], 3).unwrap();
        let options = TrainerOptions {
            batch: 8,
            clean_batch: 6,
            mean: vec![0.5],
            deviation: vec![0.5],
            ..TrainerOptions::cifar(weighting)
        };
        Self { pixels, labels, network, options }
    }

    fn trainer(&self, context: &Context) -> Result<Trainer, TrainError> {
        let (images, labels) = (self.pixels.as_slice(), self.labels.as_slice());
        let set = Examples::new(images, labels, self.network.input());
        Trainer::new(context, &self.network, set, Some(set), &self.options)
    }
}

/// What a run reports, and what it ends with.
struct Outcome {
    reports: Vec<StepReport>,
    checkpoint: Vec<u8>,
}

fn undisturbed(data: &Data) -> Outcome {
    let mut trainer = data.trainer(&Context::new(None).unwrap()).unwrap();
    let reports = run(&mut trainer, STEPS as usize);
    Outcome { reports, checkpoint: trainer.model().to_safetensors(Contents::Checkpoint).unwrap() }
}

/// The device is lost before these steps, and before reports and checkpoint are taken at the end.
fn disturbed(data: &Data, losses: &[u64]) -> Outcome {
    let current = RefCell::new(None);
    let destroy = || {
        let device: std::cell::Ref<'_, Option<Context>> = current.borrow();
        device.as_ref().unwrap().device.destroy();
    };
    let mut training = Recovering::new(EVERY, || {
        let context = current.borrow_mut().insert(Context::new(None)?).clone();
        data.trainer(&context)
    })
    .unwrap();
    let mut reports = Vec::new();
    for step in 0..STEPS {
        if losses.contains(&step) {
            destroy();
        }
        reports.extend(training.step().unwrap());
    }
    destroy();
    while let Some(report) = training.take_report(true).unwrap() {
        reports.push(report);
    }
    destroy();
    let checkpoint = training.with(|trainer| trainer.model().to_safetensors(Contents::Checkpoint));
    assert!(training.losses() > losses.len() as u64);
    Outcome { reports, checkpoint: checkpoint.unwrap() }
}

#[test]
fn a_run_that_loses_devices_ends_with_the_bits_of_one_that_does_not() {
    for weighting in [L2rw::default().into(), MetaWeightNet::default().into()] {
        let data = Data::new(weighting);
        let expected = undisturbed(&data);
        let steps: Vec<u64> = expected.reports.iter().map(|report| report.step).collect();
        assert_eq!(steps, (0..STEPS).collect::<Vec<_>>());
        // Before the first step, beside and on checkpoints, and soon after one another.
        for losses in [&[0, 8, 21][..], &[6, 7, 30]] {
            let found = disturbed(&data, losses);
            let what = format!("{:?}, lost at {losses:?}", data.options.weighting);
            for (found, expected) in found.reports.iter().zip(&expected.reports) {
                assert_eq!(found, expected, "{what}");
            }
            assert_eq!(found.reports.len(), expected.reports.len(), "{what}");
            assert!(found.checkpoint == expected.checkpoint, "{what}: the checkpoint");
        }
    }
}

#[test]
fn devices_that_are_always_lost_end_in_an_error_and_the_next_call_tries_again() {
    let data = Data::new(L2rw::default().into());
    let is_bad = RefCell::new(false);
    let mut training = Recovering::new(EVERY, || {
        let context = Context::new(None)?;
        let trainer = data.trainer(&context)?;
        if *is_bad.borrow() {
            context.device.destroy();
        }
        Ok(trainer)
    })
    .unwrap();
    training.step().unwrap();
    let device = training.trainer().model().context().device.clone();
    *is_bad.borrow_mut() = true;
    device.destroy();
    let mut failed = (0..20).filter_map(|_| training.step().err());
    let error = failed.next().expect("no device works");
    assert!(matches!(error, TrainError::Gpu(GpuError::DeviceLost { .. })), "{error}");
    *is_bad.borrow_mut() = false;
    let taken = training.with(|trainer| Ok(trainer.steps())).unwrap();
    assert!(taken >= 2, "steps that were asked for are taken: {taken}");
}
