//! Out-of-sample predictions by cross-validation: what tools of confident learning work from.

use std::time::Instant;

use anyhow::{Result, ensure};
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::train::{Beliefs, CheckpointSeries, HostState, Trainer};

use crate::audit::{network, plain, trainer_options};
use crate::common::{RunFolder, Stop};
use crate::data::Audited;
use crate::options::Options;
use crate::output::write_predictions;

/// Name of the checkpoints.
pub const FOLDS: &str = "folds";

/// What the folds before have left.
struct Account {
    /// Of each example, once its fold is done.
    probabilities: Vec<Vec<f64>>,
    /// Folds that are done, and their steps.
    folds: usize,
    steps: u64,
    seconds: f64,
}

impl Account {
    fn new(set: &Dataset) -> Self {
        let probabilities = vec![Vec::new(); set.len()];
        Self { probabilities, folds: 0, steps: 0, seconds: 0.0 }
    }

    fn state(&self, classes: usize) -> Result<HostState> {
        let mut host = HostState::new(&(self.folds, self.steps, self.seconds))?;
        let row =
            |row: &Vec<f64>| if row.is_empty() { vec![f64::NAN; classes] } else { row.clone() };
        host.insert_f64("probabilities", self.probabilities.iter().flat_map(row).collect());
        Ok(host)
    }

    fn restore(&mut self, host: &HostState, classes: usize) -> Result<()> {
        (self.folds, self.steps, self.seconds) = host.json()?;
        let flat = host.f64s("probabilities")?;
        ensure!(
            flat.len() == self.probabilities.len() * classes,
            "the checkpoint is of other data"
        );
        for (row, stored) in self.probabilities.iter_mut().zip(flat.chunks(classes)) {
            *row = if stored[0].is_nan() { Vec::new() } else { stored.to_vec() };
        }
        Ok(())
    }
}

/// Trains the network plainly on all but each fold in turn, for an equal share of the passes, and
/// writes what it makes of the fold left out. Whether all folds are done: a requested stop ends the
/// run after the current step.
///
/// The trusted examples are trained on as well: they are labels that the other tool may use too.
pub fn predict(
    options: &Options,
    audited: &Audited,
    context: &Context,
    folds: usize,
    (folder, stop): (&RunFolder, &Stop),
) -> Result<bool> {
    let set = &audited.set;
    let network = network(options, set)?;
    let series = folder.series(FOLDS);
    let mut account = Account::new(set);
    let mut begun = folder.newest(&series)?.checkpoint;
    if let Some(checkpoint) = &begun {
        account.restore(checkpoint.host(), set.classes())?;
    }
    while account.folds < folds {
        let (train, test, outside) = split(audited, account.folds, folds)?;
        let steps = steps_of(options, audited, folds, test.len());
        let trainer_options = plain(trainer_options(options, audited, steps));
        let mut trainer = Trainer::new(context, &network, (&train).into(), None, &trainer_options)?;
        if let Some(checkpoint) = begun.take() {
            trainer.model_mut().resume(&checkpoint)?;
            println!("fold {} goes on after step {}", account.folds + 1, trainer.steps());
        }
        let fold = Fold { steps, every: options.continuation.every(steps) };
        if !fold.train(&mut trainer, &mut account, &series, set.classes(), stop)? {
            return Ok(false);
        }
        let started = Instant::now();
        let scores = trainer.evaluation((&test).into(), 200)?.scores()?;
        let mut beliefs = Beliefs::new(test.len(), set.classes());
        beliefs.record(&scores.scores);
        for (place, &index) in outside.iter().enumerate() {
            account.probabilities[index] = beliefs.probabilities(place);
        }
        account.folds += 1;
        account.steps += steps;
        account.seconds += started.elapsed().as_secs_f64();
        println!("fold {} of {folds}: {steps} steps", account.folds);
    }
    println!("{} steps of plain training in all, {:.1} s", account.steps, account.seconds);
    write_predictions(options, audited, &account.probabilities)?;
    Ok(true)
}

/// Training on all but one fold.
struct Fold {
    steps: u64,
    /// Steps from one checkpoint to the next.
    every: u64,
}

impl Fold {
    /// Whether all steps are done.
    fn train(
        &self,
        trainer: &mut Trainer,
        account: &mut Account,
        series: &CheckpointSeries,
        classes: usize,
        stop: &Stop,
    ) -> Result<bool> {
        for step in trainer.steps() + 1..=self.steps {
            let started = Instant::now();
            trainer.step()?;
            let all = account.steps + step;
            log::debug!("folds step {all}");
            let stopped = stop.requested() && step < self.steps;
            let due = stopped || step % self.every == 0 || step == self.steps;
            while due && trainer.take_report(true)?.is_some() {}
            account.seconds += started.elapsed().as_secs_f64();
            if due {
                series.save(all, trainer.model(), &account.state(classes)?)?;
            }
            if stopped {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a fold trains on and what it leaves out, with the places of the latter. Examples lie sorted
/// by class in image folders: folds are strided.
fn split(audited: &Audited, fold: usize, folds: usize) -> Result<(Dataset, Dataset, Vec<usize>)> {
    let set = &audited.set;
    let (inside, outside): (Vec<usize>, Vec<usize>) =
        (0..set.len()).partition(|index| index % folds != fold);
    let mut train = set.subset(&inside)?;
    train.append(&audited.clean)?;
    Ok((train, set.subset(&outside)?, outside))
}

/// Steps that a fold's share of the passes is enough for.
fn steps_of(options: &Options, audited: &Audited, folds: usize, left_out: usize) -> u64 {
    let share = options.passes.unwrap_or_default() / folds as f64;
    // Three passes an example: forward, and twice as much backward.
    let batch = trainer_options(options, audited, 1).batch;
    let left = share - left_out as f64;
    (left / (3 * batch) as f64).ceil().max(1.0) as u64
}
