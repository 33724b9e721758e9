//! Hard example mining: the minority, and what is hardest of the majority.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights::rectify_and_normalise;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// HARD MINING (Ren et al. 2018, section 4.1; official code): all examples of the minority, and as
/// many of the majority, those with the largest losses; at least one. Equal weights that sum to 1.
/// The majority is the most frequent class of the training set, the minority all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardMining;

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "hard-mining",
    source: "Ren et al. 2018, section 4.1, HARD MINING",
    make: |_| Ok(Weighting::from(HardMining)),
}];

static SHADER: Shader = crate::weight_shader!(
    "hard_mining",
    "
override MAJORITY: u32;

fn weight(i: u32) -> f32 {
    if labels[i] != MAJORITY {
        return 1.0;
    }
    var minority = 0u;
    var harder = 0u;
    for (var j = 0u; j < EXAMPLES; j++) {
        if labels[j] != MAJORITY {
            minority += 1u;
        } else if losses[j] > losses[i] || (losses[j] == losses[i] && j < i) {
            harder += 1u;
        }
    }
    return select(0.0, 1.0, harder < max(minority, 1u));
}
"
);

/// The most frequent class, the first of equals.
fn majority(method: &HardMining, facts: &DatasetFacts<'_>) -> Result<u32, PlanError> {
    let counts = facts.class_counts(method.name())?;
    let best = |best: usize, c: usize| if counts[c] > counts[best] { c } else { best };
    Ok((0..counts.len()).fold(0, best) as u32)
}

fn weigh(majority: u32, seen: &TwinInput) -> Vec<f64> {
    let losses = seen.cross_entropy();
    let of_majority = |i: usize| seen.labels[i] == majority;
    let minority = (0..seen.n()).filter(|i| !of_majority(*i)).count();
    let harder = |i: usize, j: usize| losses[j] > losses[i] || (losses[j] == losses[i] && j < i);
    let weight = |i: usize| {
        let count = (0..seen.n()).filter(|j| of_majority(*j) && harder(i, *j)).count();
        f64::from(u8::from(!of_majority(i) || count < minority.max(1)))
    };
    (0..seen.n()).map(weight).collect()
}

impl Method for HardMining {
    fn name(&self) -> &'static str {
        "hard-mining"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let majority = majority(self, it.facts())?;
        let kernel = PerExample::new(&SHADER).constant("MAJORITY", f64::from(majority));
        let raw = kernel.record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let majority = majority(self, facts).ok()?;
        Some(Box::new(move |seen: &TwinInput| {
            seen.told(rectify_and_normalise(&weigh(majority, seen)))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // One of class 0 against three of class 1: it, and the one with the largest loss.
    let train = [of(1, &[0, 2]), of(0, &[2, 0]), of(1, &[2, 0]), of(1, &[1, 0])];
    let alone = [of(1, &[0, 2]), of(1, &[1, 0])];
    vec![
        Case::new("hard-mining", 2, &train).weights(&[0.0, 0.5, 0.5, 0.0]),
        Case::new("hard-mining", 2, &alone).weights(&[0.0, 1.0]),
    ]
}
