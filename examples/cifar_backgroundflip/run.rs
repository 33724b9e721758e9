//! One training run: a method with its schedules.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::report::{CurvePoint, MethodResult, ReweightingResult, StepProgress, StepView, stats};
use l2rw::train::{EarlyStopping, Evaluation, Recipe, StepReport, Trainer, WeightLedger};

use l2rw::weighting::{Mentor, MentorSample};

use crate::experiment::Experiment;

/// One finished run.
pub struct Run {
    pub result: MethodResult,
    /// What each example weighed over the whole run.
    pub ledger: WeightLedger,
    /// Of plain training: what other methods start from.
    pub plain: Option<Plain>,
    /// Of methods that learn a function from loss to weight: its parameters, a net after the other.
    pub weight_function: Option<Vec<f32>>,
}

/// What a plain training run tells methods that need one beforehand.
#[derive(Clone)]
pub struct Plain {
    /// Counts of training examples by predicted class (row) and label as given.
    pub confusion: Vec<f64>,
    /// Losses of the examples of which an oracle says whether their labels are right.
    pub samples: Vec<MentorSample>,
}

/// Every tenth training example is one whose label the oracle of the data-driven MentorNet knows.
const KNOWN: u32 = 10;

/// Sums over the steps since the last point of the curve.
#[derive(Default)]
struct Window {
    steps: u64,
    loss: f64,
    correct: u64,
    examples: u64,
    corrupted_weight: f64,
    weighted_steps: u64,
}

/// A run in progress.
struct Running<'a> {
    experiment: &'a Experiment,
    name: String,
    /// Labels of the set that is trained on, and which of them are wrong.
    labels: &'a [u32],
    corrupted: Vec<bool>,
    is_noisy: bool,
    steps: u64,
    ledger: WeightLedger,
    /// Whether any example weighed other than 1/n.
    reweights: bool,
    window: Window,
    /// The one before, to be shown while the new one is empty.
    last_window: Window,
    /// Weight on corrupted examples, summed over the second half of the run, and its steps.
    late: (f64, u64),
    zero_weight_steps: u64,
    curve: Vec<CurvePoint>,
    clean_accuracy: f64,
    /// Of plain training: places and losses of each batch.
    batches: Vec<(Vec<u32>, Vec<f64>)>,
    keeps_batches: bool,
    /// Steps whose reports have come in.
    recorded: u64,
    busy: Duration,
}

/// The sets that a run is judged by, on the device.
struct Judges {
    test: Evaluation,
    clean: Evaluation,
}

impl Judges {
    fn new(experiment: &Experiment, trainer: &Trainer) -> Result<Self> {
        let test = trainer.evaluation((&experiment.test).into(), 200)?;
        let clean = trainer.evaluation((&experiment.clean).into(), 100)?;
        Ok(Self { test, clean })
    }
}

/// Trains one method. `plain` is for methods that start from a plain run; `stop` ends the run after
/// the current step.
pub fn run(
    experiment: &Experiment,
    context: &Context,
    recipe: &Recipe,
    plain: Option<&Plain>,
    checkpoint: &Path,
    stop: &AtomicBool,
) -> Result<Run> {
    let config = &experiment.config;
    let mut trainer = experiment.trainer(context, recipe, plain)?;
    let steps = if recipe.clean_only { config.clean_only_steps } else { config.steps };
    let mut running = Running::new(experiment, recipe, steps);
    let mut early = recipe.early_stopping.then(EarlyStopping::new);
    let mut predictions = running.train(&mut trainer, early.as_mut(), checkpoint, stop)?;
    let mut steps_done = trainer.steps();
    let interrupted = steps_done < steps;
    let plain = match running.keeps_batches {
        true => Some(Plain {
            confusion: label_confusion(experiment, &trainer)?,
            samples: running.samples(),
        }),
        false => None,
    };
    let weight_function = trainer.weighting_state("theta")?;
    if let Some(early) = &early {
        early.restore(&mut trainer)?;
        predictions = Judges::new(experiment, &trainer)?.test.run()?.0;
        trainer.save(checkpoint)?;
    }
    if recipe.fine_tuning && !interrupted {
        let mut tuner = experiment.fine_tuner(context)?;
        tuner.restore(&trainer.snapshot()?)?;
        for _ in 0..config.fine_tuning_steps {
            let started = Instant::now();
            tuner.step()?;
            running.busy += started.elapsed();
        }
        while tuner.take_report(true)?.is_some() {}
        predictions = Judges::new(experiment, &tuner)?.test.run()?.0;
        steps_done += tuner.steps();
        tuner.save(checkpoint)?;
    }
    let mut result = running.result(steps_done, &predictions)?;
    result.interrupted = interrupted;
    Ok(Run { result, ledger: running.ledger, plain, weight_function })
}

