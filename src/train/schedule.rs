//! The learning rate over a run.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::options::{ensure, is_magnitude};

/// A learning rate: an initial one times the factors of a warm-up, of drops, and of a cosine, each
/// of which may be left out.
///
/// ```
/// use l2rw::train::Schedule;
///
/// // Up to 0.1 within 500 steps, then down to a hundredth of it at step 10,000.
/// let schedule = Schedule::constant(0.1).with_warm_up(500).with_cosine(500, 10_000, 0.01);
/// assert!(schedule.rate(0) < 0.001 && schedule.rate(499) == 0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Learning rate before all factors.
    pub initial: f32,
    /// Steps from which on the rate is multiplied by a factor.
    pub drops: Vec<(u64, f32)>,
    /// Steps in which the rate grows in equal parts, up to the whole in the last of them; 0 for
    /// none.
    pub warm_up: u64,
    /// A decay along half a cosine.
    pub cosine: Option<Cosine>,
}

/// Half a period of a cosine, from a factor of 1 down to another one (Loshchilov and Hutter,
/// "SGDR", 2017, without restarts).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cosine {
    /// Last step with a factor of 1.
    pub from: u64,
    /// First step with the last factor, which stays.
    pub until: u64,
    /// The last factor, from 0 to 1.
    pub last: f32,
}

impl Cosine {
    fn factor(self, step: u64) -> f64 {
        let length = self.until.saturating_sub(self.from).max(1) as f64;
        let passed = (step.saturating_sub(self.from) as f64 / length).min(1.0);
        let share = 0.5 * (1.0 + (std::f64::consts::PI * passed).cos());
        let last = f64::from(self.last);
        last + (1.0 - last) * share
    }
}

impl Schedule {
    /// The same rate throughout.
    pub fn constant(rate: f32) -> Self {
        Self { initial: rate, drops: Vec::new(), warm_up: 0, cosine: None }
    }

    /// A tenth of the rate from each of the given steps on.
    pub fn tenths(initial: f32, at: impl IntoIterator<Item = u64>) -> Self {
        let drops = at.into_iter().map(|step| (step, 0.1)).collect();
        Self { drops, ..Self::constant(initial) }
    }

    /// The same schedule with a linear warm-up over the first `steps` steps.
    #[must_use]
    pub fn with_warm_up(self, steps: u64) -> Self {
        Self { warm_up: steps, ..self }
    }

    /// The same schedule with a cosine from step `from` down to the factor `last` at step `until`.
    #[must_use]
    pub fn with_cosine(self, from: u64, until: u64, last: f32) -> Self {
        Self { cosine: Some(Cosine { from, until, last }), ..self }
    }

    /// Learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f32 {
        let passed = self.drops.iter().filter(|(at, _)| *at <= step);
        let rate = passed.fold(self.initial, |rate, (_, factor)| rate * factor);
        let rate = match self.warm_up > step {
            true => (f64::from(rate) * (step + 1) as f64 / self.warm_up as f64) as f32,
            false => rate,
        };
        self.cosine.map_or(rate, |cosine| (f64::from(rate) * cosine.factor(step)) as f32)
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let initial = self.initial;
        ensure("schedule.initial", is_magnitude(initial), initial, "finite and at least 0")?;
        if let Some(cosine) = self.cosine {
            let fits = (0.0..=1.0).contains(&cosine.last) && cosine.from < cosine.until;
            let allowed = "a last factor from 0 to 1, at a later step than the first";
            ensure("schedule.cosine", fits, format!("{cosine:?}"), allowed)?;
        }
        // The rate after each drop, too: factors above 1 may add up.
        let undamped = Self { cosine: None, warm_up: 0, ..self.clone() };
        let fits =
            |(at, factor): &(u64, f32)| is_magnitude(*factor) && is_magnitude(undamped.rate(*at));
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

    fn assert_rates(schedule: &Schedule, expected: &[(u64, f32)]) {
        for (step, expected) in expected {
            let rate = schedule.rate(*step);
            assert!((rate - expected).abs() < 1e-7, "step {step}: {rate}, expected {expected}");
        }
    }

    #[test]
    fn a_drop_takes_effect_at_its_step() {
        let expected = [(0, 0.1), (9, 0.1), (10, 0.01), (19, 0.01), (20, 0.001), (99, 0.001)];
        assert_rates(&Schedule::tenths(0.1, [10, 20]), &expected);
    }

    #[test]
    fn a_warm_up_ends_at_the_whole_rate() {
        let schedule = Schedule::tenths(0.8, [6]).with_warm_up(4);
        assert_rates(&schedule, &[(0, 0.2), (1, 0.4), (2, 0.6), (3, 0.8), (5, 0.8), (6, 0.08)]);
    }

    #[test]
    fn a_cosine_goes_half_a_period_and_stays() {
        let schedule = Schedule::constant(0.4).with_cosine(10, 19, 0.5);
        // A third of the way down the angle the cosine has lost a half of 1.
        let expected = [(0, 0.4), (10, 0.4), (13, 0.35), (16, 0.25), (19, 0.2), (99, 0.2)];
        assert_rates(&schedule, &expected);
        assert_rates(&Schedule::constant(1.0).with_cosine(0, 2, 0.0), &[(1, 0.5), (2, 0.0)]);
    }

    #[test]
    fn all_factors_apply_together() {
        let schedule = Schedule::tenths(1.0, [1]).with_warm_up(4).with_cosine(0, 4, 0.0);
        assert_rates(&schedule, &[(0, 0.25), (2, 0.1 * 0.75 * 0.5), (4, 0.0)]);
    }
}
