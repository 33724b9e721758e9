//! Options of a training run.

use super::{NotFinite, Schedule, TrainError};
use crate::ops::Optimizer;
use crate::weighting::{L2rw, Weighting};

/// Options of a training run.
#[derive(Clone, Debug)]
pub struct TrainerOptions {
    /// n, the training examples of a step.
    pub batch: usize,
    /// m, the clean examples of a step.
    pub clean_batch: usize,
    /// How training examples are weighted.
    pub weighting: Weighting,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// How parameters follow the gradient.
    pub optimizer: Optimizer,
    /// λ: with SGD decaying parameters θ add λ·θ to their gradient, with AdamW they lose η·λ·θ.
    pub weight_decay: f32,
    /// Zero pixels around an image, from which a window of its size is cut at random; 0 for none.
    pub crop_pad: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// Mean of each channel of pixels in \[0, 1\].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub deviation: Vec<f32>,
    /// Seed of initial parameters, batches, augmentation and dropout.
    pub seed: u32,
    /// What happens when numbers are not finite.
    pub not_finite: NotFinite,
}

impl TrainerOptions {
    /// The official code's settings for CIFAR: n = m = 100, momentum 0.9, weight decay 0.0002,
    /// 2 pixels of padding, mirroring, pixels in [−1, 1]; learning rate 0.1 throughout.
    pub fn cifar(weighting: impl Into<Weighting>) -> Self {
        Self {
            batch: 100,
            clean_batch: 100,
            weighting: weighting.into(),
            schedule: Schedule::constant(0.1),
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
            weight_decay: 2e-4,
            crop_pad: 2,
            flip: true,
            mean: vec![0.5; 3],
            deviation: vec![0.5; 3],
            seed: 1,
            not_finite: NotFinite::default(),
        }
    }

    /// Plain settings for images of any kind with `channels` channels: learning to reweight,
    /// n = m = 100, AdamW with a learning rate of 0.001 and PyTorch's other defaults, pixels in
    /// [−1, 1], no augmentation.
    pub fn plain(channels: usize) -> Self {
        Self {
            schedule: Schedule::constant(1e-3),
            optimizer: Optimizer::ADAMW,
            weight_decay: 0.01,
            crop_pad: 0,
            flip: false,
            mean: vec![0.5; channels],
            deviation: vec![0.5; channels],
            ..Self::cifar(L2rw::default())
        }
    }

    pub(super) fn check(&self, channels: usize) -> Result<(), TrainError> {
        let positive = self.deviation.iter().all(|d| *d > 0.0);
        if self.mean.len() != channels || self.deviation.len() != channels || !positive {
            return Err(TrainError::Option {
                option: "mean and deviation",
                value: format!("{:?} and {:?}", self.mean, self.deviation),
                allowed: "one number a channel, deviations above 0",
            });
        }
        let in_range = |value: f32| (0.0..1.0).contains(&value);
        if let Optimizer::AdamW { beta1, beta2, epsilon } = self.optimizer
            && !(in_range(beta1) && in_range(beta2) && epsilon >= 0.0)
        {
            return Err(TrainError::Option {
                option: "optimizer",
                value: format!("{:?}", self.optimizer),
                allowed: "AdamW with 0 <= beta < 1 and epsilon >= 0",
            });
        }
        Ok(())
    }
}
