//! Scores a labelled set with a model, as often as wanted.

use super::scorer::{Scorer, ScoringPlan};
use super::{Examples, Scores, TrainError};
use crate::gpu::{Context, DeviceTensors};
use crate::nn::Network;

/// A labelled set on the device, ready to be scored again and again.
#[derive(Debug)]
pub struct Evaluation {
    scorer: Scorer,
    len: usize,
}

impl Evaluation {
    /// `tensors` holds what the model consists of.
    pub(super) async fn new(
        context: &Context,
        network: &Network,
        mut tensors: DeviceTensors,
        set: Examples<'_>,
        batch: usize,
    ) -> Result<Self, TrainError> {
        set.check("evaluation", network.classes())?;
        set.check_finite("evaluation")?;
        let plan = ScoringPlan::new(context, network, set.device_shape(context), set.shape, batch)?;
        set.upload(context, "evaluation", &mut tensors).await?;
        let scorer = Scorer::new(context, plan, tensors).await?;
        Ok(Self { scorer, len: set.len() })
    }

    /// Predicted class and loss of every example, in order.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self) -> Result<(Vec<u32>, Vec<f32>), TrainError> {
        let scores = self.scores()?;
        Ok((scores.predictions, scores.losses))
    }

    /// Predictions, losses and class scores of every example, in order.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn scores(&mut self) -> Result<Scores, TrainError> {
        pollster::block_on(self.scores_async())
    }

    /// The same, awaited.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn scores_async(&mut self) -> Result<Scores, TrainError> {
        self.scorer.scores(self.len, Ok).await
    }
}
