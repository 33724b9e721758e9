//! What a run adds up while it goes on, and how a checkpoint holds it.

use std::time::Duration;

use anyhow::{Result, ensure};
use l2rw::report::{CurvePoint, MethodResult, ReweightingResult, StepView, stats};
use l2rw::train::{EarlyStopping, HostState, Recipe, StepReport, Trainer, WeightLedger};
use l2rw::weighting::{Mentor, MentorSample};
use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use super::run::{Judges, Run, early_stopping};

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
#[derive(Clone, Copy, Default)]
struct Window {
    steps: f64,
    loss: f64,
    correct: f64,
    examples: f64,
    corrupted_weight: f64,
    weighted_steps: f64,
}

impl Window {
    fn numbers(&self) -> [f64; 6] {
        let Self { steps, loss, correct, examples, corrupted_weight, weighted_steps } = *self;
        [steps, loss, correct, examples, corrupted_weight, weighted_steps]
    }

    fn of(numbers: &[f64]) -> Result<Self> {
        ensure!(numbers.len() == 6, "a window has 6 numbers, not {}", numbers.len());
        let [steps, loss, correct, examples, corrupted_weight, weighted_steps] =
            std::array::from_fn(|at| numbers[at]);
        Ok(Self { steps, loss, correct, examples, corrupted_weight, weighted_steps })
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    Training,
    FineTuning,
    Finished(Box<MethodResult>),
}

/// The part of a checkpoint that people may want to read.
#[derive(Serialize, Deserialize)]
struct Saved {
    phase: Phase,
    busy_seconds: f64,
    recorded: u64,
    zero_weight_steps: u64,
    skipped_steps: u64,
    reweights: bool,
    curve: Vec<CurvePoint>,
}

/// A run in progress.
pub struct Running<'a> {
    experiment: &'a Experiment,
    name: String,
    /// Labels of the set that is trained on, and which of them are wrong.
    labels: &'a [u32],
    corrupted: Vec<bool>,
    is_noisy: bool,
    steps: u64,
    phase: Phase,
    interrupted: bool,
    ledger: WeightLedger,
    /// Whether any example weighed other than 1/n.
    reweights: bool,
    window: Window,
    /// The one before, to be shown while the new one is empty.
    last_window: Window,
    /// Weight on corrupted examples, summed over the second half of the run, and its steps.
    late: [f64; 2],
    zero_weight_steps: u64,
    skipped_steps: u64,
    curve: Vec<CurvePoint>,
    clean_accuracy: f64,
    /// Of plain training: what the oracle knows of the batches so far, and their last percentile.
    samples: Option<(Vec<MentorSample>, Option<f64>)>,
    /// Steps whose reports have come in.
    recorded: u64,
    pub busy: Duration,
    pub early: Option<EarlyStopping>,
    /// Known once the main phase is over.
    pub confusion: Option<Vec<f64>>,
    pub weight_function: Option<Vec<f64>>,
    /// Steps of fine-tuning.
    pub tuned: u64,
}

impl<'a> Running<'a> {
    /// Nothing done yet.
    pub fn new(experiment: &'a Experiment, name: &str, recipe: &Recipe) -> Result<Self> {
        let clean = &experiment.data.clean;
        let (labels, corrupted) = match recipe.clean_only {
            true => (&clean.labels, vec![false; clean.len()]),
            false => {
                let train = experiment.train(recipe)?;
                (&train.set.labels, train.corrupted.clone())
            }
        };
        let steps = experiment.steps(recipe)?;
        let is_plain = recipe.method == "baseline" && !recipe.clean_only;
        Ok(Self {
            experiment,
            name: name.to_owned(),
            labels,
            is_noisy: corrupted.contains(&true),
            corrupted,
            steps,
            phase: Phase::Training,
            interrupted: false,
            ledger: WeightLedger::new(labels.len()),
            reweights: false,
            window: Window::default(),
            last_window: Window::default(),
            late: [0.0; 2],
            zero_weight_steps: 0,
            skipped_steps: 0,
            curve: Vec::new(),
            clean_accuracy: f64::NAN,
            samples: is_plain.then(|| (Vec::new(), None)),
            recorded: 0,
            busy: Duration::ZERO,
            early: early_stopping(recipe),
            confusion: None,
            weight_function: None,
            tuned: 0,
        })
    }

