//! How networks are trained here: options that commands share, and the loop over steps that can be
//! stopped and taken up again.

use std::ops::RangeInclusive;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use l2rw::data::Dataset;
use l2rw::gpu::{Context, GpuError};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::report::StepView;
use l2rw::train::{
    CheckpointSeries, Evaluation, Examples, HostState, Model, NotFinite, Schedule, StepReport,
    TrainError, Trainer, TrainerOptions,
};
use l2rw::weighting::{ClassFactors, ClassWeighted, LabelSmoothing, Uniform, Weighting};
use serde_json::{Value, json};

use crate::common::{Stop, Team};

/// Options of a network and its training.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
pub struct TrainingOptions {
    /// Network, e.g. lenet5, resnet8-w8, resnet20-gn8 [default: lenet5 for grey pictures,
    /// resnet8-w8 for others, mlp for features]
    #[arg(long)]
    pub model: Option<String>,
    /// Training steps [default: 400 for pictures, of which an audit takes no more than 20 passes
    /// over them; four passes over features, from 100 to 300 steps]
    #[arg(long)]
    steps: Option<u64>,
    /// Training examples of a step [default: an eighth of all, from 20 to 100, or as many as fit
    /// the device]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Trusted examples of a step [default: 20, or all if there are fewer]: few make a step cheaper
    #[arg(long)]
    pub clean_batch: Option<usize>,
    /// Learning rate of AdamW
    #[arg(long, default_value_t = 0.003, allow_negative_numbers = true)]
    pub learning_rate: f32,
    /// Pixels by which pictures are shifted at random, at most; 0 for none
    #[arg(long, value_name = "PIXELS", default_value_t = 2)]
    pub shift: usize,
    /// Mirror half of the pictures. Not for what has a left and a right: digits, letters, signs,
    /// arrows
    #[arg(long)]
    pub mirror: bool,
    /// Share of each training target that all classes divide equally
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub label_smoothing: f64,
    /// What the examples of a class count for: `balanced`, so that all classes count the same, or a
    /// factor for each class in their order, separated by commas. Weights are multiplied by it
    #[arg(long, value_name = "FACTORS", value_parser = class_factors)]
    pub class_weights: Option<ClassFactors>,
    /// What is done about a step with a number that is not finite: stop or skip-step
    #[arg(long, default_value = "stop", value_name = "POLICY")]
    pub not_finite: NotFinite,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
}

fn class_factors(text: &str) -> Result<ClassFactors> {
    if text == "balanced" {
        return Ok(ClassFactors::Balanced);
    }
    let factor = |text: &str| match text.trim().parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor >= 0.0 => Ok(factor),
        _ => Err(anyhow!("'{text}' is no factor: write balanced, or a number for each class")),
    };
    Ok(ClassFactors::Given(text.split(',').map(factor).collect::<Result<_>>()?))
}

/// Examples of a step where the user does not say: a share of the data, since with more of it a
/// small set would be gone through hundreds of times.
const BATCH: RangeInclusive<usize> = 20..=100;
const BATCHES: usize = 8;
const CLEAN_BATCH: usize = 20;
/// An MLP has learned some thousands of features within a few passes, and after some more their
/// wrong labels as well; convolutions take more passes for either.
const FEATURE_PASSES: usize = 4;
const FEATURE_STEPS: RangeInclusive<u64> = 100..=300;
const PICTURE_PASSES: usize = 20;
const PICTURE_STEPS: RangeInclusive<u64> = 100..=400;
const EVALUATED: usize = 200;

