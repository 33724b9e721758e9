//! One training run: a method with its schedules, from its last checkpoint on.

use std::time::Instant;

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::report::MethodResult;
use l2rw::train::{
    Checkpoint, CheckpointSeries, EarlyStopping, Evaluation, Recipe, Trainer, WeightLedger,
};

use super::common::{RunFolder, Stop};
use super::experiment::Experiment;
use super::running::{Phase, Plain, Running};

/// One finished run, or what there is of an interrupted one.
pub struct Run {
    pub result: MethodResult,
    /// What each example weighed over the whole run.
    pub ledger: WeightLedger,
    /// Of plain training: what other methods start from.
    pub plain: Option<Plain>,
    /// Of methods that learn a function from loss to weight: its parameters, a net after the other.
    pub weight_function: Option<Vec<f64>>,
}

/// Name of a plain run that is only there for others to start from.
pub const PLAIN: &str = "plain";

/// A run that is to be made.
pub struct Task<'a> {
    pub experiment: &'a Experiment,
    pub context: &'a Context,
    pub folder: &'a RunFolder,
    pub stop: &'a Stop,
    /// Steps from one checkpoint to the next.
    pub every: u64,
    /// Of the run and its files.
    pub name: &'a str,
    pub recipe: &'a Recipe,
    /// For methods that start from a plain run.
    pub plain: Option<&'a Plain>,
}

/// The sets that a run is judged by, on the device.
pub struct Judges {
    pub test: Evaluation,
    pub clean: Evaluation,
    /// By which early stopping chooses, where there are held-out images.
    pub held_out: Option<Evaluation>,
}

impl Judges {
    fn new(experiment: &Experiment, trainer: &Trainer) -> Result<Self> {
        let test = trainer.evaluation((&experiment.data.test).into(), 200)?;
        let clean = trainer.evaluation((&experiment.data.clean).into(), 100)?;
        let held_out = experiment.data.held_out.as_ref();
        let held_out = held_out.map(|set| trainer.evaluation(set.into(), 200)).transpose()?;
        Ok(Self { test, clean, held_out })
    }
}

