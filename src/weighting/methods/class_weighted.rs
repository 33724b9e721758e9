//! Any method with its weights multiplied by a factor for each class.

use crate::plan::{DatasetFacts, IterationBuilder, PlanError, WeightedBatch};
use crate::reference::example_weights;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, Weighting};

/// Factors for the examples of a class, whatever weighs them: w_i c_y / Σ_k w_k c_y(k), with the
/// class y of the label as given. The sum is that of the batch.
///
/// Learned weights tell examples apart, and the factors say what a class counts for: classes of
/// which the training set has few, or that are more frequent where the network will be used.
#[derive(Clone, Debug)]
pub struct ClassWeighted {
    /// c
    pub factors: ClassFactors,
    /// What weighs the examples. Meta-Weight-Net, which learns from what its weights lead to, is
    /// refused.
    pub of: Weighting,
}

/// A factor for each class.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassFactors {
    /// 1 / n_y, with n_y examples of the class in the training set: all classes count the same
    /// (King and Zeng 2001).
    Balanced,
    /// These, `[classes]`: finite, none below 0, one above. For other frequencies of classes than
    /// those of the training set, π'_y / π_y (Saerens et al. 2002).
    Given(Vec<f64>),
}

impl ClassFactors {
    /// As shares of the largest.
    fn table(
        &self,
        method: &str,
        facts: &DatasetFacts<'_>,
        classes: usize,
    ) -> Result<Vec<f64>, PlanError> {
        let fail = |reason| Err(PlanError::Weighting { method: method.to_owned(), reason });
        let table: Vec<f64> = match self {
            Self::Balanced => {
                let counts = facts.class_counts(method)?;
                counts.iter().map(|n| if *n == 0 { 0.0 } else { 1.0 / *n as f64 }).collect()
            }
            Self::Given(factors) => factors.clone(),
        };
        let largest = table.iter().copied().fold(0.0, f64::max);
        if table.len() != classes {
            return fail(format!("{} factors do not fit {classes} classes", table.len()));
        }
        if let Some(c) = table.iter().find(|c| !(c.is_finite() && **c >= 0.0)) {
            return fail(format!("{c} is no factor of a class"));
        }
        if largest == 0.0 {
            return fail("the factors of all classes are 0".into());
        }
        Ok(table.iter().map(|c| c / largest).collect())
    }
}

impl Method for ClassWeighted {
    fn name(&self) -> &'static str {
        self.of.name()
    }

    fn base(&self) -> Option<&Weighting> {
        Some(&self.of)
    }

    fn class_factors(
        &self,
        facts: &DatasetFacts<'_>,
        classes: usize,
    ) -> Result<Option<Vec<f64>>, PlanError> {
        if self.of.class_factors(facts, classes)?.is_some() {
            let (method, reason) = (self.name().to_owned(), "it has factors of classes twice");
            return Err(PlanError::Weighting { method, reason: reason.into() });
        }
        self.factors.table(self.name(), facts, classes).map(Some)
    }

    fn record(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        let weighed = self.of.record(it)?;
        match it.has_weighed_classes() {
            true => Ok(weighed),
            false => Err(it.refusal("its weights cannot be multiplied by factors of classes")),
        }
    }

    /// Not of methods with losses of their own, which may learn from the weights.
    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        if self.of.has_own_losses() {
            return None;
        }
        let table = self.class_factors(facts, facts.classes).ok()??;
        let mut twin = self.of.twin(facts)?;
        Some(Box::new(move |seen: &TwinInput| {
            let mut told = twin(seen);
            let raw = example_weights::by_class(&told.weights, &seen.labels, &table);
            told.weights = example_weights::rectify_and_normalise(&raw);
            told
        }))
    }
}
