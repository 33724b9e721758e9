//! How far a network can be believed: by the trusted labels that it has not learned from.

use l2rw::data::Dataset;
use serde::Serialize;

/// How often the network is right about trusted examples.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    pub trusted: usize,
    /// Whether the network was judged by trusted examples that had no part in its training.
    pub held_out: bool,
    /// Share of the trusted labels that the network agrees with.
    pub accuracy: f64,
    /// The same for a network that always names the most frequent class.
    pub chance: f64,
    /// Share of the trusted labels that it gives less than half of the probability.
    pub doubted: f64,
    /// Probability that chance alone reaches this accuracy.
    pub p_value: f64,
}

/// Above this it may be chance.
const SIGNIFICANT: f64 = 0.01;

impl Judgement {
    /// From the probabilities of the trusted examples.
    pub fn of(clean: &Dataset, probabilities: &[Vec<f64>], held_out: bool) -> Self {
        let trusted = clean.len();
        let given = |(label, row): (&u32, &Vec<f64>)| row.get(*label as usize).copied();
        let given: Vec<f64> =
            clean.labels.iter().zip(probabilities).map(|pair| given(pair).unwrap_or(0.0)).collect();
        let best = |row: &Vec<f64>| row.iter().copied().fold(0.0, f64::max);
        let right =
            given.iter().zip(probabilities).filter(|(given, row)| **given >= best(row)).count();
        let doubted = given.iter().filter(|given| **given < 0.5).count();
        let count = |class: u32| clean.labels.iter().filter(|label| **label == class).count();
        let most = (0..clean.classes() as u32).map(count).max().unwrap_or_default();
        let share = |count: usize| count as f64 / trusted.max(1) as f64;
        let p_value = binomial_tail(trusted, right, share(most));
        Self {
            trusted,
            held_out,
            accuracy: share(right),
            chance: share(most),
            doubted: share(doubted),
            p_value,
        }
    }

    /// Whether the network is better than chance.
    pub fn is_believable(&self) -> bool {
        self.p_value < SIGNIFICANT
    }

    /// Share of examples with right labels that the network disagrees with, with one more of each
    /// kind than there was, since there are few; all where it was judged by what it has learned.
    pub fn mistakes(&self) -> f64 {
        let wrong = (1.0 - self.accuracy) * self.trusted as f64;
        if self.held_out { (wrong + 1.0) / (self.trusted as f64 + 2.0) } else { 1.0 }
    }

    /// For people.
    pub fn text(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let how = match self.held_out {
            true => "trusted labels that it had not seen",
            false => "trusted labels, which it has seen (there are too few to leave some out)",
        };
        let (accuracy, chance) = (percent(self.accuracy), percent(self.chance));
        let doubted = percent(self.doubted);
        let agrees = format!("the network agrees with {accuracy} of {} {how}", self.trusted);
        match self.is_believable() {
            true => format!("{agrees} (chance: {chance}) and doubts {doubted} of them"),
            false => format!(
                "{agrees}, which may be chance ({chance}): the ranking may be worth little. Take \
                 more trusted examples, train longer (--steps), or take another --model"
            ),
        }
    }
}

/// Probability of `k` or more successes in `n` draws of probability `p`.
fn binomial_tail(n: usize, k: usize, p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return if k == 0 || p >= 1.0 { 1.0 } else { 0.0 };
    }
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for successes in 0..=n {
        if successes > 0 {
            log_choose += ((n - successes + 1) as f64).ln() - (successes as f64).ln();
        }
        if successes >= k {
            let (hits, misses) = (successes as f64, (n - successes) as f64);
            sum += (log_choose + hits * p.ln() + misses * (1.0 - p).ln()).exp();
        }
    }
    f64::min(sum, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_fair_coin_is_counted() {
        assert!((binomial_tail(4, 3, 0.5) - 5.0 / 16.0).abs() < 1e-12);
        assert!((binomial_tail(3, 0, 0.3) - 1.0).abs() < 1e-12);
        assert!((binomial_tail(1000, 1, 0.5) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn who_is_right_by_chance_only_is_not_believed() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let labels: Vec<u32> = (0..20).map(|i| i % 2).collect();
        let clean = Dataset::new("x", [1, 1, 1], classes, vec![0u8; 20], labels.clone()).unwrap();
        let sure = |class: u32| if class == 0 { vec![0.9, 0.1] } else { vec![0.1, 0.9] };
        let right: Vec<Vec<f64>> = labels.iter().map(|label| sure(*label)).collect();
        let always_a: Vec<Vec<f64>> = labels.iter().map(|_| sure(0)).collect();
        let (good, poor) =
            (Judgement::of(&clean, &right, true), Judgement::of(&clean, &always_a, true));
        assert!(good.is_believable() && good.accuracy == 1.0 && good.doubted == 0.0);
        assert!(!poor.is_believable() && poor.accuracy == 0.5 && poor.doubted == 0.5);
        assert!(poor.text().contains("may be chance"));
    }
}
