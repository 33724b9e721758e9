//! S-Model: a layer behind the network learns how labels get confused.

use crate::gpu::{Kernel, Shader, TensorId};
use crate::ops::parts::{GRID, wgsl};
use crate::ops::per_element;
use crate::ops::softmax_cross_entropy::Losses;
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights;
use crate::reference::step::{Memory, MethodTwin, TwinInput, TwinOutput};
use crate::weighting::{Method, Variant, Weighting};

/// S-Model (Goldberger and Ben-Reuven 2017, the simple variant): the loss −log Σ_k p_k T_ky with a
/// transition matrix T from true classes to labels, the row-wise softmax of a matrix that is
/// learned with the network, by the same optimizer at the same learning rate, without weight decay.
/// Predictions are by p.
#[derive(Clone, Debug, PartialEq)]
pub enum SModel {
    /// T starts with 1 − ε on the diagonal and ε / (C − 1) beside it; 0.46 in the published code.
    Diagonal(f64),
    /// "+ Conf": T starts with the rows of a confusion matrix, normalised: counts of training
    /// examples by predicted class (row) and label as given, `[classes, classes]`, of a network
    /// that was trained plainly.
    Confusion(Vec<f64>),
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "s-model",
        source: "Goldberger and Ben-Reuven 2017, simple noise layer, ε = 0.46",
        make: |_| Ok(Weighting::from(SModel::Diagonal(0.46))),
    },
    Variant {
        name: "s-model-conf",
        source: "Goldberger and Ben-Reuven 2017, simple noise layer, from a confusion matrix",
        make: |setup| {
            let missing = "it starts from the confusion matrix of a network that was trained \
                           plainly: train the baseline first and set Setup::confusion";
            let confusion = setup.confusion.clone().ok_or(missing)?;
            Ok(Weighting::from(SModel::Confusion(confusion)))
        },
    },
];

static SHADER: Shader = Shader::new("s_model", &[GRID, wgsl!("weighting/s_model")]);

/// What a count of zero becomes, as a share.
const FLOOR: f64 = 1e-8;

impl SModel {
    /// Logarithms of the transition matrix before the first step.
    fn initial(&self, classes: usize) -> Result<Vec<f64>, PlanError> {
        let fail = |reason| PlanError::Weighting { method: self.name().to_owned(), reason };
        match self {
            Self::Diagonal(epsilon) if !(0.0..1.0).contains(epsilon) => {
                Err(fail(format!("ε is {epsilon}; it must be at least 0 and below 1")))
            }
            Self::Diagonal(epsilon) => {
                let beside = epsilon / (classes.max(2) - 1) as f64;
                let entry = |i: usize| {
                    let share = if i / classes == i % classes { 1.0 - epsilon } else { beside };
                    (share + FLOOR).ln()
                };
                Ok((0..classes * classes).map(entry).collect())
            }
            Self::Confusion(counts) if counts.len() != classes * classes => {
                let len = counts.len();
                Err(fail(format!(
                    "a confusion matrix of {len} numbers does not fit {classes} classes"
                )))
            }
            Self::Confusion(counts) => {
                if let Some(count) = counts.iter().find(|c| !(**c >= 0.0 && c.is_finite())) {
                    return Err(fail(format!("{count} is no count for a confusion matrix")));
                }
                let row = |row: &[f64]| {
                    let sum: f64 = row.iter().sum();
                    // A class that was never predicted: every label is as likely.
                    let share = |c: &f64| if sum > 0.0 { c / sum } else { 1.0 / classes as f64 };
                    row.iter().map(|c| (share(c) + FLOOR).ln()).collect::<Vec<f64>>()
                };
                Ok(counts.chunks(classes).flat_map(row).collect())
            }
        }
    }
}

fn kernel(entry: &'static str, classes: usize, n: usize) -> Kernel {
    Kernel::new(&SHADER, entry).size("CLASSES", classes).size("EXAMPLES", n)
}

impl Method for SModel {
    fn name(&self) -> &'static str {
        match self {
            Self::Diagonal(_) => "s-model",
            Self::Confusion(_) => "s-model-conf",
        }
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
        let (n, classes) = (it.batch_len(), it.network().classes());
        let initial = self.initial(classes)?;
        let noise = it.state("noise", || initial.iter().map(|v| *v as f32).collect());
        let transition = it.table("transition", || vec![0.0; classes * classes]);
        let posterior = it.table("posterior", || vec![0.0; n * classes]);
        let rec = it.own_rec();
        let bindings = vec![rec.read(noise), rec.write(transition)];
        rec.dispatch(kernel("rows", classes, n), bindings, per_element(classes), 0);
        let losses = Losses::transient(rec, n, classes);
        let bindings = vec![
            rec.read(scores),
            rec.read(labels),
            rec.read(transition),
            rec.write(losses.residual),
            rec.write(losses.losses),
            rec.write(losses.predictions),
            rec.write(posterior),
        ];
        let flops = 6 * (n * classes) as u64;
        rec.dispatch(kernel("forward", classes, n), bindings, per_element(n), flops);
        Ok(losses)
    }

    fn learn(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
        weights: TensorId,
    ) -> Result<(), PlanError> {
        let (n, classes) = (it.batch_len(), it.network().classes());
        let transition = it.table("transition", Vec::new);
        let posterior = it.table("posterior", Vec::new);
        let rec = it.own_rec();
        let cells = classes * classes;
        let gradient = rec.transient("noise gradient", cells);
        let bindings = vec![
            rec.read(posterior),
            rec.read(seen.batch.labels),
            rec.read(transition),
            rec.read(weights),
            rec.write(gradient),
        ];
        let flops = 4 * (cells * n) as u64;
        rec.dispatch(kernel("differentiate", classes, n), bindings, per_element(cells), flops);
        it.optimize("noise", gradient);
        Ok(())
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let noise = self.initial(facts.classes).ok()?;
        let mut layer = NoiseLayer { memory: Memory::new(noise.len()), noise };
        Some(Box::new(move |seen: &TwinInput| {
            let (told, posterior) = layer.tell(seen);
            layer.learn(seen, &told.weights, &posterior);
            told
        }))
    }
}

