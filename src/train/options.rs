//! Options of a training run.

use super::{NotFinite, Schedule, TrainError};
use crate::nn::{Frozen, Network};
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
    /// Layers that stay as they are ([`Network::freeze`]); none of them by default.
    pub frozen: Frozen,
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
            frozen: Frozen::default(),
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

    /// The network with the layers that these options freeze.
    pub(super) fn frozen_in(&self, network: &Network) -> Result<Network, TrainError> {
        network.freeze(&self.frozen).map_err(|error| TrainError::Option {
            option: "frozen",
            value: error.to_string(),
            allowed: "names of layers, whole or up to a dot, that leave something to learn",
        })
    }

    pub(super) fn check(&self, channels: usize) -> Result<(), TrainError> {
        ensure("batch", self.batch > 0, self.batch, "at least 1")?;
        let clean = self.clean_batch > 0 || !self.weighting.uses_clean_set();
        ensure("clean_batch", clean, self.clean_batch, "at least 1")?;
        self.schedule.check()?;
        self.check_optimizer()?;
        let decay = self.weight_decay;
        ensure("weight_decay", is_magnitude(decay), decay, "finite and at least 0")?;
        let means = self.mean.len() == channels && self.mean.iter().all(|mean| mean.is_finite());
        ensure("mean", means, format!("{:?}", self.mean), "a finite number for each channel")?;
        let positive = |deviation: &f32| *deviation > 0.0 && deviation.is_finite();
        let deviations = self.deviation.len() == channels && self.deviation.iter().all(positive);
        let allowed = "a finite number above 0 for each channel";
        ensure("deviation", deviations, format!("{:?}", self.deviation), allowed)
    }

    fn check_optimizer(&self) -> Result<(), TrainError> {
        let (fits, allowed) = match self.optimizer {
            Optimizer::Sgd { momentum, .. } => (is_share(momentum), "SGD with 0 <= momentum < 1"),
            Optimizer::AdamW { beta1, beta2, epsilon } => (
                is_share(beta1) && is_share(beta2) && is_magnitude(epsilon),
                "AdamW with 0 <= beta < 1 and a finite epsilon >= 0",
            ),
        };
        ensure("optimizer", fits, format!("{:?}", self.optimizer), allowed)
    }
}

/// Refuses the value of an option.
pub(super) fn ensure(
    option: &'static str,
    fits: bool,
    value: impl ToString,
    allowed: &'static str,
) -> Result<(), TrainError> {
    match fits {
        true => Ok(()),
        false => Err(TrainError::Option { option, value: value.to_string(), allowed }),
    }
}

/// Whether a number is finite and at least 0.
pub(super) fn is_magnitude(value: f32) -> bool {
    value >= 0.0 && value.is_finite()
}

/// Whether a number is at least 0 and below 1.
fn is_share(value: f32) -> bool {
    (0.0..1.0).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::Uniform;

    /// An option, a value that it must not have, and a way to give it that.
    type Wrong = (&'static str, &'static str, fn(&mut TrainerOptions));

    #[test]
    fn what_an_option_must_not_be_is_refused_by_its_name_and_value() {
        fn adamw(beta1: f32, beta2: f32, epsilon: f32) -> Optimizer {
            Optimizer::AdamW { beta1, beta2, epsilon }
        }
        fn sgd(momentum: f32) -> Optimizer {
            Optimizer::Sgd { momentum, nesterov: false }
        }
        const NAN: f32 = f32::NAN;
        const INFINITE: f32 = f32::INFINITY;
        let wrong: &[Wrong] = &[
            ("batch", "0", |o| o.batch = 0),
            ("clean_batch", "0", |o| o.clean_batch = 0),
            ("schedule.initial", "NaN", |o| o.schedule.initial = NAN),
            ("schedule.initial", "inf", |o| o.schedule.initial = INFINITE),
            ("schedule.initial", "-0.1", |o| o.schedule.initial = -0.1),
            ("schedule.drops", "NaN", |o| o.schedule.drops = vec![(1, 0.5), (7, NAN)]),
            ("schedule.drops", "-2", |o| o.schedule.drops = vec![(7, -2.0)]),
            ("schedule.drops", "inf", |o| o.schedule.drops = vec![(7, INFINITE)]),
            ("schedule.drops", "000", |o| o.schedule.drops = vec![(7, 1e30), (8, 1e30)]),
            ("weight_decay", "NaN", |o| o.weight_decay = NAN),
            ("weight_decay", "-1", |o| o.weight_decay = -1.0),
            ("weight_decay", "inf", |o| o.weight_decay = INFINITE),
            ("optimizer", "NaN", |o| o.optimizer = sgd(NAN)),
            ("optimizer", "1.0", |o| o.optimizer = sgd(1.0)),
            ("optimizer", "-0.5", |o| o.optimizer = sgd(-0.5)),
            ("optimizer", "NaN", |o| o.optimizer = adamw(NAN, 0.9, 0.0)),
            ("optimizer", "1.0", |o| o.optimizer = adamw(0.9, 1.0, 0.0)),
            ("optimizer", "-1.0", |o| o.optimizer = adamw(0.9, 0.9, -1.0)),
            ("optimizer", "inf", |o| o.optimizer = adamw(0.9, 0.9, INFINITE)),
            ("mean", "[0.5]", |o| o.mean = vec![0.5]),
            ("mean", "NaN", |o| o.mean[1] = NAN),
            ("mean", "inf", |o| o.mean[2] = INFINITE),
            ("deviation", "[]", |o| o.deviation = vec![]),
            ("deviation", "0.0", |o| o.deviation[0] = 0.0),
            ("deviation", "-1.0", |o| o.deviation[0] = -1.0),
            ("deviation", "NaN", |o| o.deviation[0] = NAN),
            ("deviation", "inf", |o| o.deviation[0] = INFINITE),
        ];
        for (name, text, spoil) in wrong {
            let mut options = TrainerOptions::cifar(L2rw::default());
            assert!(options.check(3).is_ok());
            spoil(&mut options);
            match options.check(3) {
                Err(TrainError::Option { option, value, allowed }) => {
                    assert_eq!(option, *name, "{text}");
                    assert!(value.contains(text) && !allowed.is_empty(), "{name}: {value}");
                }
                other => panic!("{name} {text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_stands_still_is_allowed() {
        let mut options = TrainerOptions::cifar(Uniform);
        options.clean_batch = 0;
        options.schedule = Schedule { initial: 0.0, drops: vec![(3, 0.0), (5, 2.0)] };
        options.weight_decay = 0.0;
        options.optimizer = Optimizer::PLAIN;
        assert!(options.check(3).is_ok());
    }
}
