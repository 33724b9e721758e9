//! What a way to weight examples may replace of an iteration: the plug that `weighting` fills.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{DatasetFacts, IterationBuilder, PlanError, Sampling, ScoredBatch, WeightedBatch};
use crate::gpu::TensorId;
use crate::ops::softmax_cross_entropy::Losses;
use crate::reference::step::MethodTwin;

/// A way to weight training examples.
///
/// An iteration goes: draw batches, forward, [`losses`](Self::losses), [`weights`](Self::weights),
/// [`learn`](Self::learn), backward of Σ w_i f_i, update. A method replaces the parts in which it
/// differs from plain training, or from another method ([`base`](Self::base)), or the whole,
/// [`record`](Self::record).
pub trait Method: fmt::Debug + Send + Sync {
    /// Name in tables, files and errors.
    fn name(&self) -> &'static str;

    /// The method in which this one replaces a part, rather than in plain training: all that is not
    /// replaced, but name and twin, is that one's. Its [`record`](Self::record) asks itself for
    /// `weights` and `learn`, so that who replaces these replaces `record` as well.
    fn base(&self) -> Option<&Weighting> {
        None
    }

    /// Whether clean examples take part in each step.
    fn uses_clean_set(&self) -> bool {
        self.base().is_some_and(|base| base.uses_clean_set())
    }

    /// Whether ranks that see a part of the batch each, and exchange what the plan
    /// [names](crate::plan::Plan::exchange_points), give every example the weight that it would
    /// have on one device.
    fn divides(&self) -> bool {
        self.base().is_some_and(|base| base.divides())
    }

    /// Which examples the training batches are made of.
    ///
    /// # Errors
    /// When it needs facts that are not known.
    fn sampling(&self, facts: &DatasetFacts<'_>) -> Result<Sampling, PlanError> {
        match self.base() {
            Some(base) => base.sampling(facts),
            None => Ok(Sampling::Passes),
        }
    }

    /// Losses of scores `[n, classes]` against labels `[n]`, and their gradients by the scores.
    ///
    /// # Errors
    /// When they cannot be recorded.
    fn losses(
        &self,
        it: &mut IterationBuilder<'_>,
        scores: TensorId,
        labels: TensorId,
    ) -> Result<Losses, PlanError> {
        match self.base() {
            Some(base) => base.losses(it, scores, labels),
            None => Ok(it.cross_entropy(scores, labels)),
        }
    }

    /// Whether [`losses`](Self::losses) are others than the cross-entropy of the labels.
    fn has_own_losses(&self) -> bool {
        self.base().is_some_and(|base| base.has_own_losses())
    }

    /// w, `[n]`, of a batch after its forward pass.
    ///
    /// # Errors
    /// When they cannot be recorded.
    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        match self.base() {
            Some(base) => base.weights(it, seen),
            None => Ok(it.uniform()),
        }
    }

    /// Factors of the classes, `[classes]`, that [`IterationBuilder::by_class`] multiplies weights
    /// by; `None` where a class counts for what its examples do.
    ///
    /// # Errors
    /// When there are none that fit.
    fn class_factors(
        &self,
        facts: &DatasetFacts<'_>,
        classes: usize,
    ) -> Result<Option<Vec<f64>>, PlanError> {
        match self.base() {
            Some(base) => base.class_factors(facts, classes),
            None => Ok(None),
        }
    }

    /// What the method itself learns from a batch, after its weights are known.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn learn(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
        weights: TensorId,
    ) -> Result<(), PlanError> {
        match self.base() {
            Some(base) => base.learn(it, seen, weights),
            None => Ok(()),
        }
    }

    /// The whole iteration up to the gradient of the weighted loss, in
    /// [`IterationBuilder::gradient`].
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn record(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        if let Some(base) = self.base() {
            return base.record(it);
        }
        let batch = it.training_batch()?;
        let train = it.forward(batch)?;
        it.own_rec().stage("weights");
        let weights = self.weights(it, &train)?;
        let weights = it.by_class(&train, weights)?;
        self.learn(it, &train, weights)?;
        it.own_rec().allow_rounding(true);
        it.weighted_backward(&train, weights);
        Ok(WeightedBatch::new(train, weights))
    }

    /// The CPU twin, where there is one.
    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let _ = facts;
        None
    }
}

/// A method as trainers and plans take it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Weighting(Arc<dyn Method>);

impl<M: Method + 'static> From<M> for Weighting {
    fn from(method: M) -> Self {
        Self(Arc::new(method))
    }
}

impl Deref for Weighting {
    type Target = dyn Method;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
