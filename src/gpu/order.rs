//! Order of dispatches. A device waits wherever a dispatch needs what an earlier one left; those
//! that need nothing of each other run together, if they are neighbours.

use std::ops::Range;

use super::{Binding, Dispatch, Recording, TensorId};

/// Dispatches that may come together: enough to fill the gaps of each other, few enough that what
/// they write does not swell the memory of a run.
const MAX_GROUP: usize = 8;

/// How far ahead of its turn a dispatch may be fetched.
const WINDOW: usize = 64;

impl Recording {
    /// The number of the group of each dispatch, counted from 0: a new group begins where a
    /// dispatch touches what one of the group has written, or writes what one of the group touches.
    /// The device waits between groups.
    pub fn groups(&self) -> Vec<usize> {
        let mut groups = Vec::with_capacity(self.dispatches.len());
        let mut first = 0;
        let mut number = 0;
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            if self.dispatches[first..at].iter().any(|earlier| conflict(earlier, dispatch)) {
                first = at;
                number += 1;
            }
            groups.push(number);
        }
        groups
    }

    /// How often the device waits during a run for dispatches to end.
    pub fn barriers(&self) -> usize {
        self.groups().last().copied().unwrap_or(0)
    }

    /// Brings dispatches that need nothing of each other together, within each of the ranges that
    /// `fences`, ascending, divide the recording into. Results stay the same to the bit.
    pub(super) fn schedule(&mut self, fences: &[usize]) {
        let ends = fences.iter().copied().chain([self.dispatches.len()]);
        let starts = [0].into_iter().chain(fences.iter().copied());
        let order: Vec<usize> =
            starts.zip(ends).flat_map(|(start, end)| self.order(start..end)).collect();
        let mut dispatches: Vec<Option<Dispatch>> =
            std::mem::take(&mut self.dispatches).into_iter().map(Some).collect();
        self.dispatches = order.into_iter().filter_map(|at| dispatches[at].take()).collect();
    }

    /// The order of execution of the dispatches of `range`, group by group. A group takes from the
    /// longest chain of those that need each other first, then the earliest that nothing unfinished
    /// holds up.
    fn order(&self, range: Range<usize>) -> Vec<usize> {
        let start = range.start;
        let needed = self.needed(range.clone());
        let chains = chains(start, &needed);
        let mut remaining: Vec<usize> = range.collect();
        let mut done = vec![false; remaining.len()];
        let mut order = Vec::with_capacity(remaining.len());
        while !remaining.is_empty() {
            let is_ready =
                |at: &usize| needed[at - start].iter().all(|before| done[before - start]);
            let near = remaining.iter().copied().take(WINDOW);
            let ready: Vec<usize> = near.filter(is_ready).collect();
            let longest = ready.iter().copied().rev().max_by_key(|at| chains[at - start]);
            let mut group: Vec<usize> = Vec::with_capacity(MAX_GROUP);
            for at in longest.into_iter().chain(ready) {
                let apart = |other: &usize| {
                    *other == at || conflict(&self.dispatches[*other], &self.dispatches[at])
                };
                if group.len() < MAX_GROUP && !group.iter().any(apart) {
                    group.push(at);
                    done[at - start] = true;
                }
            }
            group.sort_unstable();
            remaining.retain(|at| !done[at - start]);
            order.extend(group);
        }
        order
    }

    /// For each dispatch of `range`, those of the range that have to come before it.
    fn needed(&self, range: Range<usize>) -> Vec<Vec<usize>> {
        let mut uses: Vec<Vec<(usize, Binding)>> = vec![Vec::new(); self.tensors.len()];
        let mut needed = Vec::with_capacity(range.len());
        for at in range {
            let mut before = Vec::new();
            for binding in &self.dispatches[at].bindings {
                let matters = |(_, earlier): &&(usize, Binding)| {
                    (earlier.is_written() || binding.is_written()) && earlier.overlaps(binding)
                };
                let earlier = uses[binding.tensor.0].iter().filter(matters);
                before.extend(earlier.map(|(earlier, _)| *earlier));
            }
            for binding in &self.dispatches[at].bindings {
                uses[binding.tensor.0].push((at, *binding));
            }
            needed.push(before);
        }
        needed
    }
}

