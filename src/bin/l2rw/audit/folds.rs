//! Out-of-sample predictions by cross-validation: what tools of confident learning work from.

use std::time::Instant;

use anyhow::{Result, ensure};
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::train::{Beliefs, HostState, StepReport, TrainerOptions};
use l2rw::weighting::Uniform;

use super::Options;
use super::output::write_predictions;
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;
use crate::training::{self, Steps};

/// Name of the checkpoints.
pub const FOLDS: &str = "folds";

/// What the folds before have left.
struct Account {
    classes: usize,
    /// Of each example, once its fold is done.
    probabilities: Vec<Vec<f64>>,
    /// Folds that are done, and their steps.
    folds: usize,
    steps: u64,
    seconds: f64,
}

impl training::Account for Account {
    fn state(&self) -> Result<HostState> {
        let mut host = HostState::new(&(self.folds, self.steps, self.seconds))?;
        let absent = vec![f64::NAN; self.classes];
        let row = |row: &Vec<f64>| if row.is_empty() { absent.clone() } else { row.clone() };
        host.insert_f64("probabilities", self.probabilities.iter().flat_map(row).collect());
        Ok(host)
    }

    fn report(&mut self, _: &StepReport) -> Result<()> {
        Ok(())
    }

    fn after(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.seconds
    }
}

impl Account {
    fn new(set: &Dataset) -> Self {
        let probabilities = vec![Vec::new(); set.len()];
        Self { classes: set.classes(), probabilities, folds: 0, steps: 0, seconds: 0.0 }
    }

    fn restore(&mut self, host: &HostState) -> Result<()> {
        (self.folds, self.steps, self.seconds) = host.json()?;
        let flat = host.f64s("probabilities")?;
        ensure!(
            flat.len() == self.probabilities.len() * self.classes,
            "the checkpoint is of other data"
        );
        for (row, stored) in self.probabilities.iter_mut().zip(flat.chunks(self.classes)) {
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
    audited: &Labelled,
    context: &Context,
    folds: usize,
    (folder, stop): (&RunFolder, &Stop),
) -> Result<bool> {
    let set = &audited.set;
    let network = options.training.network(set)?;
    let series = folder.series(FOLDS);
    let mut account = Account::new(set);
    let mut begun = folder.newest(&series)?;
    if let Some(checkpoint) = &begun {
        account.restore(checkpoint.host())?;
    }
    while account.folds < folds {
        let (train, test, outside) = split(audited, account.folds, folds)?;
        let mut plain = plain(options, &train);
        let steps = steps_of(options, plain.batch, folds, test.len());
        plain.schedule = options.training.trainer(&train, 0, steps).schedule;
        let examples = ((&train).into(), None);
        let fitted = (&mut plain, stop.team());
        let mut trainer = options.training.fitting(context, &network, examples, fitted)?;
        if let Some(checkpoint) = begun.take() {
            trainer.model_mut().resume(&checkpoint)?;
            println!("fold {} goes on after step {}", account.folds + 1, trainer.steps());
        }
        let run = Steps {
            name: FOLDS,
            steps,
            first: account.steps,
            every: options.continuation.every(steps),
            series: &series,
            stop,
        };
        if !run.take(&mut trainer, &mut account)? {
            return Ok(false);
        }
        let started = Instant::now();
        let scores = training::evaluation(trainer.model(), (&test).into())?.scores()?;
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
    let (path, wrong) = (options.out.join("predictions.csv"), audited.wrong.as_deref());
    write_predictions(&path, (set, &audited.names), wrong, &account.probabilities)?;
    Ok(true)
}

/// Plain training with the same options.
fn plain(options: &Options, train: &Dataset) -> TrainerOptions {
    TrainerOptions { weighting: Uniform.into(), ..options.training.trainer(train, 0, 1) }
}

/// What a fold trains on and what it leaves out, with the places of the latter. Examples lie sorted
/// by class in image folders: folds are strided.
fn split(audited: &Labelled, fold: usize, folds: usize) -> Result<(Dataset, Dataset, Vec<usize>)> {
    let set = &audited.set;
    let (inside, outside): (Vec<usize>, Vec<usize>) =
        (0..set.len()).partition(|index| index % folds != fold);
    let mut train = set.subset(&inside)?;
    train.append(&audited.clean)?;
    Ok((train, set.subset(&outside)?, outside))
}

/// Steps that a fold's share of the passes is enough for.
fn steps_of(options: &Options, batch: usize, folds: usize, left_out: usize) -> u64 {
    let share = options.passes.unwrap_or_default() / folds as f64;
    // Three passes an example: forward, and twice as much backward.
    let left = share - left_out as f64;
    (left / (3 * batch) as f64).ceil().max(1.0) as u64
}
