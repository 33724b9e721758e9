//! One run's data, network and settings, and trainers on them.

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::{LayerKind, Network, Shape, zoo};
use l2rw::plan;
use l2rw::train::{Examples, NotFinite, Recipe, Schedule, Trainer, TrainerOptions};
use l2rw::weighting::{self, Mentor, Setup, Weighting};
use serde::Serialize;

use super::common::Stop;
use super::options::{Options, Route};
use super::preset::{Preset, Size};
use super::running::Plain;
use super::spoiled::{Data, Marked, Spoiled};
use super::study::{Figure, Spoiling, Study};

/// Everything that decides the outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    pub experiment: &'static str,
    pub data: String,
    pub preset: Preset,
    pub model: String,
    pub spoiling: Spoiling,
    pub background: Option<u32>,
    pub clean_per_class: usize,
    pub held_out: usize,
    pub batch: usize,
    pub clean_batch: usize,
    pub steps: u64,
    /// Of methods that look at the trusted images.
    pub reweighting_steps: u64,
    pub fine_tuning_steps: u64,
    pub clean_only_steps: u64,
    pub images_per_class: Option<usize>,
    pub test_images: usize,
    pub train_images: usize,
    pub learning_rate: f32,
    pub drops: Vec<u64>,
    pub weight_decay: f32,
    pub crop_pad: usize,
    pub mirrors: bool,
    pub decay_in_clean_gradient: bool,
    pub not_finite: NotFinite,
    #[serde(rename = "similarity")]
    pub route: Option<Route>,
    pub seed: u32,
    /// Of the training, trusted and test images with their labels.
    pub fingerprints: [String; 3],
    /// From the published experiment.
    pub deviations: Vec<&'static str>,
}

/// What one run is asked to be.
pub struct Cell<'a> {
    pub study: &'a Study,
    pub options: &'a Options,
    pub preset: Preset,
    pub spoiling: Spoiling,
    pub clean_per_class: usize,
    pub seed: u32,
}

/// Training, trusted and test images, and a network.
pub struct Experiment {
    pub config: Config,
    pub data: Spoiled,
    pub network: Network,
    size: Size,
}

impl Experiment {
    /// Spoils the data as the cell wants it.
    pub fn new(cell: &Cell<'_>, data: &Data) -> Result<Self> {
        let Cell { study, options, preset, spoiling, clean_per_class, seed } = *cell;
        let mut size = preset.size(study.kind);
        if study.figure == Figure::Weights {
            size = size.half();
        }
        let numbers = (clean_per_class, u64::from(seed));
        let data = data.spoil(spoiling, &size, options, numbers)?;
        let train = &data.train.set;

        let model = options.model.clone().unwrap_or_else(|| size.model.to_owned());
        let shape = Shape::new(train.height, train.width, train.channels);
        let network = zoo::by_name(&model, shape, train.classes(), preset.normalisation())?;
        let normalises = network.layers.iter().any(|l| matches!(l.kind, LayerKind::Norm { .. }));
        let [normalised, plain] = size.learning_rates;
        let rate = if normalises { normalised } else { plain };
        let steps = options.steps.unwrap_or_else(|| size.length.steps(train.len(), options.batch));
        let share = |share: f64| (steps as f64 * share).round() as u64;
        let [fine_tuning_steps, clean_only_steps] = preset.further_steps(steps);
        let config = Config {
            experiment: study.name,
            data: train.name.clone(),
            preset,
            model,
            spoiling,
            background: data.background,
            clean_per_class,
            held_out: data.held_out.as_ref().map_or(0, Dataset::len),
            batch: options.batch,
            clean_batch: options.clean_batch.unwrap_or(data.clean.len().min(100)),
            steps,
            reweighting_steps: share(size.reweighting_length).max(1),
            fine_tuning_steps,
            clean_only_steps,
            images_per_class: options.images_per_class.or(size.images_per_class),
            test_images: data.test.len(),
            train_images: train.len(),
            learning_rate: options.learning_rate.unwrap_or(rate),
            drops: size.drops.iter().map(|drop| share(*drop)).collect(),
            weight_decay: size.weight_decay,
            crop_pad: size.crop_pad,
            mirrors: size.mirrors,
            decay_in_clean_gradient: size.decay_in_clean_gradient,
            not_finite: options.not_finite,
            route: options.route,
            seed,
            fingerprints: [train, &data.clean, &data.test]
                .map(|set| Examples::from(set).fingerprint()),
            deviations: spoiling.deviations(),
        };
        Ok(Self { config, data, network, size })
    }

    /// The training set of a method, the trusted images alone apart.
    pub fn train(&self, recipe: &Recipe) -> Result<&Marked> {
        match &self.data.whole {
            Some(whole) if !self.uses_clean_set(recipe)? => Ok(whole),
            _ => Ok(&self.data.train),
        }
    }

    /// Steps of a method's main phase.
    pub fn steps(&self, recipe: &Recipe) -> Result<u64> {
        let config = &self.config;
        Ok(match recipe.clean_only {
            true => config.clean_only_steps,
            false if self.uses_clean_set(recipe)? => config.reweighting_steps,
            false => config.steps,
        })
    }

    /// Training images of a step of a method. The official code for Figure 2 mines hard examples in
    /// five times as many.
    fn batch(&self, recipe: &Recipe) -> usize {
        let batch = self.config.batch;
        match self.config.spoiling {
            _ if recipe.clean_only => batch.min(self.data.clean.len()),
            Spoiling::TwoDigits { .. } if recipe.method == "hard-mining" => {
                (5 * batch).min(self.data.train.set.len())
            }
            _ => batch,
        }
    }

