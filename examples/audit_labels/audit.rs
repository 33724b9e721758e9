//! Training with learned weights, and what it tells of every example.

use std::time::Instant;

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::report::{StepProgress, StepView};
use l2rw::train::{Beliefs, Schedule, Trainer, TrainerOptions, WeightLedger};
use l2rw::weighting::Uniform;

use crate::data::Audited;
use crate::options::Options;

/// What a run tells.
pub struct Judged {
    pub ledger: WeightLedger,
    /// Of the audited examples.
    pub beliefs: Beliefs,
    pub model: String,
    /// Of training and evaluation.
    pub seconds: f64,
    /// The same in forward passes of one example.
    pub passes: u64,
}

/// Evaluations of the second half of a run whose beliefs are averaged.
const SNAPSHOTS: u64 = 5;

/// The network that the options ask for.
pub fn network(options: &Options, set: &Dataset) -> Result<Network> {
    let default = if set.channels == 1 { "lenet5" } else { "resnet8-w8" };
    let name = options.model.as_deref().unwrap_or(default);
    let shape = Shape::new(set.height, set.width, set.channels);
    Ok(zoo::by_name(name, shape, set.classes(), Normalisation::batch())?)
}

/// How it is trained for `steps` steps.
pub fn trainer_options(options: &Options, audited: &Audited, steps: u64) -> TrainerOptions {
    let channels = audited.set.channels;
    let schedule = Schedule::tenths(options.learning_rate, [steps * 4 / 5]);
    TrainerOptions {
        batch: options.batch.min(audited.set.len()),
        clean_batch: options.clean_batch.unwrap_or(20).min(audited.clean.len()),
        schedule,
        // Digits are not mirrored.
        flip: channels == 3,
        crop_pad: 2,
        seed: options.seed,
        ..TrainerOptions::plain(channels)
    }
}

/// Trains and keeps account.
pub fn judge(options: &Options, audited: &Audited, context: &Context) -> Result<Judged> {
    let steps = options.steps;
    let network = network(options, &audited.set)?;
    let trainer_options = trainer_options(options, audited, steps);
    let (set, clean) = ((&audited.set).into(), (&audited.clean).into());
    let mut trainer = Trainer::new(context, &network, set, Some(clean), &trainer_options)?;
    let mut evaluation = trainer.evaluation(set, 200)?;
    let classes = audited.set.classes();
    let mut ledger = WeightLedger::new(audited.set.len());
    let mut beliefs = Beliefs::new(audited.set.len(), classes);
    let mut bar = StepProgress::new("audit", steps);
    let started = Instant::now();
    for step in 1..=steps {
        if let Some(report) = trainer.step()? {
            ledger.record(&report.indices, &report.weights)?;
            bar.update(step, &view(&report, step, started));
        }
        let due =
            |snapshot: u64| step == steps - (SNAPSHOTS - 1 - snapshot) * (steps / 2 / SNAPSHOTS);
        if (0..SNAPSHOTS).any(due) {
            beliefs.record(&evaluation.scores()?.scores);
        }
    }
    while let Some(report) = trainer.take_report(true)? {
        ledger.record(&report.indices, &report.weights)?;
    }
    bar.finish();
    let seconds = started.elapsed().as_secs_f64();
    trainer.save(&options.out.join("model.safetensors"))?;
    let (n, m) = (trainer_options.batch as u64, trainer_options.clean_batch as u64);
    // Either route needs 3m for G and 3n for the step; finding u takes 2n or n more.
    let route = if network.mixes_examples() { 5 } else { 4 };
    let passes = steps * (route * n + 3 * m) + SNAPSHOTS * audited.set.len() as u64;
    Ok(Judged { ledger, beliefs, model: network.name, seconds, passes })
}

fn view(report: &l2rw::train::StepReport, step: u64, started: Instant) -> StepView {
    StepView {
        loss: report.loss(),
        train_accuracy: f64::NAN,
        clean_accuracy: f64::NAN,
        steps_per_second: step as f64 / started.elapsed().as_secs_f64(),
        corrupted_weight_share: None,
    }
}

/// Plain training with the same options.
pub fn plain(options: TrainerOptions) -> TrainerOptions {
    TrainerOptions { weighting: Uniform.into(), ..options }
}
