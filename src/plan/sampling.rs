//! Which training examples the batches are made of.

use crate::ops::sample::Rule;

/// Which training examples the batches are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Each example once a pass, in a new random order each pass.
    #[default]
    Passes,
    /// The same over a list of examples, which may name an example several times or not at all.
    Listed(Vec<u32>),
    /// Each draw picks one of the lists at random, then one of its examples at random.
    Balanced(Vec<Vec<u32>>),
    /// Passes over all N examples followed by `again`. An example of `again` is moved a random
    /// part of the way towards a random one of its `neighbours` `[N, count]`.
    Interpolated {
        /// Examples that new ones are made of.
        again: Vec<u32>,
        /// Neighbours of an example.
        count: usize,
        /// `[N, count]`
        neighbours: Vec<u32>,
    },
}

impl Sampling {
    /// The order that draws refer to, and where each list starts in it, and the end.
    pub(crate) fn tables(&self, dataset_len: usize) -> (Vec<u32>, Vec<u32>) {
        let order: Vec<u32> = match self {
            Self::Passes => (0..dataset_len as u32).collect(),
            Self::Listed(list) => list.clone(),
            Self::Balanced(lists) => lists.concat(),
            Self::Interpolated { again, .. } => {
                (0..dataset_len as u32).chain(again.iter().copied()).collect()
            }
        };
        let mut starts = vec![0];
        if let Self::Balanced(lists) = self {
            let ends = lists.iter().filter(|list| !list.is_empty()).scan(0, |end, list| {
                *end += list.len() as u32;
                Some(*end)
            });
            starts.extend(ends);
        } else {
            starts.push(order.len() as u32);
        }
        (order, starts)
    }

    pub(crate) fn rule(&self) -> Rule {
        match self {
            Self::Balanced(_) => Rule::ClassThenExample,
            _ => Rule::Passes,
        }
    }

    /// Draws of a pass where it is not the size of the data set.
    pub(crate) fn pass_len(&self, dataset_len: usize) -> Option<usize> {
        match self {
            Self::Passes | Self::Balanced(_) => None,
            _ => Some(self.tables(dataset_len).0.len()),
        }
    }

    pub(crate) fn neighbours(&self) -> Option<(usize, &[u32])> {
        match self {
            Self::Interpolated { count, neighbours, .. } => Some((*count, neighbours)),
            _ => None,
        }
    }

    /// Says what does not fit a data set of that many examples.
    pub(crate) fn check(&self, dataset_len: usize) -> Result<(), String> {
        let (order, starts) = self.tables(dataset_len);
        if order.is_empty() || starts.len() < 2 {
            return Err("its sampling leaves no training example".into());
        }
        let neighbours = self.neighbours();
        if let Some((count, table)) = neighbours
            && (count == 0 || table.len() != count * dataset_len)
        {
            let len = table.len();
            return Err(format!("{len} neighbours do not make {dataset_len} rows of {count}"));
        }
        let table = neighbours.map_or(&[][..], |(_, table)| table);
        match order.iter().chain(table).find(|index| **index as usize >= dataset_len) {
            Some(index) => Err(format!(
                "its sampling names example {index} of a training set of {dataset_len}"
            )),
            None => Ok(()),
        }
    }
}

/// The examples of each class, `[classes]`.
pub(crate) fn members(labels: &[u32], classes: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); classes];
    for (index, label) in (0u32..).zip(labels) {
        if let Some(class) = members.get_mut(*label as usize) {
            class.push(index);
        }
    }
    members
}
