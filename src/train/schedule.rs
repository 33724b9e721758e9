//! The learning rate over a run.

use super::TrainError;
use super::options::{ensure, is_magnitude};

/// A learning rate that is multiplied by a factor at given steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Learning rate of the first step.
    pub initial: f32,
    /// Steps from which on the rate is multiplied by a factor.
    pub drops: Vec<(u64, f32)>,
}

impl Schedule {
    /// The same rate throughout.
    pub fn constant(rate: f32) -> Self {
        Self { initial: rate, drops: Vec::new() }
    }

    /// A tenth of the rate from each of the given steps on.
    pub fn tenths(initial: f32, at: impl IntoIterator<Item = u64>) -> Self {
        Self { initial, drops: at.into_iter().map(|step| (step, 0.1)).collect() }
    }

    /// Learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f32 {
        let passed = self.drops.iter().filter(|(at, _)| *at <= step);
        passed.fold(self.initial, |rate, (_, factor)| rate * factor)
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let initial = self.initial;
        ensure("schedule.initial", is_magnitude(initial), initial, "finite and at least 0")?;
        // The rate after each drop, too: factors above 1 may add up.
        let fits =
            |(at, factor): &(u64, f32)| is_magnitude(*factor) && is_magnitude(self.rate(*at));
        let allowed = "factors that are finite and at least 0, of a rate that stays finite";
        match self.drops.iter().find(|drop| !fits(drop)) {
            Some((at, factor)) => {
                ensure("schedule.drops", false, format!("{factor} from step {at} on"), allowed)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_takes_effect_at_its_step() {
        let schedule = Schedule::tenths(0.1, [10, 20]);
        let rates = [0, 9, 10, 19, 20, 99].map(|step| schedule.rate(step));
        let expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001];
        for (rate, expected) in rates.into_iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-7, "{rates:?}");
        }
    }
}