    /// Training images of each class, by the labels as given.
    pub fn class_sizes(&self) -> Vec<usize> {
        let train = &self.data.train.set;
        let mut sizes = vec![0; train.classes()];
        for label in &train.labels {
            sizes[*label as usize] += 1;
        }
        sizes
    }

    /// For each class, the share of its labels that are right.
    fn label_correct(&self) -> Vec<f64> {
        let train = &self.data.train;
        let mut counts = vec![(0.0, 0.0); train.set.classes()];
        for (label, truth) in train.set.labels.iter().zip(&train.true_labels) {
            let (right, all) = &mut counts[*label as usize];
            *right += f64::from(u8::from(label == truth));
            *all += 1.0;
        }
        counts.into_iter().map(|(right, all)| if all > 0.0 { right / all } else { 0.0 }).collect()
    }

    fn uses_clean_set(&self, recipe: &Recipe) -> Result<bool> {
        let mentor = Mentor::untrained(self.config.seed.into());
        Ok(self.weighting(recipe, None, mentor)?.uses_clean_set())
    }

    fn weighting(
        &self,
        recipe: &Recipe,
        plain: Option<&Plain>,
        mentor: Mentor,
    ) -> Result<Weighting> {
        let config = &self.config;
        let classes = self.network.classes();
        let setup = Setup {
            route: config.route.map(|route| match route {
                Route::Tangent => plan::Route::Tangent,
                Route::PerLayer => plan::Route::PerLayer,
            }),
            decay_in_clean_gradient: config.decay_in_clean_gradient,
            steps: config.steps,
            label_correct: Some(self.label_correct()),
            confusion: Some(match plain {
                Some(plain) => plain.confusion.clone(),
                None => vec![1.0; classes * classes],
            }),
            mentor: Some(mentor),
        };
        Ok(weighting::by_name(&recipe.method, &setup)?)
    }

    /// Options of one method's trainer. `plain` is what S-Model+Conf and the data-driven MentorNet
    /// start from; without it, they start from nothing. `None` once `stop` is requested.
    fn trainer_options(
        &self,
        recipe: &Recipe,
        plain: Option<&Plain>,
        stop: &Stop,
    ) -> Result<Option<TrainerOptions>> {
        let config = &self.config;
        let Some(mentor) = self.mentor(recipe, plain, stop) else { return Ok(None) };
        let weighting = self.weighting(recipe, plain, mentor)?;
        let channels = self.data.train.set.channels;
        let [mean, deviation] = self.size.pixels;
        Ok(Some(TrainerOptions {
            batch: self.batch(recipe),
            clean_batch: config.clean_batch,
            schedule: Schedule::tenths(config.learning_rate, config.drops.iter().copied()),
            weight_decay: config.weight_decay,
            crop_pad: config.crop_pad,
            flip: config.mirrors,
            mean: vec![mean; channels],
            deviation: vec![deviation; channels],
            seed: config.seed,
            not_finite: config.not_finite,
            ..TrainerOptions::cifar(weighting)
        }))
    }

    /// MentorNet's network, trained where it is asked for; `None` once `stop` is requested.
    fn mentor(&self, recipe: &Recipe, plain: Option<&Plain>, stop: &Stop) -> Option<Mentor> {
        let seed = self.config.seed.into();
        let samples = plain.filter(|_| recipe.method == "mentornet-dd").map(|plain| &plain.samples);
        match samples.filter(|samples| !samples.is_empty()) {
            Some(samples) => Mentor::fit_while(samples, 30_000, seed, || !stop.requested()),
            None => Some(Mentor::untrained(seed)),
        }
    }

    /// A trainer for one method, with everything on the device; `None` once `stop` is requested.
    pub fn trainer(
        &self,
        context: &Context,
        recipe: &Recipe,
        plain: Option<&Plain>,
        stop: &Stop,
    ) -> Result<Option<Trainer>> {
        let Some(options) = self.trainer_options(recipe, plain, stop)? else { return Ok(None) };
        let clean = Examples::from(&self.data.clean);
        let train = if recipe.clean_only { clean } else { (&self.train(recipe)?.set).into() };
        Ok(Some(stop.team().trainer(context, &self.network, train, Some(clean), &options)?))
    }

    /// A trainer on other images, at a learning rate of 0: it weighs them and learns nothing.
    /// `None` once `stop` is requested.
    pub fn weigher(
        &self,
        context: &Context,
        recipe: &Recipe,
        (set, stop): (&Dataset, &Stop),
    ) -> Result<Option<Trainer>> {
        let Some(options) = self.trainer_options(recipe, None, stop)? else { return Ok(None) };
        let options = TrainerOptions {
            batch: options.batch.min(set.len()),
            schedule: Schedule::constant(0.0),
            crop_pad: 0,
            flip: false,
            ..options
        };
        let clean = Examples::from(&self.data.clean);
        let set = set.into();
        Ok(Some(stop.team().trainer(context, &self.network, set, Some(clean), &options)?))
    }

    /// A trainer for fine-tuning on the trusted images, at the last learning rate; `None` once
    /// `stop` is requested.
    pub fn fine_tuner(&self, context: &Context, stop: &Stop) -> Result<Option<Trainer>> {
        let only: Recipe = Recipe::CLEAN_ONLY.parse().map_err(anyhow::Error::msg)?;
        let Some(options) = self.trainer_options(&only, None, stop)? else { return Ok(None) };
        let rate = options.schedule.rate(self.config.steps);
        let options = TrainerOptions { schedule: Schedule::constant(rate), ..options };
        let clean = (&self.data.clean).into();
        Ok(Some(stop.team().trainer(context, &self.network, clean, None, &options)?))
    }
}
