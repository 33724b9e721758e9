//! Which examples of one data set are in another one.

use std::collections::HashMap;

use twox_hash::XxHash3_64;

use super::{Dataset, Values};

/// The examples of a data set by what they hold.
pub struct Contents<'a> {
    set: &'a Dataset,
    by_hash: HashMap<u64, Vec<usize>>,
}

impl<'a> Contents<'a> {
    /// Looks through a data set.
    pub fn of(set: &'a Dataset) -> Self {
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
        for index in 0..set.len() {
            by_hash.entry(hash(set, index)).or_default().push(index);
        }
        Self { set, by_hash }
    }

    /// The first example that holds the same numbers as example `index` of `other`.
    pub fn find(&self, other: &Dataset, index: usize) -> Option<usize> {
        let same = |found: &usize| bytes(self.set, *found) == bytes(other, index);
        self.by_hash.get(&hash(other, index))?.iter().copied().find(same)
    }
}

fn hash(set: &Dataset, index: usize) -> u64 {
    XxHash3_64::oneshot(bytes(set, index))
}

fn bytes(set: &Dataset, index: usize) -> &[u8] {
    let range = index * set.example_len()..(index + 1) * set.example_len();
    match &set.values {
        Values::Bytes(all) => all.get(range).unwrap_or_default(),
        Values::Floats(all) => bytemuck::cast_slice(all.get(range).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_found_and_near_copies_are_not() {
        let set = |values: Vec<f32>| {
            let names = vec!["a".to_owned()];
            let labels = vec![0; values.len() / 2];
            Dataset::features("x", 2, names, values, labels).unwrap()
        };
        let known = set(vec![1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
        let contents = Contents::of(&known);
        let other = set(vec![3.0, 4.0, 4.0, 3.0, 1.0, 2.0]);
        let found: Vec<Option<usize>> = (0..3).map(|i| contents.find(&other, i)).collect();
        assert_eq!(found, [Some(1), None, Some(0)]);
    }
}
