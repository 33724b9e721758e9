//! Data with known label noise, and one training run on it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use l2rw::data::{self, Corruption, Dataset, Source};
use l2rw::gpu::Context;
use l2rw::nn::{LayerKind, Network, Normalisation, Shape, zoo};
use l2rw::plan::Similarity;
use l2rw::report::{
    CurvePoint, MethodResult, ReweightingResult, StepProgress, StepView, download_bar, stats,
};
use l2rw::train::{
    Evaluation, ImageSet, Schedule, StepReport, Trainer, TrainerOptions, WeightLedger,
};
use l2rw::weighting::{L2rw, Uniform, Weighting};
use serde::Serialize;

use crate::options::{Method, Options, Preset, Route};

/// Everything that decides the outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    pub data: String,
    pub preset: Preset,
    pub model: String,
    pub noise: f64,
    pub background: u32,
    pub clean_per_class: usize,
    pub batch: usize,
    pub clean_batch: usize,
    pub steps: u64,
    pub images_per_class: Option<usize>,
    pub test_images: usize,
    pub train_images: usize,
    pub learning_rate: f32,
    pub drops: [u64; 2],
    pub similarity: Option<Route>,
    pub seed: u32,
}

/// Training, trusted and test images.
pub struct Experiment {
    pub config: Config,
    pub train: Dataset,
    /// Labels before corruption.
    pub true_labels: Vec<u32>,
    pub corrupted: Vec<bool>,
    pub clean: Dataset,
    pub test: Dataset,
    pub network: Network,
}

/// What a preset sets where the command line does not.
struct Size {
    model: &'static str,
    steps: u64,
    images_per_class: Option<usize>,
    test_per_class: Option<usize>,
}

impl Preset {
    fn size(self) -> Size {
        match self {
            Self::Quick => Size {
                model: "resnet8-w8",
                steps: 400,
                images_per_class: Some(500),
                test_per_class: Some(200),
            },
            Self::Paper => Size {
                model: "resnet32",
                steps: 80_000,
                images_per_class: None,
                test_per_class: None,
            },
        }
    }
}

impl Experiment {
    /// Reads or makes the data, splits off the trusted images, corrupts the rest.
    pub fn new(options: &Options, preset: Preset) -> Result<Self> {
        let size = preset.size();
        let images_per_class = options.images_per_class.or(size.images_per_class);
        let source = source(options, images_per_class, size.test_per_class)?;
        let full = match images_per_class {
            Some(count) => first_of_each_class(&source.train, count)?,
            None => source.train,
        };
        let test = match size.test_per_class {
            Some(count) => first_of_each_class(&source.test, count)?,
            None => source.test,
        };
        let seed = u64::from(options.seed);
        let classes = full.classes();
        let split =
            data::stratified_clean_split(&full.labels, classes, options.clean_per_class, seed)?;
        let clean = full.subset(&split.clean)?;
        let mut train = full.subset(&split.train)?;
        let true_labels = train.labels.clone();
        let flip =
            Corruption::BackgroundFlip { share: options.noise, background: options.background };
        let corrupted = data::apply(&mut train.labels, classes, &flip, seed)?;

        let model = options.model.clone().unwrap_or_else(|| size.model.to_owned());
        let norm = match preset {
            Preset::Quick => Normalisation::batch(),
            Preset::Paper => Normalisation::batch_paper(),
        };
        let shape = Shape::new(train.height, train.width, train.channels);
        let network = zoo::by_name(&model, shape, classes, norm)?;
        let normalises = network.layers.iter().any(|l| matches!(l.kind, LayerKind::Norm { .. }));
        let steps = options.steps.unwrap_or(size.steps);
        let drops = match preset {
            // The trial that this preset follows dropped the rate late; the paper at a half.
            Preset::Quick => [steps * 3 / 5, steps * 17 / 20],
            Preset::Paper => [steps / 2, steps * 3 / 4],
        };
        let config = Config {
            data: train.name.clone(),
            preset,
            model,
            noise: options.noise,
            background: options.background,
            clean_per_class: options.clean_per_class,
            batch: options.batch,
            clean_batch: options.clean_batch.unwrap_or(clean.len().min(100)),
            steps,
            images_per_class,
            test_images: test.len(),
            train_images: train.len(),
            learning_rate: options.learning_rate.unwrap_or(if normalises { 0.1 } else { 0.01 }),
            drops,
            similarity: options.similarity,
            seed: options.seed,
        };
        Ok(Self { config, train, true_labels, corrupted, clean, test, network })
    }