/// For each dispatch from `start` on, how many have to run one after the other until nothing needs
/// it any more.
fn chains(start: usize, needed: &[Vec<usize>]) -> Vec<usize> {
    let mut chains = vec![1; needed.len()];
    for at in (0..needed.len()).rev() {
        for before in &needed[at] {
            chains[before - start] = chains[before - start].max(chains[at] + 1);
        }
    }
    chains
}

/// Whether the device waits between two dispatches: it goes by buffers, not by ranges of them.
fn conflict(a: &Dispatch, b: &Dispatch) -> bool {
    let touches = |dispatch: &Dispatch, tensor: TensorId| {
        dispatch.bindings.iter().any(|binding| binding.tensor == tensor)
    };
    let breaks = |writer: &Dispatch, other: &Dispatch| {
        let written = writer.bindings.iter().filter(|binding| binding.is_written());
        written.into_iter().any(|binding| touches(other, binding.tensor))
    };
    breaks(a, b) || breaks(b, a)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Access, Kernel, Recorder, Shader};
    use super::*;

    static SHADER: Shader = Shader::new("any", &[]);

    const TENSORS: usize = 12;

    /// What a dispatch reads, what it writes, and whether a fence follows.
    type Step = (usize, usize, bool);

    /// Dispatches labelled with their place in the order of recording, and the fences.
    fn recorded(steps: &[Step]) -> (Recording, Vec<usize>) {
        let mut rec = Recorder::new();
        let float = super::super::ElementType::F32;
        let tensors: Vec<TensorId> =
            (0..TENSORS).map(|i| rec.external(format!("tensor {i}"), float, 64)).collect();
        let mut fences = Vec::new();
        for (at, &(read, written, fence)) in steps.iter().enumerate() {
            rec.label(at.to_string());
            let mut bindings = vec![rec.whole(tensors[written], Access::ReadWrite)];
            if read != written {
                bindings.push(rec.read(tensors[read]));
            }
            rec.dispatch(Kernel::new(&SHADER, "main"), bindings, [1, 1, 1], 0);
            if fence {
                fences.push(rec.fence());
            }
        }
        (rec.finish().unwrap(), fences)
    }

    fn places(recording: &Recording) -> Vec<usize> {
        recording.dispatches.iter().map(|dispatch| dispatch.label.parse().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn no_dispatch_overtakes_one_that_it_depends_on_or_a_fence(
            steps in prop::collection::vec(
                (0..TENSORS, 0..TENSORS, prop::bool::weighted(0.1)),
                0..200,
            ),
        ) {
            let (recording, fences) = recorded(&steps);
            let places = places(&recording);
            let mut sorted = places.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..steps.len()).collect::<Vec<_>>());
            for (at, first) in recording.dispatches.iter().enumerate() {
                for (second, place) in recording.dispatches[at..].iter().zip(&places[at..]) {
                    prop_assert!(places[at] <= *place || !conflict(first, second));
                }
            }
            for fence in fences {
                prop_assert!(places[..fence].iter().all(|&place| place < fence));
            }
        }
    }

    #[test]
    fn chains_that_need_nothing_of_each_other_run_side_by_side() {
        let chain = |tensor| vec![(tensor, tensor, false); 6];
        let (recording, _) = recorded(&[chain(0), chain(1), chain(2)].concat());
        assert_eq!(recording.barriers(), 5);
        assert_eq!(places(&recording)[..4], [0, 6, 12, 1]);
        assert_eq!(recording.groups()[..4], [0, 0, 0, 1]);
    }

    #[test]
    fn a_fence_keeps_chains_apart() {
        let chain = |tensor, fence| vec![(tensor, tensor, false), (tensor, tensor, fence)];
        let (recording, _) = recorded(&[chain(0, true), chain(1, false)].concat());
        assert_eq!(places(&recording), [0, 1, 2, 3]);
    }

    #[test]
    fn only_a_few_come_together_so_that_few_results_wait() {
        let steps: Vec<Step> = (0..TENSORS).flat_map(|i| [(i, i, false); 2]).collect();
        let places = places(&recorded(&steps).0);
        assert_eq!(places[..MAX_GROUP], [0, 2, 4, 6, 8, 10, 12, 14]);
        assert_eq!(places[MAX_GROUP], 1, "what can end comes before what can begin");
    }

    #[test]
    fn what_is_far_ahead_waits_for_its_turn() {
        let chain = |tensor| vec![(tensor, tensor, false); 100];
        let (recording, _) = recorded(&[chain(0), chain(1)].concat());
        assert_eq!(places(&recording)[..3], [0, 1, 2]);
    }
}
