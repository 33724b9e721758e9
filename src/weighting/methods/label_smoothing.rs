//! Any method with smoothed targets.

use crate::gpu::TensorId;
use crate::ops::softmax_cross_entropy::{self as loss, Losses};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError};
use crate::reference::step::{MethodTwin, TwinInput};
use crate::reference::{example_weights, softmax_cross_entropy};
use crate::weighting::{L2rw, Method, Uniform, Weighting};

/// Label smoothing (Szegedy et al. 2016, section 7) of the training examples, whatever weighs them:
/// cross-entropy against the target (1 − s) · onehot + s / C. Losses in reports, and those that
/// methods look at, are these. The clean examples keep their labels as they are.
#[derive(Clone, Debug)]
pub struct LabelSmoothing {
    /// s, at least 0 and below 1; 0.1 in the paper.
    pub smoothing: f64,
    /// What weighs the examples. S-Model and bootstrapping have targets of their own: they are
    /// refused.
    pub of: Weighting,
}

impl Method for LabelSmoothing {
    fn name(&self) -> &'static str {
        self.of.name()
    }

    fn base(&self) -> Option<&Weighting> {
        Some(&self.of)
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
        let fail = |reason| Err(PlanError::Weighting { method: self.name().to_owned(), reason });
        if !(0.0..1.0).contains(&self.smoothing) {
            let smoothing = self.smoothing;
            return fail(format!("smoothing is {smoothing}; it must be at least 0 and below 1"));
        }
        if self.of.has_own_losses() {
            return fail("its targets are not the labels: they cannot be smoothed".into());
        }
        let losses = it.cross_entropy(scores, labels);
        let classes = it.network().classes();
        loss::smooth_target(it.own_rec(), classes, (scores, labels), &losses, self.smoothing);
        Ok(losses)
    }

    /// Of plain training and of learning to reweight: the twins of others compute their losses
    /// themselves.
    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (smoothing, name) = (self.smoothing, self.of.name());
        let is_learned = name == L2rw::default().name();
        let has_factors = !matches!(self.of.class_factors(facts, facts.classes), Ok(None));
        if has_factors || !is_learned && name != Uniform.name() {
            return None;
        }
        Some(Box::new(move |seen: &TwinInput| {
            let (n, classes, scores) = (seen.n(), seen.classes, seen.scores());
            let mut told = seen.told(example_weights::uniform(n));
            (told.losses, told.residual) =
                softmax_cross_entropy::smoothed(n, classes, &scores, &seen.labels, smoothing);
            if is_learned {
                let direction = seen.clean_gradient(&seen.parameters);
                told.similarities = seen.similarities(&told.residual, &direction);
                told.weights = example_weights::rectify_and_normalise(&told.similarities);
            }
            told
        }))
    }
}
