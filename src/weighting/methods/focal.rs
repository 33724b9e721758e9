//! Focal and class-balanced losses, as weightings.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights::rectify_and_normalise;
use crate::reference::step::{MethodTwin, TwinInput, mean};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// Focal loss (Lin et al. 2017, equation 4) of softmax scores, and class-balanced losses (Cui et
/// al. 2019), alone and together.
///
/// The gradient of −(1 − p)^γ log p by the scores is that of −log p times (1 − p)^γ + γ p (1 −
/// p)^(γ−1) (−log p), so the focal loss *is* a weighting; with γ = 0 the factor is 1. The balanced
/// factor of class c with n_c examples is (1 − β) / (1 − β^(n_c)), scaled so that those of the
/// classes that occur have mean 1. Without β, or with γ > 0, w_i is the factor / n (the mean loss);
/// otherwise weights are divided by their sum, as PyTorch's weighted cross-entropy does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// γ; 2 in the paper.
    pub gamma: f64,
    /// β of the effective number of examples; no balance between classes if `None`.
    pub beta: Option<f64>,
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "focal",
        source: "Lin et al. 2017, equation 4, γ = 2",
        make: |_| Ok(Weighting::from(Focal { gamma: 2.0, beta: None })),
    },
    Variant {
        name: "class-balanced",
        source: "Cui et al. 2019, class-balanced softmax loss, β = 0.9999",
        make: |_| Ok(Weighting::from(Focal { gamma: 0.0, beta: Some(0.9999) })),
    },
    Variant {
        name: "class-balanced-focal",
        source: "Cui et al. 2019, class-balanced focal loss with softmax, β = 0.9999, γ = 1",
        make: |_| Ok(Weighting::from(Focal { gamma: 1.0, beta: Some(0.9999) })),
    },
];

static SHADER: Shader = crate::weight_shader!(
    "focal",
    "
override GAMMA: f32;

fn weight(i: u32) -> f32 {
    let balance = table[labels[i]];
    let miss = one_minus_exp(losses[i]);
    if GAMMA == 0.0 || miss <= 0.0 {
        return select(0.0, balance, GAMMA == 0.0);
    }
    return balance * pow(miss, GAMMA) * (1.0 + GAMMA * exp(-losses[i]) * losses[i] / miss);
}
"
);

fn factor(gamma: f64, loss: f64) -> f64 {
    let miss = -(-loss).exp_m1();
    if gamma == 0.0 || miss <= 0.0 {
        return if gamma == 0.0 { 1.0 } else { 0.0 };
    }
    miss.powf(gamma) * (1.0 + gamma * (-loss).exp() * loss / miss)
}

impl Focal {
    /// The balanced factor of each class, `[classes]`; 0 for those without examples.
    fn balance(&self, facts: &DatasetFacts<'_>, classes: usize) -> Result<Vec<f64>, PlanError> {
        let fail = |reason| PlanError::Weighting { method: self.name().to_owned(), reason };
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err(fail(format!("γ is {}; it must be at least 0", self.gamma)));
        }
        let Some(beta) = self.beta else { return Ok(vec![1.0; classes]) };
        if !(0.0..1.0).contains(&beta) {
            return Err(fail(format!("β is {beta}; it must be at least 0 and below 1")));
        }
        let counts = facts.class_counts(self.name())?;
        let one = |n: &usize| match *n {
            0 => 0.0,
            n => (1.0 - beta) / (1.0 - beta.powf(n as f64)),
        };
        let factors: Vec<f64> = counts.iter().map(one).collect();
        let occurring = counts.iter().filter(|n| **n > 0).count() as f64;
        let sum: f64 = factors.iter().sum();
        Ok(factors.iter().map(|factor| factor * occurring / sum).collect())
    }

    fn by_sum(&self) -> bool {
        self.beta.is_some() && self.gamma == 0.0
    }
}

impl Method for Focal {
    fn name(&self) -> &'static str {
        match (self.beta, self.gamma) {
            (None, _) => "focal",
            (Some(_), 0.0) => "class-balanced",
            _ => "class-balanced-focal",
        }
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let balance = self.balance(it.facts(), it.network().classes())?;
        let table = it.table("class balance", || balance.iter().map(|w| *w as f32).collect());
        let kernel = PerExample::new(&SHADER).constant("GAMMA", self.gamma).table(table);
        let raw = kernel.record(it, seen)?;
        Ok(if self.by_sum() { it.normalise(raw) } else { it.mean(raw) })
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (focal, balance) = (*self, self.balance(facts, facts.classes).ok()?);
        Some(Box::new(move |seen: &TwinInput| {
            let losses = seen.cross_entropy();
            let raw = seen
                .per_example(|i| balance[seen.labels[i] as usize] * factor(focal.gamma, losses[i]));
            seen.told(if focal.by_sum() { rectify_and_normalise(&raw) } else { mean(&raw) })
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // p is 9/10, 1/2 and 1/10.
    let train = [of(0, &[2, 0]), of(0, &[1, 1]), of(1, &[2, 0])];
    let factor = |p: f64| (1.0 - p) * (1.0 - p) - 2.0 * p * (1.0 - p) * p.ln();
    let focal = [0.9, 0.5, 0.1].map(|p| factor(p) / 3.0);
    // Effective numbers of 2 and 1 examples: 1 − β² over 1 − β is 1 + β.
    let beta = 0.9999;
    let (two, one) = (1.0 / (1.0 + beta), 1.0);
    let sum = two + two + one;
    let scale = 2.0 / (two + one);
    let once = |p: f64| 1.0 - p - p * p.ln();
    let both = [two * once(0.9), two * once(0.5), one * once(0.1)].map(|w| w * scale / 3.0);
    vec![
        Case::new("focal", 2, &train).weights(&focal),
        Case::new("class-balanced", 2, &train).weights(&[two / sum, two / sum, one / sum]),
        Case::new("class-balanced-focal", 2, &train).weights(&both),
    ]
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn the_factor_turns_the_gradient_of_the_cross_entropy_into_that_of_the_focal_loss() {
        for gamma in [0.0, 0.5, 1.0, 2.0] {
            for z in [-2.0, -0.3, 0.0, 1.7] {
                let p = |z: f64| 1.0 / (1.0 + (-z).exp());
                let focal = |z: f64| -(1.0 - p(z)).powf(gamma) * p(z).ln();
                let numerical = (focal(z + 1e-6) - focal(z - 1e-6)) / 2e-6;
                let analytic = factor(gamma, -p(z).ln()) * (p(z) - 1.0);
                assert!((numerical - analytic).abs() < 1e-8, "{gamma} {z}");
            }
        }
    }
}
