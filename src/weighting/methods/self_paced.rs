//! Self-paced learning: easy examples first.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights::rectify_and_normalise;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// Self-paced learning: easy examples first. Hard (Kumar et al. 2010): v_i = 1 where f_i ≤ λ.
/// Linear (Jiang et al. 2014, linear soft weighting): v_i = max(1 − f_i / λ, 0). Divided by the
/// batch's sum.
///
/// λ is a moving average of a percentile of the batch's losses, as MentorNet's code has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfPaced {
    /// Linear instead of hard.
    pub linear: bool,
    /// Share of the examples below the percentile; 0.75.
    pub percentile: f64,
    /// Share of the earlier average; 0.5.
    pub decay: f64,
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "self-paced",
        source: "Kumar et al. 2010; λ: 75th percentile, moving average",
        make: |_| Ok(SelfPaced { linear: false, percentile: 0.75, decay: 0.5 }.into()),
    },
    Variant {
        name: "self-paced-linear",
        source: "Jiang et al. 2014, linear soft weighting; λ: 75th percentile, moving average",
        make: |_| Ok(Weighting::from(SelfPaced { linear: true, percentile: 0.75, decay: 0.5 })),
    },
];

static SHADER: Shader = crate::weight_shader!(
    "self_paced",
    observing,
    "
override LINEAR: bool;
override DECAY: f32;
// Examples of the batch above the percentile.
override ABOVE: u32;

// state: λ, and whether there is one yet.
fn observe(i: u32) {
    if i < EXAMPLES && rank(i) == ABOVE {
        state[0] = select(losses[i], DECAY * state[0] + (1.0 - DECAY) * losses[i], state[1] > 0.0);
        state[1] = 1.0;
    }
}

fn weight(i: u32) -> f32 {
    let lambda = state[0];
    if LINEAR && lambda > 0.0 {
        return max(1.0 - losses[i] / lambda, 0.0);
    }
    return select(0.0, 1.0, losses[i] <= lambda);
}
"
);

/// Examples of a batch of `n` above the percentile.
pub(super) fn above(percentile: f64, n: usize) -> usize {
    let below = (percentile * n as f64) as usize;
    n - 1 - below.min(n - 1)
}

/// The moving average of a percentile of the losses.
pub(super) fn average(lambda: Option<f64>, losses: &[f64], percentile: f64, decay: f64) -> f64 {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let value = sorted[losses.len() - 1 - above(percentile, losses.len())];
    lambda.map_or(value, |lambda| decay * lambda + (1.0 - decay) * value)
}

impl SelfPaced {
    fn weight(&self, loss: f64, lambda: f64) -> f64 {
        if self.linear && lambda > 0.0 {
            return (1.0 - loss / lambda).max(0.0);
        }
        f64::from(u8::from(loss <= lambda))
    }
}

impl Method for SelfPaced {
    fn name(&self) -> &'static str {
        if self.linear { "self-paced-linear" } else { "self-paced" }
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        for (what, value) in [("percentile", self.percentile), ("decay", self.decay)] {
            if !(0.0..=1.0).contains(&value) {
                let reason = format!("its {what} is {value}; it must be between 0 and 1");
                return Err(PlanError::Weighting { method: self.name().to_owned(), reason });
            }
        }
        let state = it.state("lambda", || vec![0.0; 2]);
        let kernel = PerExample::new(&SHADER)
            .state(state)
            .constant("LINEAR", f64::from(u8::from(self.linear)))
            .constant("DECAY", self.decay)
            .constant("ABOVE", above(self.percentile, it.batch_len()) as f64);
        let raw = kernel.record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (method, mut lambda) = (*self, None);
        Some(Box::new(move |seen: &TwinInput| {
            let losses = seen.cross_entropy();
            let now = average(lambda, &losses, method.percentile, method.decay);
            lambda = Some(now);
            let raw = seen.per_example(|i| method.weight(losses[i], now));
            seen.told(rectify_and_normalise(&raw))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // p is 9/10, 3/4, 1/2, 1/10; the 75th percentile of four is the largest loss, λ = ln 10.
    let train = [of(0, &[2, 0]), of(0, &[1, 0]), of(1, &[1, 1]), of(1, &[2, 0])];
    let lambda = 10.0_f64.ln();
    let linear = [0.9, 0.75, 0.5, 0.1].map(|p: f64| 1.0 + p.ln() / lambda);
    let sum: f64 = linear.iter().sum();
    // Of five, the fourth.
    let five: Vec<_> = train.iter().cloned().chain([of(1, &[1, 1])]).collect();
    let quarter = [0.25, 0.25, 0.25, 0.0, 0.25];
    vec![
        Case::new("self-paced", 2, &train).weights(&[0.25; 4]),
        Case::new("self-paced", 2, &five).steps(2).weights(&quarter),
        Case::new("self-paced-linear", 2, &train).weights(&linear.map(|v| v / sum)),
    ]
}
