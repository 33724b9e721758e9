//! Two trainings on the same noisy labels: plain, and with learned weights.

use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::{Normalisation, Shape, zoo::ResNet};
use l2rw::train::{Evaluation, Examples, Trainer, TrainerOptions, WeightLedger};
use l2rw::weighting::{L2rw, Uniform};
use serde::Serialize;

use crate::data::Sets;
use crate::{Failure, Pictures, SIDE};

/// Bins of the histogram of weights.
const BINS: usize = 16;
/// Mean weight where the histogram ends, in units of 1/n; what is above counts as the last bin.
const LARGEST: f64 = 3.0;

/// Two trainings, step by step.
pub struct Session {
    sets: Sets,
    plain: Side,
    l2rw: Side,
    ledger: WeightLedger,
    /// By training example: how often the reweighted network saw it, and contradicted its label.
    seen: Vec<(u32, u32)>,
}

struct Side {
    trainer: Trainer,
    test: Evaluation,
}

/// What the page draws.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Steps of each training.
    pub step: u64,
    /// Share of the test pictures that plain training gets right.
    pub plain: f64,
    /// The same with learned weights.
    pub l2rw: f64,
    /// Share of examples with a right label by mean weight.
    pub right: Vec<f64>,
    /// The same of those with a wrong label.
    pub wrong: Vec<f64>,
    /// Labels that were made wrong, and all.
    pub labels: (usize, usize),
}

/// A label in doubt.
#[derive(Clone, Debug, Serialize)]
pub struct Suspect {
    /// Place among the pictures.
    pub place: usize,
    /// The label it has.
    pub label: u32,
    /// How doubtful it is, from 0 to 1.
    pub doubt: f64,
    /// Mean weight in units of 1/n.
    pub weight: f64,
    /// Whether the label was made wrong.
    pub wrong: bool,
    /// Place among the training examples, for [`Session::image`].
    pub index: usize,
}

impl Side {
    async fn new(
        context: &Context,
        sets: &Sets,
        options: &TrainerOptions,
    ) -> Result<Self, Failure> {
        let shape = Shape::new(SIDE, SIDE, 3);
        let net = ResNet::cifar(8, Normalisation::group(4))?.with_widths([8, 16, 32]);
        let network = net.build("resnet8", shape, sets.train.classes())?;
        let (train, clean) = (Examples::from(&sets.train), Examples::from(&sets.clean));
        let trainer = Trainer::new_async(context, &network, train, Some(clean), options).await?;
        let batch = sets.test.len().min(100);
        let test = trainer.model().evaluation_async((&sets.test).into(), batch).await?;
        Ok(Self { trainer, test })
    }

    async fn accuracy(&mut self, test: &Dataset) -> Result<f64, Failure> {
        let predicted = self.test.scores_async().await?.predictions;
        let right = predicted.iter().zip(&test.labels).filter(|(a, b)| a == b).count();
        Ok(right as f64 / test.len().max(1) as f64)
    }
}

impl Session {
    /// Prepares both trainings, which start from the same parameters.
    ///
    /// # Errors
    /// When the pictures do not suffice for the clean set, or the device refuses.
    pub async fn new(
        context: &Context,
        pictures: &Pictures,
        per_class: usize,
        noise: f64,
        seed: u32,
    ) -> Result<Self, Failure> {
        let sets = pictures.split(per_class, noise, seed.into())?;
        let batch = sets.train.len().min(64);
        let shared = TrainerOptions {
            batch,
            clean_batch: sets.clean.len().min(64),
            flip: false,
            crop_pad: 1,
            weight_decay: 1e-3,
            seed,
            ..TrainerOptions::plain(3)
        };
        let schedule = l2rw::train::Schedule::constant(3e-3);
        let shared = TrainerOptions { schedule, ..shared };
        let uniform = TrainerOptions { weighting: Uniform.into(), ..shared.clone() };
        let learned = TrainerOptions { weighting: L2rw::default().into(), ..shared };
        let plain = Side::new(context, &sets, &uniform).await?;
        let l2rw = Side::new(context, &sets, &learned).await?;
        let len = sets.train.len();
        let (ledger, seen) = (WeightLedger::new(len), vec![(0, 0); len]);
        Ok(Self { sets, plain, l2rw, ledger, seen })
    }

    /// Takes so many steps of each training and waits for them.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn steps(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            self.plain.trainer.step_async().await?;
            if let Some(report) = self.l2rw.trainer.step_async().await? {
                self.note(&report)?;
            }
        }
        while self.plain.trainer.take_report_async().await?.is_some() {}
        while let Some(report) = self.l2rw.trainer.take_report_async().await? {
            self.note(&report)?;
        }
        Ok(())
    }

    fn note(&mut self, report: &l2rw::train::StepReport) -> Result<(), Failure> {
        self.ledger.record(&report.indices, &report.weights)?;
        for (&index, &predicted) in report.indices.iter().zip(&report.predictions) {
            let label = self.sets.train.labels.get(index as usize);
            if let (Some(seen), Some(label)) = (self.seen.get_mut(index as usize), label) {
                *seen = (seen.0 + 1, seen.1 + u32::from(*label != predicted));
            }
        }
        Ok(())
    }

    /// Tests both networks.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn progress(&mut self) -> Result<Progress, Failure> {
        let (right, wrong) = self.histograms();
        Ok(Progress {
            step: self.l2rw.trainer.steps(),
            plain: self.plain.accuracy(&self.sets.test).await?,
            l2rw: self.l2rw.accuracy(&self.sets.test).await?,
            right,
            wrong,
            labels: (self.sets.wrong.iter().filter(|w| **w).count(), self.sets.wrong.len()),
        })
    }

    fn histograms(&self) -> (Vec<f64>, Vec<f64>) {
        let mut bins = [[0.0; BINS]; 2];
        for (index, wrong) in self.sets.wrong.iter().enumerate() {
            if let Some(weight) = self.ledger.mean(index) {
                let bin = (weight / LARGEST * BINS as f64) as usize;
                bins[usize::from(*wrong)][bin.min(BINS - 1)] += 1.0;
            }
        }
        let [right, wrong] = bins.map(|bins| {
            let total = bins.iter().sum::<f64>().max(1.0);
            bins.map(|count| count / total).to_vec()
        });
        (right, wrong)
    }

    /// The most doubtful labels, the worst first: low weights, and a network that contradicts.
    pub fn suspects(&self, most: usize) -> Vec<Suspect> {
        let suspect = |index: usize| {
            let (seen, against) = self.seen[index];
            let weight = self.ledger.mean(index)?;
            let contradicted = f64::from(against) / f64::from(seen.max(1));
            let doubt = 0.5 * contradicted + 0.5 / (1.0 + weight);
            let (label, wrong) = (self.sets.train.labels[index], self.sets.wrong[index]);
            Some(Suspect { place: self.sets.places[index], label, doubt, weight, wrong, index })
        };
        let mut all: Vec<Suspect> = (0..self.seen.len()).filter_map(suspect).collect();
        all.sort_by(|a, b| b.doubt.total_cmp(&a.doubt));
        all.truncate(most);
        all
    }

    /// A training picture, `[SIDE, SIDE, 3]`.
    pub fn image(&self, index: usize) -> &[u8] {
        self.sets.train.image(index).unwrap_or_default()
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.sets.train.class_names
    }
}
