use super::resampling::repeated;
use super::sampling::members;
use super::twin::{Seen, Twin};
use super::{Method, Sampling, Variant, Weighting, class_counts};
use crate::plan::{Facts, PlanError};
use crate::reference::weights;

/// SMOTE (Chawla et al. 2002, section 4.2): over-sampling with new examples x + λ (x′ − x), λ uniform in
/// [0, 1) and x′ a random one of the k nearest examples of the same class, by the Euclidean distance of
/// pixels. An example alone in its class is repeated. Finding neighbours takes time quadratic in the
/// size of each class but the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smote {
    /// k; 5 in the paper.
    pub neighbours: usize,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "smote",
    source: "Chawla et al. 2002, section 4.2, 5 neighbours in pixel space",
    make: |_| Ok(Weighting::from(Smote { neighbours: 5 })),
}];

/// The `count` examples of `members` nearest to one of them, the nearest first; where there are
/// fewer they repeat, and an example alone is its own neighbour.
fn nearest(image: impl Fn(u32) -> Vec<u8>, members: &[u32], of: u32, count: usize) -> Vec<u32> {
    let own = image(of);
    let distance = |other: &u32| -> u64 {
        let squares = own.iter().zip(image(*other)).map(|(a, b)| u64::from(a.abs_diff(b)).pow(2));
        squares.sum()
    };
    let others = members.iter().filter(|other| **other != of);
    let mut sorted: Vec<(u64, u32)> = others.map(|other| (distance(other), *other)).collect();
    sorted.sort_unstable();
    let found: Vec<u32> = sorted.into_iter().map(|(_, other)| other).take(count).collect();
    if found.is_empty() { vec![of; count] } else { found.into_iter().cycle().take(count).collect() }
}

impl Method for Smote {
    fn name(&self) -> &'static str {
        "smote"
    }

    fn sampling(&self, facts: &Facts<'_>) -> Result<Sampling, PlanError> {
        let fail = |reason: &str| {
            let (method, reason) = (self.name().to_owned(), reason.to_owned());
            Err(PlanError::Weighting { method, reason })
        };
        class_counts(self.name(), facts)?;
        let len = facts.labels.len();
        if facts.images.is_empty() || !facts.images.len().is_multiple_of(len) {
            return fail("it looks for neighbours, so it needs the images of the training set");
        }
        if self.neighbours == 0 {
            return fail("it has no neighbours; there must be at least 1");
        }
        let size = facts.images.len() / len;
        let image = |i: u32| facts.images[i as usize * size..][..size].to_vec();
        let members = members(facts.labels, facts.classes);
        let again = repeated(&members, facts.seed);
        let mut neighbours: Vec<u32> =
            (0..len as u32).flat_map(|i| vec![i; self.neighbours]).collect();
        let mut wanted = again.clone();
        wanted.sort_unstable();
        wanted.dedup();
        for i in wanted {
            let class = &members[facts.labels[i as usize] as usize];
            let row = nearest(image, class, i, self.neighbours);
            neighbours[i as usize * self.neighbours..][..self.neighbours].copy_from_slice(&row);
        }
        Ok(Sampling::Interpolated { again, count: self.neighbours, neighbours })
    }

    fn twin(&self, _facts: &Facts<'_>) -> Option<Twin> {
        Some(Box::new(|seen: &Seen| seen.told(weights::uniform(seen.n()))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<super::trial::Case> {
    use super::trial::{Case, of};
    let train = [of(1, &[0; 3]), of(1, &[1; 3]), of(2, &[2; 3]), of(1, &[3; 3]), of(2, &[9; 3])];
    vec![Case::new("smote", 3, &train).drawn_by_class(&[3, 3]).weights_of_slots(&[0.2; 5])]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn neighbours_are_the_nearest_of_the_class_and_repeat_where_there_are_few() {
        let image = |i: u32| vec![(i * i) as u8, 3];
        assert_eq!(nearest(image, &[0, 2, 3, 5, 6], 3, 2), [2, 0]);
        assert_eq!(nearest(image, &[1, 4], 4, 3), [1, 1, 1]);
        assert_eq!(nearest(image, &[4], 4, 2), [4, 4]);
    }
}
