//! Numbers that are not finite: what to do about them, and what is said of them.

use std::str::FromStr;

use serde::Serialize;

use super::{StepReport, TrainError};
use crate::nn::{Network, Vector};
use crate::ops::not_finite::{Quantity, STEP_SLOT, place};

/// What a step does when a loss, a similarity, a gradient, a parameter or a running statistic is
/// not finite. In no case do parameters follow such a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotFinite {
    /// The parameters stay as they were before the first such step, and its report is an error
    /// ([`TrainError::NotFinite`]), a few steps later at most. [`Model::load`](super::Model::load)
    /// and [`restore`](super::Model::restore) end this state.
    #[default]
    Stop,
    /// The step is left out, and its report says so ([`StepReport::not_finite`]). Schedules and
    /// AdamW's corrections count it.
    SkipStep,
    /// Examples with f32 images that are not finite are left out of their batch: loss, gradient, u
    /// and weight are 0, and BatchNorm sees zeros. Everything else as with
    /// [`SkipStep`](Self::SkipStep).
    DropExample,
}

impl FromStr for NotFinite {
    type Err = TrainError;

    /// From `stop`, `skip-step` or `drop-example`.
    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "stop" => Ok(Self::Stop),
            "skip-step" => Ok(Self::SkipStep),
            "drop-example" => Ok(Self::DropExample),
            _ => Err(TrainError::Option {
                option: "not_finite",
                value: text.to_owned(),
                allowed: "stop, skip-step or drop-example",
            }),
        }
    }
}

/// What was not finite in a step, each with its first place: of losses and u in the batch, of
/// everything else in its flat vector.
pub(super) fn findings(words: &[u32]) -> Vec<(Quantity, u32)> {
    Quantity::ALL.into_iter().filter_map(|q| Some((q, q.first(words)?))).collect()
}

/// The error of a report whose step found something; `words` are the plan's `not_finite`.
pub(super) fn error(network: &Network, words: &[u32], report: &StepReport) -> TrainError {
    let first = words.get(STEP_SLOT).and_then(|word| place(*word));
    // The step's number on the device has 32 bits.
    let behind = first.map_or(0, |first| (report.step as u32).wrapping_sub(first));
    let what = |(quantity, place): &(Quantity, u32)| describe(network, *quantity, *place, report);
    let found: Vec<String> = report.not_finite.iter().map(what).collect();
    TrainError::NotFinite { step: report.step - u64::from(behind), what: found.join("; ") }
}

fn describe(network: &Network, quantity: Quantity, place: u32, report: &StepReport) -> String {
    let parameter = |what: &str| match tensor_at(network, Vector::Parameters, place) {
        Some(name) => format!("{what} of {name}"),
        None => format!("{what} at {place}"),
    };
    match quantity {
        Quantity::Loss => examples("the loss", "training", &report.losses, place),
        Quantity::Similarity => examples("u", "training", &report.similarities, place),
        Quantity::CleanLoss => examples("the loss", "clean", &report.clean_losses, place),
        Quantity::Gradient => parameter("the gradient"),
        Quantity::Parameter => parameter("a parameter"),
        Quantity::RunningStatistic => match tensor_at(network, Vector::Running, place) {
            Some(name) => format!("a running statistic, {name}"),
            None => format!("a running statistic at {place}"),
        },
        Quantity::MethodGradient => "the gradient of what the weighting method learns".into(),
    }
}

/// Name of the tensor of a flat vector that holds a place.
fn tensor_at(network: &Network, vector: Vector, place: u32) -> Option<String> {
    let holds = |first: usize, len: usize| (first..first + len).contains(&(place as usize));
    let state = network.state_dict();
    let mut tensors = state.into_iter().filter(|tensor| tensor.vector == vector);
    tensors
        .find(|t| t.offset.is_some_and(|first| holds(first, t.shape.iter().product())))
        .map(|tensor| tensor.name)
}

/// Which examples of a batch, by their place in it: the first few, and how many in all.
fn examples(what: &str, batch: &str, values: &[f32], first: u32) -> String {
    const SHOWN: usize = 5;
    let bad = values.iter().enumerate().filter(|(_, value)| !value.is_finite());
    let places: Vec<usize> = bad.map(|(place, _)| place).collect();
    // Later runs have overwritten what the first one found, or it came back finite.
    if !places.contains(&(first as usize)) {
        return format!("{what} of {batch} example {first} of the batch");
    }
    let shown: Vec<String> = places.iter().take(SHOWN).map(usize::to_string).collect();
    let more = if places.len() > SHOWN { ", …" } else { "" };
    let count = format!("{} of {}", places.len(), values.len());
    format!("{what} of {count} {batch} examples of the batch ({}{more})", shown.join(", "))
}