struct NoiseLayer {
    noise: Vec<f64>,
    memory: Memory,
}

impl NoiseLayer {
    fn transition(&self, classes: usize) -> Vec<f64> {
        let row = |row: &[f64]| {
            let sum: f64 = row.iter().map(|v| v.exp()).sum();
            row.iter().map(|v| v.exp() / sum).collect::<Vec<f64>>()
        };
        self.noise.chunks(classes).flat_map(row).collect()
    }

    fn tell(&self, seen: &TwinInput) -> (TwinOutput, Vec<f64>) {
        let (n, classes) = (seen.n(), seen.classes);
        let transition = self.transition(classes);
        let probabilities = seen.probabilities();
        let (mut losses, mut residual, mut posterior) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            let p = &probabilities[i * classes..][..classes];
            let label = seen.labels[i] as usize;
            if !seen.is_labelled(i) {
                losses.push(0.0);
                posterior.extend(vec![0.0; classes]);
                residual.extend(vec![0.0; classes]);
                continue;
            }
            let joint: f64 = (0..classes).map(|k| p[k] * transition[k * classes + label]).sum();
            losses.push(-joint.ln());
            for k in 0..classes {
                let r = p[k] * transition[k * classes + label] / joint;
                posterior.push(r);
                residual.push(p[k] - r);
            }
        }
        let told = seen.told(example_weights::uniform(n));
        (TwinOutput { losses, residual, ..told }, posterior)
    }

    /// Gradient of Σ weights\[i\] f_i by the noise matrix.
    fn gradient(&self, seen: &TwinInput, weights: &[f64], posterior: &[f64]) -> Vec<f64> {
        let classes = seen.classes;
        let transition = self.transition(classes);
        let element = |at: usize| {
            let (row, column) = (at / classes, at % classes);
            let term = |i: usize| {
                let hit = f64::from(u8::from(seen.labels[i] as usize == column));
                weights[i] * posterior[i * classes + row] * (transition[at] - hit)
            };
            (0..seen.n()).map(term).sum()
        };
        (0..classes * classes).map(element).collect()
    }

    fn learn(&mut self, seen: &TwinInput, weights: &[f64], posterior: &[f64]) {
        let gradient = self.gradient(seen, weights, posterior);
        self.memory.descend(seen, &mut self.noise, &gradient);
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::Setup;
    use crate::weighting::tests::{Case, of};
    // p = (9/10, 1/10), label 1: q = 0.9 · 0.46 + 0.1 · 0.54 where T has 0.46 beside the diagonal.
    let train = [of(1, &[2, 0]), of(0, &[2, 0])];
    let (wrong, right) = (0.9 * 0.46 + 0.1 * 0.54, 0.9 * 0.54 + 0.1 * 0.46);
    let plain = Case::new("s-model", 2, &train).weights(&[0.5; 2]);
    // Of four predicted as class 0, one is labelled 1; class 1 was never predicted.
    let setup = Setup { confusion: Some(vec![3.0, 1.0, 0.0, 0.0]), ..Setup::default() };
    let confused = Case::new("s-model-conf", 2, &train).setup(setup).weights(&[0.5; 2]);
    let (wrong_conf, right_conf): (f64, f64) = (0.9 * 0.25 + 0.05, 0.9 * 0.75 + 0.05);
    vec![
        plain.losses(&[-f64::ln(wrong), -f64::ln(right)]),
        confused.losses(&[-wrong_conf.ln(), -right_conf.ln()]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::tests::{assert_residual, seen_for_differences};

    fn layer() -> NoiseLayer {
        let noise = vec![0.3, -0.5, 0.9, 0.0, 1.5, -0.7, 0.2, 0.1, 0.8];
        NoiseLayer { memory: Memory::new(noise.len()), noise }
    }

    #[test]
    fn residuals_are_the_gradients_of_the_losses() {
        assert_residual(|seen| layer().tell(seen).0);
    }

    #[test]
    fn the_noise_matrix_follows_the_gradient_of_the_weighted_loss() {
        let seen = seen_for_differences();
        let weights: Vec<f64> = (0..seen.n()).map(|i| 0.1 + 0.2 * i as f64).collect();
        let objective = |layer: &NoiseLayer| -> f64 {
            layer.tell(&seen).0.losses.iter().zip(&weights).map(|(f, w)| w * f).sum()
        };
        let gradient = layer().gradient(&seen, &weights, &layer().tell(&seen).1);
        for (at, g) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut layer = layer();
                layer.noise[at] += by;
                objective(&layer)
            };
            let numerical = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((numerical - g).abs() < 1e-8, "{at}: {numerical} {g}");
        }
    }
}
