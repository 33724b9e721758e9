//! AdaBoost within one run: what a pass gets wrong weighs more in the next one.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights::rectify_and_normalise;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// AdaBoost-like weights by SAMME's rule (Zhu et al. 2009, algorithm 2), a pass over the training
/// set being a round of one and the same network: with the weighted error e of the pass and
/// α = log((1 − e) / e) + log(C − 1), the weight of each misclassified example grows by e^α.
/// Weights of a batch are divided by their sum. A pass without error, or with one no better than
/// chance, changes nothing.
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

// state: weight of each training example, whether it was misclassified in this pass, the weight
// seen in this pass, and the part of it that was misclassified.

// After a pass: its round.
fn observe(i: u32) {
    if i >= LEN || step.train_position > 0u || step.number == 0u {
        return;
    }
    let error = state[2u * LEN + 1u] / state[2u * LEN];
    let missed = state[LEN + i] > 0.0;
    state[LEN + i] = 0.0;
    if !(error > 0.0 && error < 1.0 - 1.0 / f32(CLASSES)) {
        return;
    }
    let growth = (1.0 - error) / error * f32(CLASSES - 1u);
    let mean = 1.0 + (growth - 1.0) * state[2u * LEN + 1u] / f32(LEN);
    state[i] *= select(1.0, growth, missed) / mean;
}

fn weight(i: u32) -> f32 {
    if i == 0u {
        var seen = 0.0;
        var missed = 0.0;
        for (var j = 0u; j < EXAMPLES; j++) {
            seen += state[indices[j]];
            missed += select(0.0, state[indices[j]], predictions[j] != labels[j]);
        }
        let goes_on = select(0.0, 1.0, step.train_position > 0u);
        state[2u * LEN] = goes_on * state[2u * LEN] + seen;
        state[2u * LEN + 1u] = goes_on * state[2u * LEN + 1u] + missed;
    }
    if predictions[i] != labels[i] {
        state[LEN + indices[i]] = 1.0;
    }
    return state[indices[i]];
}
"
);

struct Boosting {
    weights: Vec<f64>,
    missed: Vec<bool>,
    seen: f64,
    wrong: f64,
}

impl Boosting {
    fn weigh(&mut self, seen: &TwinInput) -> Vec<f64> {
        if seen.position == 0 && seen.number > 0 {
            self.round(seen.classes as f64);
        }
        if seen.position == 0 {
            (self.seen, self.wrong) = (0.0, 0.0);
        }
        let batch = seen.indices.iter().zip(&seen.labels).zip(seen.predictions());
        for ((index, label), prediction) in batch {
            let index = *index as usize;
            self.seen += self.weights[index];
            if prediction != *label {
                self.wrong += self.weights[index];
                self.missed[index] = true;
            }
        }
        seen.indices.iter().map(|index| self.weights[*index as usize]).collect()
    }

    fn round(&mut self, classes: f64) {
        let (error, len) = (self.wrong / self.seen, self.weights.len() as f64);
        if error > 0.0 && error < 1.0 - 1.0 / classes {
            let growth = (1.0 - error) / error * (classes - 1.0);
            let mean = 1.0 + (growth - 1.0) * self.wrong / len;
            for (weight, missed) in self.weights.iter_mut().zip(&self.missed) {
                *weight *= if *missed { growth } else { 1.0 } / mean;
            }
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
        let initial = || [vec![1.0; len], vec![0.0; len + 2]].concat();
        let state = it.state("boosting", initial);
        let raw =
            PerExample::new(&SHADER).state(state).constant("LEN", len as f64).record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let len = facts.labels.len();
        let (weights, missed) = (vec![1.0; len], vec![false; len]);
        let mut boosting = Boosting { weights, missed, seen: 0.0, wrong: 0.0 };
        Some(Box::new(move |seen: &TwinInput| {
            seen.told(rectify_and_normalise(&boosting.weigh(seen)))
        }))
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
