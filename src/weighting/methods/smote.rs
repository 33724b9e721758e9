//! SMOTE: rare classes get new examples that lie between two old ones.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::num::NonZero;
use std::thread;

use super::resampling::repeated;
use crate::plan::sampling::members;
use crate::plan::{DatasetFacts, PlanError, Values};
use crate::reference::example_weights;
use crate::reference::step::{MethodTwin, TwinInput};
use crate::weighting::{Method, Sampling, Variant, Weighting};

/// SMOTE (Chawla et al. 2002, section 4.2): over-sampling with new examples x + λ (x′ − x), λ
/// uniform in [0, 1) and x′ a random one of the k nearest examples of the same class, by the
/// Euclidean distance of the values before normalisation: bring features to one scale beforehand.
/// An example alone in its class is repeated.
///
/// Neighbours are found on the host, before the first step, in time quadratic in the size of each
/// class but the largest: for 5,000 images of CIFAR-10 some four seconds of one core, and every
/// core takes part. Bytes let the search end early, floats do not.
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

/// Bytes whose sum stands for them in the lower bound of a distance.
const RUN: usize = 8;

/// What neighbours are measured by.
trait Measured: Copy + Sync {
    /// A number that is larger where the squared Euclidean distance is; of bytes that distance.
    fn distance(a: &[Self], b: &[Self]) -> u64;

    /// The sums of the runs, of which distances have a lower bound; none where they have no bound.
    fn run_sums(image: &[Self]) -> Vec<i16>;
}

impl Measured for u8 {
    fn distance(a: &[Self], b: &[Self]) -> u64 {
        distance(a, b)
    }

    fn run_sums(image: &[Self]) -> Vec<i16> {
        let sum = |run: &[u8]| run.iter().map(|value| i16::from(*value)).sum::<i16>();
        image.chunks(RUN).map(sum).collect()
    }
}

impl Measured for f32 {
    fn distance(a: &[Self], b: &[Self]) -> u64 {
        let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        // The bits of floats that are not negative are in the order of the floats.
        a.iter().zip(b).map(square).sum::<f64>().to_bits()
    }

    fn run_sums(_image: &[Self]) -> Vec<i16> {
        Vec::new()
    }
}

/// The examples of a class, ready for the search.
struct Class<'a, T> {
    members: &'a [u32],
    images: Vec<&'a [T]>,
    /// Of each image, the sums of its runs of bytes: `[members, runs]`.
    sums: Vec<i16>,
    runs: usize,
}

/// Squared Euclidean distance of bytes or of sums of [`RUN`] bytes, 128 of whose squares fit 32
/// bits.
fn distance<T: Copy + Into<i16>>(a: &[T], b: &[T]) -> u64 {
    // Products of 16-bit differences are what vector units have an instruction for.
    let square = |(a, b): (&T, &T)| {
        let difference = (*a).into().wrapping_sub((*b).into());
        i32::from(difference) * i32::from(difference)
    };
    let chunks = a.chunks(128).zip(b.chunks(128));
    chunks.map(|(a, b)| a.iter().zip(b).map(square).sum::<i32>() as u64).sum()
}

impl<'a, T: Measured> Class<'a, T> {
    fn new(images: &'a [T], size: usize, members: &'a [u32]) -> Self {
        let image = |member: &u32| &images[*member as usize * size..][..size];
        let images: Vec<&[T]> = members.iter().map(image).collect();
        let sums: Vec<i16> = images.iter().flat_map(|image| T::run_sums(image)).collect();
        let runs = sums.len() / members.len().max(1);
        Self { members, images, sums, runs }
    }

    fn sums_of(&self, at: usize) -> &[i16] {
        &self.sums[at * self.runs..][..self.runs]
    }

    /// Fills `nearest` with the examples nearest to the one at a place among the members, the
    /// nearest first; where there are fewer they repeat, and an example alone is its own neighbour.
    ///
    /// By Cauchy and Schwarz, a squared distance is at least that of the sums of runs divided by
    /// the length of a run: taken in the order of this bound, most examples need not be looked at.
    fn search(&self, of: usize, nearest: &mut [u32]) {
        let bound = |at| distance(self.sums_of(of), self.sums_of(at)) / RUN as u64;
        let others = (0..self.members.len()).filter(|at| *at != of);
        let mut by_bound: BinaryHeap<_> = others.map(|at| Reverse((bound(at), at))).collect();
        let mut found: Vec<(u64, u32)> = Vec::new();
        while let Some(Reverse((bound, at))) = by_bound.pop() {
            if found.len() == nearest.len() && found.last().is_some_and(|last| bound > last.0) {
                break;
            }
            let next = (T::distance(self.images[of], self.images[at]), self.members[at]);
            found.insert(found.partition_point(|nearer| *nearer < next), next);
            found.truncate(nearest.len());
        }
        if found.is_empty() {
            found.push((0, self.members[of]));
        }
        for (slot, (_, member)) in nearest.iter_mut().zip(found.iter().cycle()) {
            *slot = *member;
        }
    }

    /// The `count` nearest of each of some members, by their places: `[places, count]`. Every core
    /// takes a part.
    fn search_all(&self, places: &[usize], count: usize) -> Vec<u32> {
        let mut nearest = vec![0; places.len() * count];
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let part = places.len().div_ceil(threads).max(1);
        let search = |(places, nearest): (&[usize], &mut [u32])| {
            for (of, nearest) in places.iter().zip(nearest.chunks_mut(count)) {
                self.search(*of, nearest);
            }
        };
        let mut parts = places.chunks(part).zip(nearest.chunks_mut(part * count));
        thread::scope(|scope| {
            let first = parts.next();
            for part in parts {
                scope.spawn(move || search(part));
            }
            first.map(search);
        });
        nearest
    }
}

