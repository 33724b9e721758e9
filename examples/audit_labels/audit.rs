//! Training with learned weights, and what it tells of every example.

use std::time::Instant;

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::report::{StepProgress, StepView};
use l2rw::train::{
    Beliefs, HostState, Schedule, StepReport, Trainer, TrainerOptions, WeightLedger,
};
use l2rw::weighting::Uniform;

use crate::common::{RunFolder, Stop};
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
    trainer: Trainer,
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

/// Name of the trained network's file, and of the checkpoints on the way there.
pub const MODEL: &str = "model";

/// What is added up on the way.
struct Account {
    ledger: WeightLedger,
    beliefs: Beliefs,
    seconds: f64,
}

impl Account {
    fn new(set: &Dataset) -> Self {
        let (ledger, beliefs) =
            (WeightLedger::new(set.len()), Beliefs::new(set.len(), set.classes()));
        Self { ledger, beliefs, seconds: 0.0 }
    }

    fn state(&self) -> Result<HostState> {
        let mut host = HostState::new(&self.seconds)?;
        self.ledger.store(&mut host, "ledger");
        self.beliefs.store(&mut host, "beliefs");
        Ok(host)
    }

    fn restored(host: &HostState) -> Result<Self> {
        let (ledger, beliefs) =
            (WeightLedger::stored(host, "ledger")?, Beliefs::stored(host, "beliefs")?);
        Ok(Self { ledger, beliefs, seconds: host.json()? })
    }
}

/// Trains, from the last checkpoint on, and keeps account; `None` once a stop is requested.
pub fn judge(
    options: &Options,
    audited: &Audited,
    context: &Context,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<Option<Judged>> {
    let steps = options.steps;
    let network = network(options, &audited.set)?;
    let trainer_options = trainer_options(options, audited, steps);
    let (set, clean) = ((&audited.set).into(), (&audited.clean).into());
    let mut trainer = Trainer::new(context, &network, set, Some(clean), &trainer_options)?;
    let mut evaluation = trainer.evaluation(set, 200)?;
    let mut account = Account::new(&audited.set);
    let series = folder.series(MODEL);
    if let Some(checkpoint) = folder.newest(&series)?.checkpoint {
        trainer.model_mut().resume(&checkpoint)?;
        account = Account::restored(checkpoint.host())?;
        println!("audit goes on after step {}", trainer.steps());
    }
    let every = options.continuation.every(steps);
    let mut bar = StepProgress::new("audit", steps);
    for step in trainer.steps() + 1..=steps {
        let started = Instant::now();
        if let Some(report) = trainer.step()? {
            account.ledger.record(&report.indices, &report.weights)?;
            bar.update(step, &view(&report, step, account.seconds));
        }
        log::debug!("audit step {step}");
        let due =
            |snapshot: u64| step == steps - (SNAPSHOTS - 1 - snapshot) * (steps / 2 / SNAPSHOTS);
        if (0..SNAPSHOTS).any(due) {
            account.beliefs.record(&evaluation.scores()?.scores);
        }
        let stopped = stop.requested() && step < steps;
        if stopped || step == steps || step % every == 0 {
            while let Some(report) = trainer.take_report(true)? {
                account.ledger.record(&report.indices, &report.weights)?;
            }
        }
        account.seconds += started.elapsed().as_secs_f64();
        if stopped || (step % every == 0 && step < steps) {
            series.save(step, trainer.model(), &account.state()?)?;
        }
        if stopped {
            return Ok(None);
        }
    }
    bar.finish();
    let (n, m) = (trainer_options.batch as u64, trainer_options.clean_batch as u64);
    // Either route needs 3m for G and 3n for the step; finding u takes 2n or n more.
    let route = if network.mixes_examples() { 5 } else { 4 };
    let passes = steps * (route * n + 3 * m) + SNAPSHOTS * audited.set.len() as u64;
    let Account { ledger, beliefs, seconds } = account;
    Ok(Some(Judged { ledger, beliefs, model: network.name, seconds, passes, trainer }))
}

impl Judged {
    /// Writes the trained network, from which a run can be taken up again as well.
    pub fn save(&self, folder: &RunFolder) -> Result<()> {
        let (ledger, beliefs) = (self.ledger.clone(), self.beliefs.clone());
        let account = Account { ledger, beliefs, seconds: self.seconds };
        Ok(folder.series(MODEL).finish(self.trainer.model(), &account.state()?)?)
    }
}

fn view(report: &StepReport, step: u64, seconds: f64) -> StepView {
    StepView {
        loss: report.loss(),
        train_accuracy: f64::NAN,
        clean_accuracy: f64::NAN,
        steps_per_second: step as f64 / seconds,
        corrupted_weight_share: None,
    }
}

/// Plain training with the same options.
pub fn plain(options: TrainerOptions) -> TrainerOptions {
    TrainerOptions { weighting: Uniform.into(), ..options }
}