    /// Share of the training labels that are wrong.
    pub fn corrupted_share(&self) -> f64 {
        let wrong = self.corrupted.iter().filter(|wrong| **wrong).count();
        wrong as f64 / self.corrupted.len().max(1) as f64
    }

    /// Options of one method's trainer.
    pub fn trainer_options(&self, method: Method) -> TrainerOptions {
        let config = &self.config;
        let similarity = config.similarity.map(|route| match route {
            Route::Tangent => Similarity::Tangent,
            Route::PerLayer => Similarity::PerLayer,
        });
        let weighting = match method {
            Method::Baseline => Weighting::from(Uniform),
            Method::L2rw => Weighting::from(L2rw {
                similarity,
                decay_in_clean_gradient: config.preset == Preset::Paper,
                last_layers: None,
            }),
        };
        let channels = self.train.channels;
        TrainerOptions {
            batch: config.batch,
            clean_batch: config.clean_batch,
            schedule: Schedule::tenths(config.learning_rate, config.drops),
            mean: vec![0.5; channels],
            deviation: vec![0.5; channels],
            seed: config.seed,
            ..TrainerOptions::cifar(weighting)
        }
    }

    /// A trainer for one method, with everything on the device.
    pub fn trainer(&self, context: &Context, method: Method) -> Result<Trainer> {
        let clean = ImageSet::from(&self.clean);
        let options = self.trainer_options(method);
        Ok(Trainer::new(context, &self.network, (&self.train).into(), Some(clean), &options)?)
    }
}

fn source(
    options: &Options,
    per_class: Option<usize>,
    test_per_class: Option<usize>,
) -> Result<Source> {
    if options.download {
        let mut bar = None;
        let mut progress = |done, total| {
            bar.get_or_insert_with(|| download_bar("CIFAR-10", total)).update(done);
        };
        let url = options.download_url.as_deref().unwrap_or(data::download::CIFAR10_BASE_URL);
        let folder = data::fetch_cifar10(&data::default_cache_dir()?, url, &mut progress)?;
        if let Some(bar) = bar {
            bar.finish();
        }
        return Ok(data::open(&folder)?);
    }
    if options.data == "synthetic" {
        let (train, test) = (per_class.unwrap_or(5000), test_per_class.unwrap_or(1000));
        return Ok(data::synthetic(options.seed.into(), train, test));
    }
    Ok(data::open(Path::new(&options.data))?)
}

/// The first images of each class, in the order of the set.
fn first_of_each_class(set: &Dataset, count: usize) -> Result<Dataset> {
    let mut taken = vec![0; set.classes()];
    let keep: Vec<usize> = (0..set.len())
        .filter(|&i| {
            let class = &mut taken[set.labels[i] as usize];
            *class += 1;
            *class <= count
        })
        .collect();
    Ok(set.subset(&keep)?)
}

/// One finished run.
pub struct Run {
    pub result: MethodResult,
    /// What each example weighed over the whole run.
    pub ledger: WeightLedger,
}

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
    method: Method,
    ledger: WeightLedger,
    window: Window,
    /// The one before, to be shown while the new one is empty.
    last_window: Window,
    /// Weight on corrupted examples, summed over the second half of the run, and its steps.
    late: (f64, u64),
    zero_weight_steps: u64,
    curve: Vec<CurvePoint>,
    clean_accuracy: f64,
    /// Steps whose reports have come in.
    recorded: u64,
    busy: Duration,
}

