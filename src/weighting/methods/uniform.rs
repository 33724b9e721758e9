//! Plain training, the baseline of every comparison.

use crate::plan::DatasetFacts;
use crate::reference;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, Variant, Weighting};

/// Plain training: w_i = 1/n, the mean loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uniform;

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "baseline",
    source: "plain training; Ren et al. 2018, section 4, BASELINE",
    make: |_| Ok(Weighting::from(Uniform)),
}];

impl Method for Uniform {
    fn name(&self) -> &'static str {
        "baseline"
    }

    fn divides(&self) -> bool {
        true
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        Some(Box::new(|seen: &TwinInput| seen.told(reference::example_weights::uniform(seen.n()))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    vec![Case::new("baseline", 2, &[of(0, &[2, 0]), of(1, &[2, 0])]).weights(&[0.5, 0.5])]
}
