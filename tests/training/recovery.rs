//! Training that outlives its device, with the bits of one that did not have to.

use std::cell::RefCell;

use crate::common::steps::{drain, run};
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
    /// Whether each step is given its batches.
    in_batches: bool,
}

impl Data {
    fn new(weighting: Weighting, in_batches: bool) -> Self {
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
        Self { pixels, labels, network, options, in_batches }
    }

    fn trainer(&self, context: &Context) -> Result<Trainer, TrainError> {
        if self.in_batches {
            return Trainer::for_batches(context, &self.network, &self.options);
        }
        let (images, labels) = (self.pixels.as_slice(), self.labels.as_slice());
        let set = Examples::new(images, labels, self.network.input());
        Trainer::new(context, &self.network, set, Some(set), &self.options)
    }

    /// The batch from example `first` on, of which the first does not count.
    fn batch(&self, first: u64, len: usize) -> (&[u8], Vec<u32>) {
        let first = first as usize % (N - len);
        let image = self.network.input().len();
        let mut labels = self.labels[first..first + len].to_vec();
        labels[0] = Examples::IGNORED;
        (&self.pixels[image * first..image * (first + len)], labels)
    }

    /// Hands the batches of a step to `take`.
    fn with_batches<T>(
        &self,
        step: u64,
        take: impl FnOnce(Examples<'_>, Option<Examples<'_>>) -> T,
    ) -> T {
        let shape = self.network.input();
        let (train, clean) =
            (self.batch(step, self.options.batch), self.batch(3 * step, self.options.clean_batch));
        let [train, clean] =
            [&train, &clean].map(|(pixels, labels)| Examples::new(*pixels, labels, shape));
        take(train, Some(clean))
    }
}

/// What a run reports, and what it ends with.
struct Outcome {
    reports: Vec<StepReport>,
    checkpoint: Vec<u8>,
}

fn undisturbed(data: &Data) -> Outcome {
    let mut trainer = data.trainer(&Context::new(None).unwrap()).unwrap();
    let reports = match data.in_batches {
        true => {
            let mut reports = Vec::new();
            for step in 0..STEPS {
                let report = data.with_batches(step, |train, clean| trainer.step_on(train, clean));
                reports.extend(report.unwrap());
            }
            drain(&mut trainer, &mut reports);
            reports
        }
        false => run(&mut trainer, STEPS as usize),
    };
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
        let report = match data.in_batches {
            true => data.with_batches(step, |train, clean| training.step_on(train, clean)),
            false => training.step(),
        };
        reports.extend(report.unwrap());
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
    let (l2rw, mwn) = (Weighting::from(L2rw::default()), MetaWeightNet::default().into());
    for (weighting, in_batches) in [(l2rw.clone(), false), (mwn, false), (l2rw, true)] {
        let data = Data::new(weighting, in_batches);
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
    let data = Data::new(L2rw::default().into(), false);
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

#[test]
fn a_call_that_is_refused_leaves_no_step_to_be_taken() {
    let data = Data::new(L2rw::default().into(), true);
    let make = || data.trainer(&Context::new(None)?);
    let mut training = Recovering::new(EVERY, make).unwrap();
    let error = training.step().unwrap_err().to_string();
    assert!(error.contains("step_on"), "{error}");
    let short = data.with_batches(0, |train, _| training.step_on(train, None).unwrap_err());
    assert!(short.to_string().contains("clean"), "{short}");
    data.with_batches(0, |train, clean| training.step_on(train, clean)).unwrap();
    let report = training.take_report(true).unwrap().unwrap();
    assert_eq!(
        (report.step, &report.ignored[..], &report.clean_ignored[..]),
        (0, &[0][..], &[0][..])
    );
    assert_eq!(training.trainer().steps(), 1);
}
