//! Options of a training run.

use super::{Examples, NotFinite, Schedule, TrainError};
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
    /// Pixels of zeros around an image, from which a window of its size is cut at random; 0 for
    /// none.
    pub crop_pad: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// Mean of each channel, of bytes divided by 255 or of floats as they are. Networks see each
    /// value less this, divided by `deviation`. Features are a channel each.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, above 0.
    pub deviation: Vec<f32>,
    /// Seed of initial parameters, batches, augmentation and dropout.
    pub seed: u32,
    /// What happens when numbers are not finite.
    pub not_finite: NotFinite,
    /// Whether BatchNorm normalises over the batch of all ranks of a
    /// [distributed](super::Trainer::distributed) trainer instead of over each rank's part of it.
    /// A trainer that trains alone does the same with either.
    pub synchronised_norm: bool,
    /// Bytes that the values of data sets may take on the device; what takes more is streamed from
    /// the host ([`Placement`](super::Placement)). `None` for as much as the device gives.
    pub device_data_limit: Option<u64>,
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
            synchronised_norm: false,
            device_data_limit: None,
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

    /// Plain settings for vectors of `width` features, which are taken as they are: mean 0,
    /// deviation 1. [`TrainerOptions::standardised_by`] brings them to one scale.
    pub fn features(width: usize) -> Self {
        Self { mean: vec![0.0; width], deviation: vec![1.0; width], ..Self::plain(width) }
    }

    /// The options with mean and deviation of each channel of `set`, of features of each column:
    /// what networks see has mean 0 and deviation 1 over the set. Computed in `f64`, the deviation
    /// over all values (divided by their number). A channel that does not vary gets deviation 1. Of
    /// a set without whole examples they stay as they are.
    #[must_use]
    pub fn standardised_by<'a>(self, set: impl Into<Examples<'a>>) -> Self {
        let Examples { values, shape, .. } = set.into();
        let channels = shape.channels;
        let count = values.len() / channels.max(1);
        if count == 0 {
            return self;
        }
        // Of differences from the mean: a difference of two large sums of squares has no digits.
        let average = |of: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0.0; channels];
            for at in 0..count * channels {
                let channel = at % channels;
                sums[channel] += of(channel, values.get(at).unwrap_or_default());
            }
            sums.into_iter().map(|sum| sum / count as f64).collect::<Vec<f64>>()
        };
        let mean = average(&|_, x| x);
        let deviation = average(&|channel, x| (x - mean[channel]).powi(2));
        let varies = |variance: f64| if variance > 0.0 { variance.sqrt() as f32 } else { 1.0 };
        Self {
            deviation: deviation.into_iter().map(varies).collect(),
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            ..self
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
        check_normalisation(&self.mean, &self.deviation, channels)
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

/// Refuses means and deviations that inputs of so many channels cannot be normalised with.
pub(super) fn check_normalisation(
    mean: &[f32],
    deviation: &[f32],
    channels: usize,
) -> Result<(), TrainError> {
    let means = mean.len() == channels && mean.iter().all(|mean| mean.is_finite());
    ensure("mean", means, format!("{mean:?}"), "a finite number for each channel")?;
    let positive = |deviation: &f32| *deviation > 0.0 && deviation.is_finite();
    let deviations = deviation.len() == channels && deviation.iter().all(positive);
    let allowed = "a finite number above 0 for each channel";
    ensure("deviation", deviations, format!("{deviation:?}"), allowed)
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
        fn with_cosine(from: u64, until: u64, last: f32) -> Schedule {
            Schedule::constant(0.1).with_cosine(from, until, last)
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
            ("schedule.cosine", "NaN", |o| o.schedule = with_cosine(0, 5, NAN)),
            ("schedule.cosine", "-0.5", |o| o.schedule = with_cosine(0, 5, -0.5)),
            ("schedule.cosine", "1.5", |o| o.schedule = with_cosine(0, 5, 1.5)),
            ("schedule.cosine", "until: 5", |o| o.schedule = with_cosine(5, 5, 0.0)),
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
    fn mean_and_deviation_are_those_of_each_column() {
        use crate::nn::Shape;
        // Large numbers that differ little, a constant, and numbers around 0.
        let rows = [[1e6_f32, 5.0, -1.0], [1e6 + 2.0, 5.0, 0.5], [1e6 + 4.0, 5.0, 0.5]].concat();
        let labels = [0, 1, 2];
        let set = Examples::new(&rows, &labels, Shape::new(1, 1, 3));
        let options = TrainerOptions::features(3).standardised_by(set);
        assert_eq!(options.mean, [1_000_002.0, 5.0, 0.0]);
        let expected = [(8.0_f64 / 3.0).sqrt(), 1.0, 0.5_f64.sqrt()].map(|d| d as f32);
        assert_eq!(options.deviation, expected);
        assert!(options.check(3).is_ok());
        // Bytes stand for 0 to 1, and a channel has the pixels of all images.
        let bytes = [0_u8, 51, 255, 204, 0, 255, 255, 0];
        let set = Examples::new(&bytes[..], &labels[..2], Shape::new(2, 1, 2));
        let options = TrainerOptions::plain(2).standardised_by(set);
        assert_eq!(options.mean, [0.5, 0.5]);
        assert_eq!(options.deviation, [0.5, 0.17_f64.sqrt() as f32]);
    }

    #[test]
    fn what_stands_still_is_allowed() {
        let mut options = TrainerOptions::cifar(Uniform);
        options.clean_batch = 0;
        options.schedule = Schedule { drops: vec![(3, 0.0), (5, 2.0)], ..Schedule::constant(0.0) };
        options.weight_decay = 0.0;
        options.optimizer = Optimizer::PLAIN;
        assert!(options.check(3).is_ok());
    }
}