/// Counts of training examples by predicted class (row) and label as given.
fn label_confusion(experiment: &Experiment, trainer: &Trainer) -> Result<Vec<f64>> {
    let train = &experiment.train;
    let (predictions, _) = trainer.evaluation(train.into(), 200)?.run()?;
    let classes = train.classes();
    let mut counts = vec![0.0; classes * classes];
    for (prediction, label) in predictions.iter().zip(&train.labels) {
        counts[*prediction as usize * classes + *label as usize] += 1.0;
    }
    Ok(counts)
}

impl<'a> Running<'a> {
    fn new(experiment: &'a Experiment, recipe: &Recipe, steps: u64) -> Self {
        let (labels, corrupted) = match recipe.clean_only {
            true => (&experiment.clean.labels, vec![false; experiment.clean.len()]),
            false => (&experiment.train.labels, experiment.corrupted.clone()),
        };
        Self {
            experiment,
            name: recipe.to_string(),
            labels,
            is_noisy: corrupted.contains(&true),
            corrupted,
            steps,
            ledger: WeightLedger::new(labels.len()),
            reweights: false,
            window: Window::default(),
            last_window: Window::default(),
            late: (0.0, 0),
            zero_weight_steps: 0,
            curve: Vec::new(),
            clean_accuracy: f64::NAN,
            batches: Vec::new(),
            keeps_batches: recipe.method == "baseline" && !recipe.clean_only,
            recorded: 0,
            busy: Duration::ZERO,
        }
    }

    /// The main phase; the last predictions for the test set.
    fn train(
        &mut self,
        trainer: &mut Trainer,
        mut early: Option<&mut EarlyStopping>,
        checkpoint: &Path,
        stop: &AtomicBool,
    ) -> Result<Vec<u32>> {
        let mut judges = Judges::new(self.experiment, trainer)?;
        let mut bar = StepProgress::new(&self.name, self.steps);
        let every = (self.steps / 10).clamp(10, 1000);
        let mut predictions = Vec::new();
        for step in 1..=self.steps {
            let started = Instant::now();
            let oldest = trainer.step()?;
            self.busy += started.elapsed();
            if let Some(report) = oldest {
                self.record(&report)?;
                bar.update(step, &self.view());
            }
            let last = step == self.steps || stop.load(Ordering::Relaxed);
            if step % every == 0 || last {
                let started = Instant::now();
                while let Some(report) = trainer.take_report(true)? {
                    self.record(&report)?;
                }
                self.busy += started.elapsed();
                predictions = self.evaluate(step, &mut judges, early.as_deref_mut(), trainer)?;
                bar.update(step, &self.view());
                trainer.save(checkpoint)?;
            }
            if last {
                break;
            }
        }
        bar.finish();
        Ok(predictions)
    }

    fn record(&mut self, report: &StepReport) -> Result<()> {
        self.recorded += 1;
        let window = &mut self.window;
        window.steps += 1;
        window.loss += report.loss();
        window.examples += report.indices.len() as u64;
        let right = |(index, class): (&u32, &u32)| self.labels[*index as usize] == *class;
        let pairs = report.indices.iter().zip(&report.predictions);
        window.correct += pairs.filter(|pair| right(*pair)).count() as u64;
        self.ledger.record(&report.indices, &report.weights)?;
        if self.keeps_batches {
            let losses = report.losses.iter().map(|loss| f64::from(*loss)).collect();
            self.batches.push((report.indices.clone(), losses));
        }
        let uniform = 1.0 / report.weights.len() as f32;
        self.reweights |= report.weights.iter().any(|w| (w - uniform).abs() > 1e-6);
        if report.is_zero_weight() {
            self.zero_weight_steps += 1;
            return Ok(());
        }
        let weights = report.indices.iter().zip(&report.weights);
        let on_corrupted: f64 = weights
            .filter(|(index, _)| self.corrupted[**index as usize])
            .map(|(_, weight)| f64::from(*weight))
            .sum();
        // Not every method's weights sum to 1.
        let share = on_corrupted / report.weights.iter().map(|w| f64::from(*w)).sum::<f64>();
        window.corrupted_weight += share;
        window.weighted_steps += 1;
        if report.step >= self.steps / 2 {
            self.late.0 += share;
            self.late.1 += 1;
        }
        Ok(())
    }