impl TrainingOptions {
    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        ensure!(self.steps != Some(0), "--steps must be at least 1");
        ensure!(self.batch != Some(0), "--batch must be at least 1");
        ensure!(self.clean_batch != Some(0), "--clean-batch must be at least 1");
        let smoothing = self.label_smoothing;
        let fits = (0.0..1.0).contains(&smoothing);
        ensure!(fits, "--label-smoothing {smoothing} is not at least 0 and below 1");
        let rate = self.learning_rate;
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate {rate} is not above 0");
        Ok(())
    }

    /// All that decides the outcome.
    pub fn config(&self) -> Value {
        let mut config = json!({
            "model": self.model,
            "steps": self.steps,
            "batch": self.batch,
            "clean_batch": self.clean_batch,
            "learning_rate": self.learning_rate.to_string(),
            "shift": self.shift,
            "mirror": self.mirror,
            "not_finite": self.not_finite,
            "label_smoothing": self.label_smoothing,
            "seed": self.seed,
        });
        if let Some(factors) = &self.class_weights {
            config["class_weights"] = json!(format!("{factors:?}"));
        }
        config
    }

    /// Steps of a training.
    pub fn steps(&self, set: &Dataset) -> u64 {
        self.steps.unwrap_or_else(|| match set.values.as_floats() {
            Some(_) => passes(FEATURE_PASSES, set.len(), self.batch(set), FEATURE_STEPS),
            None => *PICTURE_STEPS.end(),
        })
    }

    /// Steps of each training of an audit, which ends before the network knows wrong labels by
    /// heart.
    pub fn audit_steps(&self, set: &Dataset) -> u64 {
        let most = || passes(PICTURE_PASSES, set.len(), self.batch(set), PICTURE_STEPS);
        let default = || self.steps(set).min(most());
        self.steps.unwrap_or_else(default)
    }

    /// Examples of a step.
    pub fn batch(&self, set: &Dataset) -> usize {
        self.batch.unwrap_or_else(|| default_batch(set.len())).min(set.len())
    }

    /// Name in the zoo of the network that they ask for.
    pub fn network_name(&self, set: &Dataset) -> &str {
        let default = match (set.values.as_floats(), set.channels) {
            (Some(_), _) => "mlp",
            (None, 1) => "lenet5",
            (None, _) => "resnet8-w8",
        };
        self.model.as_deref().unwrap_or(default)
    }

    /// The network.
    pub fn network(&self, set: &Dataset) -> Result<Network> {
        let shape = Shape::new(set.height, set.width, set.channels);
        let name = self.network_name(set);
        Ok(zoo::by_name(name, shape, set.classes(), Normalisation::batch())?)
    }

    /// How it is trained for `steps` steps with `trusted` trusted examples.
    pub fn trainer(&self, set: &Dataset, trusted: usize, steps: u64) -> TrainerOptions {
        let plain = match set.values.as_floats() {
            Some(_) => TrainerOptions::features(set.channels).standardised_by(set),
            None => TrainerOptions {
                crop_pad: self.shift,
                flip: self.mirror,
                ..TrainerOptions::plain(set.channels)
            },
        };
        TrainerOptions {
            batch: self.batch(set),
            clean_batch: self.clean_batch.unwrap_or(CLEAN_BATCH).min(trusted),
            schedule: Schedule::tenths(self.learning_rate, [steps * 4 / 5]),
            seed: self.seed,
            not_finite: self.not_finite,
            weighting: self.adjusted(plain.weighting.clone()),
            ..plain
        }
    }

    /// The same without learned weights and trusted examples.
    pub fn plain_trainer(&self, set: &Dataset, steps: u64) -> TrainerOptions {
        let weighting = self.adjusted(Uniform.into());
        TrainerOptions { weighting, ..self.trainer(set, 0, steps) }
    }

    /// A way to weight examples, with the smoothed targets and the factors of classes that the user
    /// may have asked for.
    pub fn adjusted(&self, of: Weighting) -> Weighting {
        let of = match self.label_smoothing {
            0.0 => of,
            smoothing => LabelSmoothing { smoothing, of }.into(),
        };
        match &self.class_weights {
            None => of,
            Some(factors) => ClassWeighted { factors: factors.clone(), of }.into(),
        }
    }

    /// What is done to pictures in training, for people.
    pub fn augmentation(&self, set: &Dataset) -> Option<String> {
        set.values.as_bytes()?;
        let shift = match self.shift {
            0 => "not shifted".to_owned(),
            pixels => format!("shifted by up to {pixels} pixels (--shift)"),
        };
        let mirror = if self.mirror { "half of them mirrored" } else { "not mirrored (--mirror)" };
        Some(format!("in training, pictures are {shift}, {mirror}"))
    }

    /// A trainer, with a smaller batch than `options` say where that does not fit the device and
    /// the user has not asked for it.
    pub fn fitting(
        &self,
        context: &Context,
        network: &Network,
        (set, clean): (Examples<'_>, Option<Examples<'_>>),
        (options, team): (&mut TrainerOptions, &Team),
    ) -> Result<Trainer> {
        let asked = self.batch.is_some();
        loop {
            match team.trainer(context, network, set, clean, options) {
                Err(error) if is_too_large(&error) && !asked && options.batch > 1 => {
                    options.batch = options.batch.div_ceil(2);
                    options.clean_batch = options.clean_batch.min(options.batch);
                    log::info!("{error}: {} examples a step are tried", options.batch);
                }
                trainer => return Ok(trainer?),
            }
        }
    }
}