impl Method for Smote {
    fn name(&self) -> &'static str {
        "smote"
    }

    fn sampling(&self, facts: &DatasetFacts<'_>) -> Result<Sampling, PlanError> {
        let fail = |reason: &str| {
            let (method, reason) = (self.name().to_owned(), reason.to_owned());
            Err(PlanError::Weighting { method, reason })
        };
        facts.class_counts(self.name())?;
        let len = facts.labels.len();
        if facts.values.is_empty() || !facts.values.len().is_multiple_of(len) {
            return fail("it looks for neighbours, so it needs the values of the training set");
        }
        if self.neighbours == 0 {
            return fail("it has no neighbours; there must be at least 1");
        }
        let size = facts.values.len() / len;
        let members = members(facts.labels, facts.classes);
        let again = repeated(&members, facts.seed);
        let count = self.neighbours;
        let mut neighbours: Vec<u32> = (0..len as u32).flat_map(|i| vec![i; count]).collect();
        let wanted: HashSet<u32> = again.iter().copied().collect();
        for members in &members {
            let is_wanted = |at: &usize| wanted.contains(&members[*at]);
            let places: Vec<usize> = (0..members.len()).filter(is_wanted).collect();
            let found = match facts.values {
                Values::Bytes(all) => Class::new(all, size, members).search_all(&places, count),
                Values::Floats(all) => Class::new(all, size, members).search_all(&places, count),
            };
            for (at, found) in places.iter().zip(found.chunks(count)) {
                neighbours[members[*at] as usize * count..][..count].copy_from_slice(found);
            }
        }
        Ok(Sampling::Interpolated { again, count: self.neighbours, neighbours })
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        Some(Box::new(|seen: &TwinInput| seen.told(example_weights::uniform(seen.n()))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    let train = [of(1, &[0; 3]), of(1, &[1; 3]), of(2, &[2; 3]), of(1, &[3; 3]), of(2, &[9; 3])];
    vec![Case::new("smote", 3, &train).drawn_by_class(&[3, 3]).weights_of_slots(&[0.2; 5])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of<T: Measured>(
        images: &[T],
        size: usize,
        members: &[u32],
        of: u32,
        count: usize,
    ) -> Vec<u32> {
        let at = members.iter().position(|member| *member == of).unwrap();
        Class::new(images, size, members).search_all(&[at], count)
    }

    #[test]
    fn neighbours_are_the_nearest_of_the_class_and_repeat_where_there_are_few() {
        let images: Vec<u8> = (0..7u8).flat_map(|i| [i * i, 3]).collect();
        let nearest = |members, of, count| nearest_of(&images, 2, members, of, count);
        assert_eq!(nearest(&[0, 2, 3, 5, 6], 3, 2), [2, 0]);
        assert_eq!(nearest(&[1, 4], 4, 3), [1, 1, 1]);
        assert_eq!(nearest(&[4], 4, 2), [4, 4]);
    }

    #[test]
    fn floats_have_the_neighbours_of_the_bytes_that_they_equal() {
        let bytes: Vec<u8> =
            (0..7 * 9).map(|i| crate::reference::rng::pcg_hash(i) as u8 % 40).collect();
        let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * 0.25 - 3.0).collect();
        let members = [0, 2, 3, 4, 5, 6];
        for of in members {
            let expected = nearest_of(&bytes, 9, &members, of, 4);
            assert_eq!(nearest_of(&floats, 9, &members, of, 4), expected, "{of}");
        }
    }

    /// Distances one by one; equal ones in the order of the set.
    fn slowly(images: &[u8], size: usize, members: &[u32], of: u32, count: usize) -> Vec<u32> {
        let image = |i: u32| &images[i as usize * size..][..size];
        let distance = |i: u32| -> u64 {
            let pairs = image(of).iter().zip(image(i));
            pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
        };
        let others = members.iter().filter(|other| **other != of);
        let mut sorted: Vec<(u64, u32)> = others.map(|other| (distance(*other), *other)).collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|(_, other)| other).take(count).collect()
    }

    #[test]
    fn the_search_that_ends_early_finds_what_the_whole_search_finds() {
        let hash = |i: usize| crate::reference::rng::pcg_hash(i as u32);
        // Sizes beside those of runs and chunks; noise, smooth images, extremes, many equal ones.
        for size in [1, 15, 17, 300, 3072] {
            let bytes = 60 * size;
            let kinds: [(&str, Vec<u8>); 4] = [
                ("noise", (0..bytes).map(|i| hash(i) as u8).collect()),
                (
                    "smooth",
                    (0..bytes).map(|i| (hash(i / size) % 200 + hash(i) % 50) as u8).collect(),
                ),
                (
                    "extremes",
                    (0..bytes).map(|i| if hash(i / size) % 2 == 0 { 0 } else { 255 }).collect(),
                ),
                ("equal", (0..bytes).map(|i| (hash(i / size) % 3) as u8).collect()),
            ];
            for (kind, images) in kinds {
                let members: Vec<u32> = (0..60).filter(|i| i % 3 > 0).collect();
                let class = Class::new(&images, size, &members);
                let places: Vec<usize> = (0..members.len()).collect();
                let found = class.search_all(&places, 5);
                for (of, found) in members.iter().zip(found.chunks(5)) {
                    let expected = slowly(&images, size, &members, *of, 5);
                    assert_eq!(found, expected, "{kind}, {size} bytes, {of}");
                }
            }
        }
    }
}