    /// What the oracle knows of the batches so far.
    fn samples(&self) -> Vec<MentorSample> {
        let losses = self.batches.iter().map(|(_, losses)| losses.as_slice());
        let percentiles = Mentor::percentiles(losses);
        let mut samples = Vec::new();
        for (step, ((indices, losses), percentile)) in
            self.batches.iter().zip(percentiles).enumerate()
        {
            let progress = step as f64 / self.steps as f64;
            let known = indices.iter().zip(losses).filter(|(index, _)| *index % KNOWN == 0);
            samples.extend(known.map(|(index, loss)| MentorSample {
                loss: *loss,
                percentile,
                progress,
                right: !self.corrupted[*index as usize],
            }));
        }
        samples
    }

    fn evaluate(
        &mut self,
        step: u64,
        judges: &mut Judges,
        early: Option<&mut EarlyStopping>,
        trainer: &Trainer,
    ) -> Result<Vec<u32>> {
        let (predictions, _) = judges.test.run()?;
        let test_accuracy = accuracy(&predictions, &self.experiment.test.labels);
        let (clean, losses) = judges.clean.run()?;
        let clean_labels = &self.experiment.clean.labels;
        self.clean_accuracy = accuracy(&clean, clean_labels);
        if let Some(early) = early {
            early.observe(trainer, &clean, &losses, clean_labels)?;
        }
        let view = self.view();
        self.curve.push(CurvePoint {
            step,
            train_loss: view.loss,
            train_accuracy: view.train_accuracy,
            clean_accuracy: self.clean_accuracy,
            test_accuracy: Some(test_accuracy),
            corrupted_weight_share: view.corrupted_weight_share,
        });
        self.last_window = std::mem::take(&mut self.window);
        Ok(predictions)
    }

    fn view(&self) -> StepView {
        let w = if self.window.steps > 0 { &self.window } else { &self.last_window };
        let steps = self.recorded;
        StepView {
            loss: w.loss / w.steps as f64,
            train_accuracy: w.correct as f64 / w.examples as f64,
            clean_accuracy: self.clean_accuracy,
            steps_per_second: steps as f64 / self.busy.as_secs_f64(),
            corrupted_weight_share: (self.is_noisy && w.weighted_steps > 0)
                .then(|| w.corrupted_weight / w.weighted_steps as f64),
        }
    }

    fn result(&self, steps: u64, predictions: &[u32]) -> Result<MethodResult> {
        let test = &self.experiment.test;
        let drawn = (0..self.ledger.len()).filter_map(|i| Some((i, self.ledger.mean(i)?)));
        let (scores, wrong): (Vec<f64>, Vec<bool>) =
            drawn.map(|(i, mean)| (-mean, self.corrupted[i])).unzip();
        let share = self.corrupted.iter().filter(|wrong| **wrong).count() as f64;
        let reweighting = self.reweights.then(|| ReweightingResult {
            noise_auc: stats::auroc(&scores, &wrong).unwrap_or(f64::NAN),
            corrupted_weight_share: self.late.0 / self.late.1 as f64,
            corrupted_share: share / self.corrupted.len().max(1) as f64,
            zero_weight_steps: self.zero_weight_steps,
        });
        Ok(MethodResult {
            name: self.name.clone(),
            test_accuracy: accuracy(predictions, &test.labels),
            seconds_per_step: self.busy.as_secs_f64() / steps as f64,
            steps,
            interrupted: false,
            confusion: stats::confusion(&test.labels, predictions, test.classes())?,
            curve: self.curve.clone(),
            reweighting,
        })
    }
}

fn accuracy(predictions: &[u32], labels: &[u32]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
    right as f64 / labels.len().max(1) as f64
}
