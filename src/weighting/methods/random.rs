//! Random weights, which learned ones have to beat.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::step::{MethodTwin, TwinInput};
use crate::reference::{example_weights::rectify_and_normalise, rng::pcg_hash};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// RANDOM (Ren et al. 2018, equation 16): w̃_i = max(z_i, 0), z_i ~ N(0, 1), divided by their sum.
/// All weights are 0 in the rare batch without a positive z_i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Random;

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "random",
    source: "Ren et al. 2018, equation 16",
    make: |_| Ok(Weighting::from(Random)),
}];

static SHADER: Shader = crate::weight_shader!(
    "random",
    "
// Box and Muller's method.
fn weight(i: u32) -> f32 {
    let first = pcg_hash(step.seed ^ pcg_hash(step.number ^ pcg_hash(i ^ 0x52414e44u)));
    let radius = sqrt(-2.0 * log((f32(first >> 8u) + 1.0) / 16777216.0));
    return max(radius * cos(6.2831853 * f32(pcg_hash(first) >> 8u) / 16777216.0), 0.0);
}
"
);

fn weight(seen: &TwinInput, i: u32) -> f64 {
    let first = pcg_hash(seen.seed ^ pcg_hash(seen.number ^ pcg_hash(i ^ 0x5241_4e44)));
    let radius = (-2.0 * ((f64::from(first >> 8) + 1.0) / 16_777_216.0).ln()).sqrt();
    let angle = std::f64::consts::TAU * f64::from(pcg_hash(first) >> 8) / 16_777_216.0;
    (radius * angle.cos()).max(0.0)
}

impl Method for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let raw = PerExample::new(&SHADER).record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        Some(Box::new(|seen: &TwinInput| {
            let raw = seen.per_example(|i| weight(seen, i as u32));
            seen.told(rectify_and_normalise(&raw))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    let train: Vec<_> = (0..200).map(|i| of(i % 2, &[1, 2])).collect();
    // E max(z, 0) = 0.399 and E max(z, 0)² = ½, so n Σ w² is about ½ / 0.159 = π.
    let check = |w: &[f64]| {
        let zeros = w.iter().filter(|w| **w == 0.0).count();
        let squares = w.iter().map(|w| w * w).sum::<f64>() * w.len() as f64;
        (w.iter().sum::<f64>() - 1.0).abs() < 1e-5
            && (75..=125).contains(&zeros)
            && (2.4..4.1).contains(&squares)
    };
    vec![Case::new("random", 2, &train).check(check)]
}