/// Trains one method. `stop` ends the run after the current step.
pub fn run(
    experiment: &Experiment,
    context: &Context,
    method: Method,
    checkpoint: &Path,
    stop: &AtomicBool,
) -> Result<Run> {
    let steps = experiment.config.steps;
    let mut trainer = experiment.trainer(context, method)?;
    let mut test = trainer.evaluation((&experiment.test).into(), 200)?;
    let mut clean = trainer.evaluation((&experiment.clean).into(), 100)?;
    let mut running = Running {
        experiment,
        method,
        ledger: WeightLedger::new(experiment.train.len()),
        window: Window::default(),
        last_window: Window::default(),
        late: (0.0, 0),
        zero_weight_steps: 0,
        curve: Vec::new(),
        clean_accuracy: f64::NAN,
        recorded: 0,
        busy: Duration::ZERO,
    };
    let mut bar = StepProgress::new(method.name(), steps);
    let every = (steps / 10).clamp(10, 1000);
    let mut predictions = Vec::new();
    for step in 1..=steps {
        let started = Instant::now();
        let oldest = trainer.step()?;
        running.busy += started.elapsed();
        if let Some(report) = oldest {
            running.record(&report);
            bar.update(step, &running.view());
        }
        let last = step == steps || stop.load(Ordering::Relaxed);
        if step % every == 0 || last {
            let started = Instant::now();
            while let Some(report) = trainer.take_report(true)? {
                running.record(&report);
            }
            running.busy += started.elapsed();
            predictions = running.evaluate(step, &mut test, &mut clean)?;
            bar.update(step, &running.view());
            trainer.save(checkpoint)?;
        }
        if last {
            break;
        }
    }
    bar.finish();
    running.finish(trainer.steps(), &predictions)
}

impl Running<'_> {
    fn record(&mut self, report: &StepReport) {
        let train = &self.experiment.train;
        self.recorded += 1;
        let window = &mut self.window;
        window.steps += 1;
        window.loss += report.loss();
        window.examples += report.indices.len() as u64;
        let right = |(index, class): (&u32, &u32)| train.labels[*index as usize] == *class;
        let pairs = report.indices.iter().zip(&report.predictions);
        window.correct += pairs.filter(|pair| right(*pair)).count() as u64;
        self.ledger.record(&report.indices, &report.weights);
        if report.is_zero_weight() {
            self.zero_weight_steps += 1;
            return;
        }
        let weights = report.indices.iter().zip(&report.weights);
        let on_corrupted: f64 = weights
            .filter(|(index, _)| self.experiment.corrupted[**index as usize])
            .map(|(_, weight)| f64::from(*weight))
            .sum();
        window.corrupted_weight += on_corrupted;
        window.weighted_steps += 1;
        if report.step >= self.experiment.config.steps / 2 {
            self.late.0 += on_corrupted;
            self.late.1 += 1;
        }
    }

    fn evaluate(
        &mut self,
        step: u64,
        test: &mut Evaluation,
        clean: &mut Evaluation,
    ) -> Result<Vec<u32>> {
        let (predictions, _) = test.run()?;
        let test_accuracy = accuracy(&predictions, &self.experiment.test.labels);
        self.clean_accuracy = accuracy(&clean.run()?.0, &self.experiment.clean.labels);
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
            corrupted_weight_share: (w.weighted_steps > 0)
                .then(|| w.corrupted_weight / w.weighted_steps as f64),
        }
    }

    fn finish(self, steps: u64, predictions: &[u32]) -> Result<Run> {
        let test = &self.experiment.test;
        let drawn = (0..self.ledger.len()).filter_map(|i| Some((i, self.ledger.mean(i)?)));
        let (scores, wrong): (Vec<f64>, Vec<bool>) =
            drawn.map(|(i, mean)| (-mean, self.experiment.corrupted[i])).unzip();
        let reweighting = (self.method != Method::Baseline).then(|| ReweightingResult {
            noise_auc: stats::auroc(&scores, &wrong).unwrap_or(f64::NAN),
            corrupted_weight_share: self.late.0 / self.late.1 as f64,
            corrupted_share: self.experiment.corrupted_share(),
            zero_weight_steps: self.zero_weight_steps,
        });
        let result = MethodResult {
            name: self.method.name().to_owned(),
            test_accuracy: accuracy(predictions, &test.labels),
            seconds_per_step: self.busy.as_secs_f64() / steps as f64,
            steps,
            interrupted: steps < self.experiment.config.steps,
            confusion: stats::confusion(&test.labels, predictions, test.classes())?,
            curve: self.curve,
            reweighting,
        };
        Ok(Run { result, ledger: self.ledger })
    }
}

fn accuracy(predictions: &[u32], labels: &[u32]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
    right as f64 / labels.len().max(1) as f64
}
