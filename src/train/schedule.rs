//! The learning rate over a run.

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
