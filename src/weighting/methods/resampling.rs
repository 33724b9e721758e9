//! Classes balanced by which examples are drawn.

use crate::plan::sampling::members;
use crate::plan::{DatasetFacts, PlanError};
use crate::reference::step::{MethodTwin, TwinInput};
use crate::reference::{example_weights, rng};
use crate::weighting::{Method, Sampling, Variant, Weighting};

/// Balanced classes by the choice of what is drawn; every drawn example weighs 1/n. Classes without
/// examples are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// RESAMPLE (Ren et al. 2018, section 4.1): a class at random, then one of its examples.
    ClassThenExample,
    /// Each class keeps as many examples, chosen at random, as the smallest one has.
    Under,
    /// Examples are repeated, with replacement, until each class has as many as the largest one.
    Over,
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "resample",
        source: "Ren et al. 2018, section 4.1, RESAMPLE",
        make: |_| Ok(Weighting::from(Resampling::ClassThenExample)),
    },
    Variant {
        name: "under-sampling",
        source: "Japkowicz and Stephen 2002, random under-sampling",
        make: |_| Ok(Weighting::from(Resampling::Under)),
    },
    Variant {
        name: "over-sampling",
        source: "Japkowicz and Stephen 2002, random over-sampling",
        make: |_| Ok(Weighting::from(Resampling::Over)),
    },
];

/// Examples to repeat so that each class has as many as the largest one, in order of the classes.
pub(super) fn repeated(members: &[Vec<u32>], seed: u32) -> Vec<u32> {
    let largest = members.iter().map(Vec::len).max().unwrap_or(0);
    let mut again = Vec::new();
    for (class, members) in (0u32..).zip(members).filter(|(_, members)| !members.is_empty()) {
        for k in 0..(largest - members.len()) as u32 {
            let random = rng::pcg_hash(seed ^ rng::pcg_hash(class ^ rng::pcg_hash(k)));
            again.push(members[random as usize % members.len()]);
        }
    }
    again
}

impl Method for Resampling {
    fn name(&self) -> &'static str {
        match self {
            Self::ClassThenExample => "resample",
            Self::Under => "under-sampling",
            Self::Over => "over-sampling",
        }
    }

    fn sampling(&self, facts: &DatasetFacts<'_>) -> Result<Sampling, PlanError> {
        let counts = facts.class_counts(self.name())?;
        let members = members(facts.labels, facts.classes);
        Ok(match self {
            Self::ClassThenExample => Sampling::Balanced(members),
            Self::Under => {
                let least = counts.iter().copied().filter(|n| *n > 0).min().unwrap_or(0) as u32;
                let chosen = |(class, members): (u32, &Vec<u32>)| {
                    let (members, len) = (members.clone(), members.len() as u32);
                    let picks = (0..least.min(len))
                        .map(move |k| rng::permuted_index(facts.seed, class, k, len) as usize);
                    picks.map(move |k| members[k]).collect::<Vec<u32>>()
                };
                let classes = (0u32..).zip(&members);
                Sampling::Listed(classes.flat_map(chosen).collect())
            }
            Self::Over => {
                let all = 0..facts.labels.len() as u32;
                Sampling::Listed(all.chain(repeated(&members, facts.seed)).collect())
            }
        })
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        Some(Box::new(|seen: &TwinInput| seen.told(example_weights::uniform(seen.n()))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // Three of class 1, one of class 2, none of class 0.
    let train = [of(1, &[0; 3]), of(1, &[1; 3]), of(2, &[2; 3]), of(1, &[3; 3])];
    let balanced = [of(0, &[0, 1]), of(1, &[2, 0])];
    // Class 1 in the order, then class 2: each once, and drawn with probability ½ each.
    vec![
        Case::new("resample", 3, &train).drawn(&[1, 1, 1, 1]).weights_of_slots(&[0.25; 4]),
        Case::new("over-sampling", 3, &train).drawn_by_class(&[3, 3]).weights_of_slots(&[0.25; 4]),
        Case::new("under-sampling", 3, &train).batch(2).drawn_by_class(&[1, 1]),
        Case::new("under-sampling", 2, &balanced).drawn(&[1, 1]).weights(&[0.5; 2]),
        Case::new("over-sampling", 2, &balanced).drawn(&[1, 1]).weights(&[0.5; 2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_then_example_draws_each_class_equally_often() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i % 10 == 0) * 2).collect();
        let facts =
            DatasetFacts { labels: &labels, classes: 3, seed: 1, ..DatasetFacts::default() };
        let sampling = Resampling::ClassThenExample.sampling(&facts).unwrap();
        let (order, starts) = sampling.tables(100);
        let mut counts = [0; 3];
        for number in 0..500 {
            for slot in 0..4 {
                let place = crate::reference::sample::class_place(1, number, slot, &starts);
                counts[labels[order[place] as usize] as usize] += 1;
            }
        }
        // 1,000 expected, standard deviation 22.
        assert_eq!(counts[1], 0);
        assert!((900..1100).contains(&counts[2]), "{counts:?}");
    }
}