    /// Steps of the main phase.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn begin_fine_tuning(&mut self) {
        self.phase = Phase::FineTuning;
    }

    /// Says that the run ends before its time.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether others start from this run.
    pub fn keeps_samples(&self) -> bool {
        self.samples.is_some()
    }

    /// The result, of a run that was finished before.
    pub fn finished_result(&self) -> Option<MethodResult> {
        match &self.phase {
            Phase::Finished(result) => Some((**result).clone()),
            _ => None,
        }
    }

    /// Takes the reports that are outstanding.
    pub fn drain(&mut self, trainer: &mut Trainer) -> Result<()> {
        let started = std::time::Instant::now();
        while let Some(report) = trainer.take_report(true)? {
            self.record(&report)?;
        }
        self.busy += started.elapsed();
        Ok(())
    }

    pub fn record(&mut self, report: &StepReport) -> Result<()> {
        self.recorded += 1;
        if report.is_skipped() {
            self.skipped_steps += 1;
            return Ok(());
        }
        let window = &mut self.window;
        window.steps += 1.0;
        window.loss += report.loss();
        window.examples += report.indices.len() as f64;
        let right = |(index, class): (&u32, &u32)| self.labels[*index as usize] == *class;
        let pairs = report.indices.iter().zip(&report.predictions);
        window.correct += pairs.filter(|pair| right(*pair)).count() as f64;
        self.ledger.record(&report.indices, &report.weights)?;
        self.keep_samples(report);
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
        self.window.corrupted_weight += share;
        self.window.weighted_steps += 1.0;
        if report.step >= self.steps / 2 {
            self.late[0] += share;
            self.late[1] += 1.0;
        }
        Ok(())
    }

    fn keep_samples(&mut self, report: &StepReport) {
        let Some((samples, percentile)) = &mut self.samples else { return };
        let losses: Vec<f64> = report.losses.iter().map(|loss| f64::from(*loss)).collect();
        *percentile = Mentor::percentile_after(*percentile, &losses);
        let progress = report.step as f64 / self.steps as f64;
        let known = report.indices.iter().zip(&losses).filter(|(index, _)| *index % KNOWN == 0);
        samples.extend(known.map(|(index, loss)| MentorSample {
            loss: *loss,
            percentile: percentile.unwrap_or_default(),
            progress,
            right: !self.corrupted[*index as usize],
        }));
    }

    /// Adds a point to the curve; the predictions for the test set.
    pub fn evaluate(
        &mut self,
        step: u64,
        judges: &mut Judges,
        trainer: &Trainer,
    ) -> Result<Vec<u32>> {
        let (predictions, _) = judges.test.run()?;
        let test_accuracy = accuracy(&predictions, &self.experiment.data.test.labels);
        let (clean, losses) = judges.clean.run()?;
        let clean_labels = &self.experiment.data.clean.labels;
        self.clean_accuracy = accuracy(&clean, clean_labels);
        if let Some(early) = &mut self.early {
            if let (Some(judge), Some(set)) = (&mut judges.held_out, &self.experiment.data.held_out)
            {
                let (predictions, losses) = judge.run()?;
                early.observe(trainer, &predictions, &losses, &set.labels)?;
            } else {
                early.observe(trainer, &clean, &losses, clean_labels)?;
            }
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

    pub fn view(&self) -> StepView {
        let w = if self.window.steps > 0.0 { &self.window } else { &self.last_window };
        StepView {
            loss: w.loss / w.steps,
            train_accuracy: w.correct / w.examples,
            clean_accuracy: self.clean_accuracy,
            steps_per_second: self.recorded as f64 / self.busy.as_secs_f64(),
            corrupted_weight_share: (self.is_noisy && w.weighted_steps > 0.0)
                .then(|| w.corrupted_weight / w.weighted_steps),
        }
    }

    pub fn result(&self, steps: u64, predictions: &[u32]) -> Result<MethodResult> {
        let test = &self.experiment.data.test;
        let drawn = (0..self.ledger.len()).filter_map(|i| Some((i, self.ledger.mean(i)?)));
        let (scores, wrong): (Vec<f64>, Vec<bool>) =
            drawn.map(|(i, mean)| (-mean, self.corrupted[i])).unzip();
        let share = self.corrupted.iter().filter(|wrong| **wrong).count() as f64;
        let reweighting = self.reweights.then(|| ReweightingResult {
            noise_auc: stats::auroc(&scores, &wrong).unwrap_or(f64::NAN),
            corrupted_weight_share: self.late[0] / self.late[1],
            corrupted_share: share / self.corrupted.len().max(1) as f64,
            zero_weight_steps: self.zero_weight_steps,
        });
        Ok(MethodResult {
            name: self.name.clone(),
            test_accuracy: accuracy(predictions, &test.labels),
            seconds_per_step: self.busy.as_secs_f64() / steps as f64,
            steps,
            skipped_steps: self.skipped_steps,
            interrupted: self.interrupted,
            confusion: stats::confusion(&test.labels, predictions, test.classes())?,
            curve: self.curve.clone(),
            reweighting,
        })
    }

    pub fn into_run(self, result: MethodResult) -> Run {
        let (samples, _) = self.samples.unwrap_or_default();
        let plain = self.confusion.map(|confusion| Plain { confusion, samples });
        let (ledger, weight_function) = (self.ledger, self.weight_function);
        Run { result, ledger, plain, weight_function }
    }

    /// The state at the end, with the result.
    pub fn finish(&mut self, result: &MethodResult) -> Result<HostState> {
        self.phase = Phase::Finished(Box::new(result.clone()));
        self.state()
    }

    /// Everything that a checkpoint must hold besides the model.
    pub fn state(&self) -> Result<HostState> {
        let mut host = HostState::new(&Saved {
            phase: self.phase.clone(),
            busy_seconds: self.busy.as_secs_f64(),
            recorded: self.recorded,
            zero_weight_steps: self.zero_weight_steps,
            skipped_steps: self.skipped_steps,
            reweights: self.reweights,
            curve: self.curve.clone(),
        })?;
        self.ledger.store(&mut host, "ledger");
        if let Some(early) = &self.early {
            early.store(&mut host, "early");
        }
        // Sums may be no JSON: a run that diverges has NaN in them.
        host.insert_f64("window", self.window.numbers().to_vec());
        host.insert_f64("last_window", self.last_window.numbers().to_vec());
        host.insert_f64("late", self.late.to_vec());
        host.insert_f64("clean_accuracy", vec![self.clean_accuracy]);
        if let Some((samples, percentile)) = &self.samples {
            let of = |f: fn(&MentorSample) -> f64| samples.iter().map(f).collect();
            host.insert_f64("samples/loss", of(|sample| sample.loss));
            host.insert_f64("samples/percentile", of(|sample| sample.percentile));
            host.insert_f64("samples/progress", of(|sample| sample.progress));
            let right = samples.iter().map(|sample| u32::from(sample.right)).collect();
            host.insert_u32("samples/right", right);
            host.insert_f64("percentile", percentile.iter().copied().collect());
        }
        for (name, numbers) in
            [("confusion", &self.confusion), ("weight_function", &self.weight_function)]
        {
            if let Some(numbers) = numbers {
                host.insert_f64(name, numbers.clone());
            }
        }
        Ok(host)
    }

    /// Takes the state from a checkpoint.
    pub fn restore(&mut self, host: &HostState) -> Result<()> {
        let saved: Saved = host.json()?;
        self.phase = saved.phase;
        self.busy = Duration::try_from_secs_f64(saved.busy_seconds)?;
        (self.recorded, self.zero_weight_steps) = (saved.recorded, saved.zero_weight_steps);
        self.skipped_steps = saved.skipped_steps;
        (self.reweights, self.curve) = (saved.reweights, saved.curve);
        self.ledger = WeightLedger::stored(host, "ledger")?;
        ensure!(self.ledger.len() == self.labels.len(), "the checkpoint is of other data");
        if self.early.is_some() {
            self.early = Some(EarlyStopping::stored(host, "early")?);
        }
        self.window = Window::of(host.f64s("window")?)?;
        self.last_window = Window::of(host.f64s("last_window")?)?;
        self.late.copy_from_slice(host.f64s("late")?.get(..2).unwrap_or(&[0.0; 2]));
        self.clean_accuracy = host.f64s("clean_accuracy")?.first().copied().unwrap_or(f64::NAN);
        if let Some((samples, percentile)) = &mut self.samples {
            let numbers = |name| host.f64s(name);
            let right = host.u32s("samples/right")?.iter().map(|right| *right != 0);
            let of_losses = numbers("samples/loss")?.iter().zip(numbers("samples/percentile")?);
            let all = of_losses.zip(numbers("samples/progress")?).zip(right);
            *samples = all
                .map(|(((loss, percentile), progress), right)| MentorSample {
                    loss: *loss,
                    percentile: *percentile,
                    progress: *progress,
                    right,
                })
                .collect();
            *percentile = numbers("percentile")?.first().copied();
        }
        let kept = |name| host.contains(name).then(|| host.f64s(name).map(<[f64]>::to_vec));
        self.confusion = kept("confusion").transpose()?;
        self.weight_function = kept("weight_function").transpose()?;
        Ok(())
    }
}

fn accuracy(predictions: &[u32], labels: &[u32]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
    right as f64 / labels.len().max(1) as f64
}