fn default_batch(examples: usize) -> usize {
    (examples / BATCHES).clamp(*BATCH.start(), *BATCH.end())
}

/// Steps of so many passes over all examples, within bounds.
fn passes(passes: usize, examples: usize, batch: usize, bounds: RangeInclusive<u64>) -> u64 {
    let steps = (passes * examples).div_ceil(batch.max(1)) as u64;
    steps.clamp(*bounds.start(), *bounds.end())
}

fn is_too_large(error: &TrainError) -> bool {
    let TrainError::Gpu(error) = error else { return false };
    matches!(error, GpuError::TensorTooLarge { .. } | GpuError::DispatchTooLarge { .. })
}

/// An evaluation in batches that fit the device.
pub fn evaluation(model: &Model, set: Examples<'_>) -> Result<Evaluation> {
    with_batch_that_fits(EVALUATED, |batch| model.evaluation(set, batch))
}

/// What `make` makes of `batch` examples at a time, or of fewer where so many do not fit the
/// device.
pub fn with_batch_that_fits<T>(
    mut batch: usize,
    mut make: impl FnMut(usize) -> Result<T, TrainError>,
) -> Result<T> {
    loop {
        match make(batch) {
            Err(error) if is_too_large(&error) && batch > 1 => batch = batch.div_ceil(2),
            made => return Ok(made?),
        }
    }
}

/// What a command keeps of a run beside the model.
pub trait Account {
    /// For a checkpoint.
    fn state(&self) -> Result<HostState>;
    /// Takes the report of a step.
    fn report(&mut self, report: &StepReport) -> Result<()>;
    /// Looks at the model after a step.
    fn after(&mut self, step: u64) -> Result<()>;
    /// Where the seconds of training are added up.
    fn seconds(&mut self) -> &mut f64;
}

/// A run of so many steps, which is saved on the way.
pub struct Steps<'a> {
    /// What it is called on the screen and in the log.
    pub name: &'a str,
    /// Steps of the run.
    pub steps: u64,
    /// Number of its first step among those of the whole series of runs.
    pub first: u64,
    /// Steps from one checkpoint to the next.
    pub every: u64,
    /// Where they are.
    pub series: &'a CheckpointSeries,
    pub stop: &'a Stop,
}

impl Steps<'_> {
    /// Trains to the end; whether it got there, or a stop was requested. There is a checkpoint of
    /// either.
    pub fn take(&self, trainer: &mut Trainer, account: &mut impl Account) -> Result<bool> {
        let mut bar = self.stop.team().progress(self.name, self.steps);
        for step in trainer.steps() + 1..=self.steps {
            let started = Instant::now();
            if let Some(report) = trainer.step()? {
                account.report(&report)?;
                bar.update(step, &view(&report, step, *account.seconds()));
            }
            log::debug!("{} step {}", self.name, self.first + step);
            let last = step == self.steps;
            let stopped = self.stop.requested() && !last;
            let due = stopped || last || step % self.every == 0;
            while let Some(report) = due.then(|| trainer.take_report(true)).transpose()?.flatten() {
                account.report(&report)?;
            }
            account.after(step)?;
            *account.seconds() += started.elapsed().as_secs_f64();
            if due {
                let (number, model) = (self.first + step, trainer.model());
                let save = || Ok(self.series.save(number, model, &account.state()?)?);
                self.stop.team().on_first(save)?;
            }
            if stopped {
                return Ok(false);
            }
        }
        bar.finish();
        Ok(true)
    }
}

/// Says how many steps were left out, if any.
pub fn say_skipped(steps: u64) {
    if steps > 0 {
        println!("{steps} steps were left out: a number in them was not finite");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sets_get_small_batches() {
        assert_eq!([1, 268, 799, 800, 50_000].map(default_batch), [20, 33, 99, 100, 100]);
    }

    #[test]
    fn features_are_gone_through_four_times() {
        let steps = |examples| passes(FEATURE_PASSES, examples, 100, FEATURE_STEPS);
        assert_eq!([100, 2580, 50_000].map(steps), [100, 104, 300]);
    }

    #[test]
    fn an_audit_goes_through_few_pictures_twenty_times() {
        let steps =
            |examples| passes(PICTURE_PASSES, examples, default_batch(examples), PICTURE_STEPS);
        assert_eq!([1, 60, 300, 400, 1_500, 4_900].map(steps), [100, 100, 163, 160, 300, 400]);
    }
}
