//! AdaBoost within one run: what a pass gets wrong weighs more in the next one.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// AdaBoost-like weights by SAMME's rule (Zhu et al. 2009, algorithm 2), a pass over the training
/// set being a round of one and the same network: with the weighted error e of the pass and
/// α = log((1 − e) / e) + log(C − 1), the weight of each misclassified example grows by e^α.
/// Weights of a batch are divided by their sum. A pass without error, or with one no better than
/// chance, changes nothing. Weights are kept as logarithms, so that none of them ever becomes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdaBoost;

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "adaboost",
    source: "Zhu et al. 2009 (SAMME), algorithm 2, a pass a round",
    make: |_| Ok(Weighting::from(AdaBoost)),
}];

static SHADER: Shader = crate::weight_shader!(
    "adaboost",
    observing,
    "
override LEN: u32;

// state: logarithm of the weight of each training example, with a mean weight of 1; whether it was
// misclassified in this pass; logarithms of the weight seen in this pass, and of the part of it
// that was misclassified.

// The logarithm of nothing.
const NONE: f32 = -1e30;

// log(exp(a) + exp(b))
fn log_sum(a: f32, b: f32) -> f32 {
    let larger = select(b, a, a > b);
    return larger + log(exp(a - larger) + exp(b - larger));
}

// After a pass: its round.
fn observe(i: u32) {
    if i >= LEN || step.train_position > 0u || step.number == 0u {
        return;
    }
    let missed = state[LEN + i] > 0.0;
    state[LEN + i] = 0.0;
    let wrong = state[2u * LEN + 1u];
    let log_error = wrong - state[2u * LEN];
    let error = exp(log_error);
    if !(wrong > NONE && error < 1.0 - 1.0 / f32(CLASSES)) {
        return;
    }
    let growth = log(1.0 - error) - log_error + log(f32(CLASSES - 1u));
    // Of all weights the misclassified ones grow.
    let kept = 1.0 - exp(wrong - log(f32(LEN)));
    let mean = log_sum(select(NONE, log(kept), kept > 0.0), growth + wrong - log(f32(LEN)));
    state[i] += select(0.0, growth, missed) - mean;
}

fn is_missed(j: u32) -> bool {
    return predictions[j] != labels[j];
}

fn weight(i: u32) -> f32 {
    // Of all of the batch, and of those that are misclassified.
    var largest = vec2<f32>(NONE);
    for (var j = 0u; j < EXAMPLES; j++) {
        let next = vec2<f32>(state[indices[j]], select(NONE, state[indices[j]], is_missed(j)));
        largest = select(largest, next, next > largest);
    }
    if i == 0u {
        var sums = vec2<f32>();
        for (var j = 0u; j < EXAMPLES; j++) {
            let shares = exp(state[indices[j]] - largest);
            sums += vec2<f32>(shares.x, select(0.0, shares.y, is_missed(j)));
        }
        var before = vec2<f32>(NONE);
        if step.train_position > 0u {
            before = vec2<f32>(state[2u * LEN], state[2u * LEN + 1u]);
        }
        state[2u * LEN] = log_sum(before.x, largest.x + log(sums.x));
        state[2u * LEN + 1u] = before.y;
        if largest.y > NONE {
            state[2u * LEN + 1u] = log_sum(before.y, largest.y + log(sums.y));
        }
    }
    if is_missed(i) {
        state[LEN + indices[i]] = 1.0;
    }
    return exp(state[indices[i]] - largest.x);
}
"
);

/// Logarithms, as on the device: after some dozens of passes the weights of examples that are never
/// missed are too small even for an `f64`.
struct Boosting {
    log_weights: Vec<f64>,
    missed: Vec<bool>,
    seen: f64,
    wrong: f64,
}

/// log Σ exp(x), −∞ of nothing.
fn log_sum(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

impl Boosting {
    fn new(len: usize) -> Self {
        let (seen, wrong) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        Self { log_weights: vec![0.0; len], missed: vec![false; len], seen, wrong }
    }

    fn weigh(&mut self, seen: &TwinInput) -> Vec<f64> {
        if seen.position == 0 && seen.number > 0 {
            self.round(seen.classes as f64);
        }
        if seen.position == 0 {
            (self.seen, self.wrong) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        }
        let batch = seen.indices.iter().zip(&seen.labels).zip(seen.predictions());
        for ((index, label), prediction) in batch {
            let index = *index as usize;
            self.seen = log_sum(&[self.seen, self.log_weights[index]]);
            if prediction != *label {
                self.wrong = log_sum(&[self.wrong, self.log_weights[index]]);
                self.missed[index] = true;
            }
        }
        let logs: Vec<f64> =
            seen.indices.iter().map(|index| self.log_weights[*index as usize]).collect();
        let sum = log_sum(&logs);
        logs.iter().map(|log| (log - sum).exp()).collect()
    }

    fn round(&mut self, classes: f64) {
        let error = (self.wrong - self.seen).exp();
        if self.wrong > f64::NEG_INFINITY && error < 1.0 - 1.0 / classes {
            let growth = (1.0 - error).ln() - (self.wrong - self.seen) + (classes - 1.0).ln();
            for (weight, missed) in self.log_weights.iter_mut().zip(&self.missed) {
                *weight += if *missed { growth } else { 0.0 };
            }
            let mean = log_sum(&self.log_weights) - (self.log_weights.len() as f64).ln();
            self.log_weights.iter_mut().for_each(|weight| *weight -= mean);
        }
        self.missed.fill(false);
    }
}

impl Method for AdaBoost {
    fn name(&self) -> &'static str {
        "adaboost"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let Some(len) = it.training_len() else {
            let reason = "it keeps a weight for each training example, so it needs a data set \
                          instead of buffers";
            return Err(it.refusal(reason));
        };
        let state = it.state("log boosting", || vec![0.0; 2 * len + 2]);
        let raw =
            PerExample::new(&SHADER).state(state).constant("LEN", len as f64).record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let mut boosting = Boosting::new(facts.labels.len());
        Some(Box::new(move |seen: &TwinInput| seen.told(boosting.weigh(seen))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // One of four is wrong: e = ¼ and, with three classes, growth 3 · 2 = 6.
    let train = [of(0, &[1, 0, 0]), of(1, &[0, 1, 0]), of(2, &[0, 0, 1]), of(2, &[1, 0, 0])];
    let ninth = 1.0 / 9.0;
    let all_right = [of(0, &[1, 0, 0]), of(1, &[0, 1, 0])];
    let all_wrong = [of(1, &[1, 0, 0]), of(2, &[0, 1, 0])];
    vec![
        Case::new("adaboost", 3, &train).weights(&[0.25; 4]),
        Case::new("adaboost", 3, &train).steps(2).weights(&[ninth, ninth, ninth, 6.0 * ninth]),
        Case::new("adaboost", 3, &all_right).steps(3).weights(&[0.5; 2]),
        Case::new("adaboost", 3, &all_wrong).steps(3).weights(&[0.5; 2]),
    ]
}
