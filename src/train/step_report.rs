//! What a step reports, and what is read back for it.

use super::exchanges::WhichBatch;
use super::not_finite::findings;
use crate::gpu::TensorId;
use crate::nn::Network;
use crate::ops::not_finite::Quantity;
use crate::plan::Plan;

/// What one step did, read back some steps later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The step, counted from 0.
    pub step: u64,
    /// Place of each training example in its set, `[n]`; empty where batches were supplied.
    pub indices: Vec<u32>,
    /// Its loss before the step.
    pub losses: Vec<f32>,
    /// The class with the largest score before the step.
    pub predictions: Vec<u32>,
    /// w, `[n]`.
    pub weights: Vec<f32>,
    /// u, `[n]`; empty in plain training.
    pub similarities: Vec<f32>,
    /// The same for the clean batch, `[m]`; empty in plain training.
    pub clean_indices: Vec<u32>,
    /// Losses of the clean examples.
    pub clean_losses: Vec<f32>,
    /// Predictions for the clean examples.
    pub clean_predictions: Vec<u32>,
    /// Places in the batch of training examples that did not count, since their label is none of
    /// the classes ([`Examples::IGNORED`](super::Examples::IGNORED)) or their values were not
    /// finite ([`NotFinite::DropExample`](super::NotFinite::DropExample)). Data sets have none.
    pub ignored: Vec<u32>,
    /// The same of the clean batch.
    pub clean_ignored: Vec<u32>,
    /// What was not finite, each with its first place: then the parameters stayed as they were.
    pub not_finite: Vec<(Quantity, u32)>,
}

impl StepReport {
    /// Mean loss of the examples of the training batch that count.
    pub fn loss(&self) -> f64 {
        let sum: f64 = self.losses.iter().map(|loss| f64::from(*loss)).sum();
        sum / self.losses.len().saturating_sub(self.ignored.len()).max(1) as f64
    }

    /// From the words that were read back, field by field.
    pub(super) fn of(step: u64, fields: &[(Field, usize)], words: &[u32]) -> Self {
        let mut report = Self { step, ..Self::default() };
        let mut rest = words;
        for &(field, len) in fields {
            let (words, after) = rest.split_at(len);
            rest = after;
            let beyond = |classes| places_of(words, |label| label >= classes);
            let floats = || words.iter().map(|word| f32::from_bits(*word)).collect();
            match field {
                Field::Indices => report.indices = words.to_vec(),
                Field::Losses => report.losses = floats(),
                Field::Predictions => report.predictions = words.to_vec(),
                Field::Weights => report.weights = floats(),
                Field::Similarities => report.similarities = floats(),
                Field::CleanIndices => report.clean_indices = words.to_vec(),
                Field::CleanLosses => report.clean_losses = floats(),
                Field::Labels { classes } => report.ignored = beyond(classes),
                Field::CleanLabels { classes } => report.clean_ignored = beyond(classes),
                Field::NotFinite => report.not_finite = findings(words),
                Field::CleanPredictions => report.clean_predictions = words.to_vec(),
            }
        }
        report
    }

    /// Whether the step was left out since something was not finite.
    pub fn is_skipped(&self) -> bool {
        !self.not_finite.is_empty()
    }

    /// Whether no example helped and the step was decay and momentum only.
    pub fn is_zero_weight(&self) -> bool {
        !self.is_skipped() && self.weights.iter().all(|w| *w == 0.0)
    }
}

fn places_of(words: &[u32], is_one: impl Fn(u32) -> bool) -> Vec<u32> {
    (0..).zip(words).filter(|(_, word)| is_one(**word)).map(|(place, _)| place).collect()
}

/// A part of a report.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Indices,
    Losses,
    Predictions,
    Weights,
    Similarities,
    CleanIndices,
    CleanLosses,
    CleanPredictions,
    NotFinite,
    /// Of batches from outside, to see which examples count.
    Labels {
        classes: u32,
    },
    CleanLabels {
        classes: u32,
    },
}

impl Field {
    /// The batch with a number of which for each example it is filled, if it is.
    pub fn batch(self) -> Option<WhichBatch> {
        match self {
            Self::Indices
            | Self::Losses
            | Self::Predictions
            | Self::Weights
            | Self::Similarities
            | Self::Labels { .. } => Some(WhichBatch::Train),
            Self::CleanIndices
            | Self::CleanLosses
            | Self::CleanPredictions
            | Self::CleanLabels { .. } => Some(WhichBatch::Clean),
            Self::NotFinite => None,
        }
    }
}

/// What is read back after each step, in order.
pub(super) fn report_fields(plan: &Plan, network: &Network) -> Vec<(Field, TensorId)> {
    let classes = network.classes() as u32;
    // Those of data sets have been checked.
    let is_given = plan.train.indices.is_none();
    let given_labels = |name| plan.recording.find(name).filter(|_| is_given);
    let mut fields = vec![
        (Field::NotFinite, plan.not_finite),
        (Field::Losses, plan.train.losses),
        (Field::Predictions, plan.train.predictions),
        (Field::Weights, plan.weights),
    ];
    let labels = given_labels("train/labels");
    fields.extend(labels.map(|id| (Field::Labels { classes }, id)));
    fields.extend(plan.train.indices.map(|id| (Field::Indices, id)));
    fields.extend(plan.similarities.map(|id| (Field::Similarities, id)));
    if let Some(clean) = &plan.clean {
        fields.push((Field::CleanLosses, clean.losses));
        fields.push((Field::CleanPredictions, clean.predictions));
        fields.extend(clean.indices.map(|id| (Field::CleanIndices, id)));
        let labels = given_labels("clean/labels");
        fields.extend(labels.map(|id| (Field::CleanLabels { classes }, id)));
    }
    fields
}
