//! Weights that depend on the label as given alone.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::example_weights::rectify_and_normalise;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// One weight a class, of the label as given, divided by the batch's sum.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelWeights {
    /// PROPORTION (Ren et al. 2018, section 4.1): 1 / n_y, with n_y examples of the class in the
    /// training set.
    Proportion,
    /// WEIGHTED (Ren et al. 2018, section 4.2): the probability, told by an oracle, that a label
    /// that says y is right, `[classes]`.
    Weighted(Vec<f64>),
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "proportion",
        source: "Ren et al. 2018, section 4.1, PROPORTION",
        make: |_| Ok(Weighting::from(LabelWeights::Proportion)),
    },
    Variant {
        name: "weighted",
        source: "Ren et al. 2018, section 4.2, WEIGHTED: P(label correct | label), an oracle",
        make: |setup| {
            let correct = setup.label_correct.clone();
            let missing = "it is an oracle: Setup::label_correct must say how probable it is that \
                           a label is right";
            Ok(Weighting::from(LabelWeights::Weighted(correct.ok_or(missing)?)))
        },
    },
];

static SHADER: Shader = crate::weight_shader!(
    "label_weights",
    "
fn weight(i: u32) -> f32 {
    return table[labels[i]];
}
"
);

impl LabelWeights {
    fn table(&self, facts: &DatasetFacts<'_>, classes: usize) -> Result<Vec<f64>, PlanError> {
        let fail = |reason| PlanError::Weighting { method: self.name().to_owned(), reason };
        match self {
            Self::Proportion => {
                let counts = facts.class_counts(self.name())?;
                Ok(counts.iter().map(|n| if *n == 0 { 0.0 } else { 1.0 / *n as f64 }).collect())
            }
            Self::Weighted(correct) if correct.len() != classes => {
                let len = correct.len();
                Err(fail(format!("{len} probabilities do not fit {classes} classes")))
            }
            Self::Weighted(correct) => match correct.iter().find(|p| !(0.0..=1.0).contains(*p)) {
                Some(p) => Err(fail(format!("{p} is not a probability"))),
                None => Ok(correct.clone()),
            },
        }
    }
}

impl Method for LabelWeights {
    fn name(&self) -> &'static str {
        match self {
            Self::Proportion => "proportion",
            Self::Weighted(_) => "weighted",
        }
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let table = self.table(it.facts(), it.network().classes())?;
        let table = it.table("label weights", || table.iter().map(|w| *w as f32).collect());
        let raw = PerExample::new(&SHADER).table(table).record(it, seen)?;
        Ok(it.normalise(raw))
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let table = self.table(facts, facts.classes).ok()?;
        Some(Box::new(move |seen: &TwinInput| {
            let raw = seen.per_example(|i| table[seen.labels[i] as usize]);
            seen.told(rectify_and_normalise(&raw))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::Setup;
    use crate::weighting::tests::{Case, of};
    // Three of class 0, one of class 1, none of class 2: each class gets half of the weight.
    let train = [of(0, &[1, 0, 0]), of(1, &[0; 3]), of(0, &[2, 2, 0]), of(0, &[0; 3])];
    let proportion = Case::new("proportion", 3, &train);
    // Class 0 is right in 3 of 5, class 1 in all.
    let oracle = Setup { label_correct: Some(vec![0.6, 1.0, 0.0]), ..Setup::default() };
    let weighted = Case::new("weighted", 3, &train).setup(oracle);
    let sixth = 1.0 / 6.0;
    vec![
        proportion.weights(&[sixth, 0.5, sixth, sixth]),
        weighted.weights(&[0.6 / 2.8, 1.0 / 2.8, 0.6 / 2.8, 0.6 / 2.8]),
    ]
}
