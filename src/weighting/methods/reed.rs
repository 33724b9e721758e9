//! Bootstrapping: the target is the label in part, and in part what the network believes.

use crate::gpu::{Kernel, Shader, TensorId};
use crate::ops::parts::{GRID, wgsl};
use crate::ops::per_element;
use crate::ops::softmax_cross_entropy::Losses;
use crate::plan::{DatasetFacts, IterationBuilder, PlanError};
use crate::reference::example_weights;
use crate::reference::step::{MethodTwin, TwinInput, TwinOutput};
use crate::weighting::{Method, Variant, Weighting};

/// Bootstrapping (Reed et al. 2015): cross-entropy against the target β t + (1 − β) z, where t is
/// the label as given and z what the network believes: its probabilities (soft) or the most
/// probable class (hard). Gradients flow through the soft z, as published; weights are 1/n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reed {
    /// β; 0.8 for hard, 0.95 for soft in the paper.
    pub beta: f64,
    /// Hard instead of soft.
    pub hard: bool,
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "reed-hard",
        source: "Reed et al. 2015, hard bootstrapping, β = 0.8",
        make: |_| Ok(Weighting::from(Reed { beta: 0.8, hard: true })),
    },
    Variant {
        name: "reed-soft",
        source: "Reed et al. 2015, soft bootstrapping, β = 0.95",
        make: |_| Ok(Weighting::from(Reed { beta: 0.95, hard: false })),
    },
];

static SHADER: Shader = Shader::new("reed", &[GRID, wgsl!("weighting/reed")]);

impl Method for Reed {
    fn name(&self) -> &'static str {
        if self.hard { "reed-hard" } else { "reed-soft" }
    }

    fn has_own_losses(&self) -> bool {
        true
    }

    fn losses(
        &self,
        it: &mut IterationBuilder<'_>,
        scores: TensorId,
        labels: TensorId,
    ) -> Result<Losses, PlanError> {
        if !(0.0..=1.0).contains(&self.beta) {
            let reason = format!("β is {}; it must be between 0 and 1", self.beta);
            return Err(PlanError::Weighting { method: self.name().to_owned(), reason });
        }
        let classes = it.network().classes();
        let kernel = Kernel::new(&SHADER, "forward")
            .size("CLASSES", classes)
            .constant("BETA", self.beta)
            .constant("HARD", self.hard);
        let rec = it.own_rec();
        let losses = Losses::transient(rec, rec.len(scores) / classes, classes);
        let Losses { residual, losses: values, predictions } = losses;
        let bindings = vec![
            rec.read(scores),
            rec.read(labels),
            rec.write(residual),
            rec.write(values),
            rec.write(predictions),
        ];
        let len = rec.len(scores);
        rec.dispatch(kernel, bindings, per_element(len / classes), 8 * len as u64);
        Ok(losses)
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let reed = *self;
        Some(Box::new(move |seen: &TwinInput| reed.tell(seen)))
    }
}

impl Reed {
    fn tell(&self, seen: &TwinInput) -> TwinOutput {
        let plain = seen.told(example_weights::uniform(seen.n()));
        let (probabilities, predictions) = (seen.probabilities(), seen.predictions());
        let mut told = plain.clone();
        for i in (0..seen.n()).filter(|i| seen.is_labelled(*i)) {
            let p = &probabilities[i * seen.classes..][..seen.classes];
            let entropy: f64 = -p.iter().map(|p| p * p.max(1e-300).ln()).sum::<f64>();
            let believed = -p[predictions[i] as usize].ln();
            for (k, p) in p.iter().enumerate() {
                let other = match self.hard {
                    true => p - f64::from(u8::from(k == predictions[i] as usize)),
                    false => -p * (p.max(1e-300).ln() + entropy),
                };
                let at = i * seen.classes + k;
                told.residual[at] = self.beta * plain.residual[at] + (1.0 - self.beta) * other;
            }
            let other = if self.hard { believed } else { entropy };
            told.losses[i] = self.beta * plain.losses[i] + (1.0 - self.beta) * other;
        }
        told
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // p of the label is 1/10 and 9/10; the network believes in class 0 both times.
    let train = [of(1, &[2, 0]), of(0, &[2, 0])];
    let (right, wrong) = (-0.9_f64.ln(), 10.0_f64.ln());
    let entropy = 0.9 * right + 0.1 * wrong;
    let hard = Case::new("reed-hard", 2, &train).weights(&[0.5; 2]);
    let soft = Case::new("reed-soft", 2, &train).weights(&[0.5; 2]);
    vec![
        hard.losses(&[0.8 * wrong + 0.2 * right, right]),
        soft.losses(&[0.95 * wrong + 0.05 * entropy, 0.95 * right + 0.05 * entropy]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_are_the_gradients_of_the_losses() {
        for reed in [Reed { beta: 0.8, hard: true }, Reed { beta: 0.3, hard: false }] {
            crate::weighting::tests::assert_residual(|seen| reed.tell(seen));
        }
    }
}