impl Task<'_> {
    /// Trains the method, or takes up what was trained before. A requested stop ends it after the
    /// current step, with a checkpoint; `None` if it has not begun. `publish` gets the finished run
    /// before its last and large file is written.
    pub fn run(&self, publish: impl FnOnce(&Run) -> Result<()>) -> Result<Option<Run>> {
        let series = self.folder.series(self.name);
        let newest = self.folder.newest(&series)?;
        let team = self.stop.team();
        let mut running = Running::new(self.experiment, self.name, self.recipe)?;
        let steps = running.steps();
        if let Some(checkpoint) = &newest {
            running.restore(checkpoint.host())?;
        }
        if let Some(result) = running.finished_result() {
            return Ok(Some(running.into_run(result)));
        }
        let (mut trainer, mut predictions) = match (running.phase(), &newest) {
            (Phase::FineTuning, Some(_)) => (None, Vec::new()),
            (_, checkpoint) => {
                let Some((trainer, predictions)) =
                    self.train(&mut running, &series, checkpoint.as_ref())?
                else {
                    return Ok(None);
                };
                if running.is_interrupted() {
                    let result = running.result(trainer.steps(), &predictions)?;
                    return Ok(Some(running.into_run(result)));
                }
                (Some(trainer), predictions)
            }
        };
        if self.recipe.fine_tuning {
            // The last trainer's parameters, or those of the checkpoint.
            let begun = newest.as_ref().filter(|_| trainer.is_none());
            let Some((tuner, tuned)) =
                self.fine_tune(&mut running, &series, trainer.as_ref(), begun)?
            else {
                return Ok(None);
            };
            (trainer, predictions) = (Some(tuner), tuned);
        }
        let tuned = if self.recipe.fine_tuning { running.tuned } else { 0 };
        let result = running.result(steps + tuned, &predictions)?;
        if !running.is_interrupted() {
            let host = running.finish(&result)?;
            let run = running.into_run(result);
            team.on_first(|| {
                publish(&run)?;
                if let Some(trainer) = &trainer {
                    series.finish(trainer.model(), &host)?;
                }
                Ok(())
            })?;
            return Ok(Some(run));
        }
        Ok(Some(running.into_run(result)))
    }

    /// The main phase and what follows from it; the last predictions for the test set.
    fn train(
        &self,
        running: &mut Running<'_>,
        series: &CheckpointSeries,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<(Trainer, Vec<u32>)>> {
        let trainer = self.experiment.trainer(self.context, self.recipe, self.plain, self.stop)?;
        let Some(mut trainer) = trainer else { return Ok(None) };
        if let Some(checkpoint) = checkpoint {
            trainer.model_mut().resume(checkpoint)?;
            println!("{} goes on after step {}", self.name, trainer.steps());
        }
        let mut predictions = self.main_phase(running, series, &mut trainer)?;
        if running.is_interrupted() {
            return Ok(Some((trainer, predictions)));
        }
        if running.keeps_samples() {
            running.confusion = Some(label_confusion(self.experiment, &trainer)?);
        }
        running.weight_function = trainer
            .weighting_state("theta")?
            .map(|theta| theta.into_iter().map(f64::from).collect());
        if let Some(early) = &running.early {
            early.restore(&mut trainer)?;
            predictions = Judges::new(self.experiment, &trainer)?.test.run()?.0;
        }
        Ok(Some((trainer, predictions)))
    }

    fn main_phase(
        &self,
        running: &mut Running<'_>,
        series: &CheckpointSeries,
        trainer: &mut Trainer,
    ) -> Result<Vec<u32>> {
        let mut judges = Judges::new(self.experiment, trainer)?;
        let steps = running.steps();
        if trainer.steps() >= steps {
            return Ok(judges.test.run()?.0);
        }
        let mut bar = self.stop.team().progress(self.name, steps);
        let looks = (steps / 10).clamp(10, 1000);
        let mut predictions = Vec::new();
        for step in trainer.steps() + 1..=steps {
            let started = Instant::now();
            let oldest = trainer.step()?;
            running.busy += started.elapsed();
            log::debug!("{} step {step}", self.name);
            if let Some(report) = oldest {
                running.record(&report)?;
                bar.update(step, &running.view());
            }
            let (last, stopped) = (step == steps, self.stop.requested() && step < steps);
            let is_kept = stopped || step % self.every == 0 || last && self.recipe.fine_tuning;
            if !(is_kept || last || step % looks == 0) {
                continue;
            }
            running.drain(trainer)?;
            let looked = step % looks == 0 || last;
            if looked {
                predictions = running.evaluate(step, &mut judges, trainer)?;
            }
            if is_kept {
                let model = trainer.model();
                let save = || Ok(series.save(step, model, &running.state()?)?);
                self.stop.team().on_first(save)?;
            }
            if stopped {
                // Behind the checkpoint: a run that is not stopped does not look here.
                running.interrupt();
                if !looked {
                    predictions = running.evaluate(step, &mut judges, trainer)?;
                }
            }
            bar.update(step, &running.view());
            if stopped {
                break;
            }
        }
        bar.finish();
        Ok(predictions)
    }

    /// Plain training on the trusted images from the parameters of `trainer` on, or from a
    /// checkpoint of this phase; the last predictions for the test set.
    fn fine_tune(
        &self,
        running: &mut Running<'_>,
        series: &CheckpointSeries,
        trainer: Option<&Trainer>,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<(Trainer, Vec<u32>)>> {
        let Some(mut tuner) = self.experiment.fine_tuner(self.context, self.stop)? else {
            return Ok(None);
        };
        if let Some(trainer) = trainer {
            tuner.restore(&trainer.snapshot()?)?;
        }
        if let Some(checkpoint) = checkpoint {
            tuner.model_mut().resume(checkpoint)?;
            println!("{} goes on after step {} of fine-tuning", self.name, tuner.steps());
        }
        running.begin_fine_tuning();
        let steps = self.experiment.config.fine_tuning_steps;
        for step in tuner.steps() + 1..=steps {
            let started = Instant::now();
            tuner.step()?;
            running.busy += started.elapsed();
            log::debug!("{} step {}", self.name, running.steps() + step);
            let stopped = self.stop.requested() && step < steps;
            if stopped || step % self.every == 0 {
                while tuner.take_report(true)?.is_some() {}
                let (number, model) = (running.steps() + step, tuner.model());
                let save = || Ok(series.save(number, model, &running.state()?)?);
                self.stop.team().on_first(save)?;
            }
            if stopped {
                running.interrupt();
                break;
            }
        }
        while tuner.take_report(true)?.is_some() {}
        running.tuned = tuner.steps();
        let predictions = Judges::new(self.experiment, &tuner)?.test.run()?.0;
        Ok(Some((tuner, predictions)))
    }
}

/// Counts of training examples by predicted class (row) and label as given.
fn label_confusion(experiment: &Experiment, trainer: &Trainer) -> Result<Vec<f64>> {
    let train = &experiment.data.train.set;
    let (predictions, _) = trainer.evaluation(train.into(), 200)?.run()?;
    let classes = train.classes();
    let mut counts = vec![0.0; classes * classes];
    for (prediction, label) in predictions.iter().zip(&train.labels) {
        counts[*prediction as usize * classes + *label as usize] += 1.0;
    }
    Ok(counts)
}

/// Early stopping, for recipes that ask for it.
pub fn early_stopping(recipe: &Recipe) -> Option<EarlyStopping> {
    recipe.early_stopping.then(EarlyStopping::new)
}
