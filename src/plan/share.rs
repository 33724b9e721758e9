//! Which part of each batch a rank of a data-parallel run takes.

use std::ops::Range;

use super::PlanError;

/// The part of each batch, of training and of clean examples, that one of several ranks takes.
/// Parts lie side by side in the order of ranks, and differ by one example at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    ranks: usize,
    synchronised: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Share {
    /// All of each batch.
    pub const WHOLE: Self = Self { rank: 0, ranks: 1, synchronised: false };

    /// The part of rank `rank`, counted from 0, of `ranks`.
    ///
    /// # Errors
    /// [`PlanError::Share`] when there is no such rank.
    pub fn new(rank: usize, ranks: usize) -> Result<Self, PlanError> {
        match rank < ranks {
            true => Ok(Self { rank, ranks, synchronised: false }),
            false => {
                let reason = format!("there are {ranks} ranks, counted from 0");
                Err(PlanError::Share { rank, reason })
            }
        }
    }

    /// The same, and whether BatchNorm takes its statistics over the whole batch instead of this
    /// part. All of a batch has the same statistics either way.
    #[must_use]
    pub fn synchronised(self, synchronised: bool) -> Self {
        Self { synchronised: synchronised && !self.is_whole(), ..self }
    }

    /// Whether BatchNorm's statistics are gathered from others.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised
    }

    /// Which rank's part.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks that take part.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Whether it is all of each batch.
    pub fn is_whole(&self) -> bool {
        self.ranks == 1
    }

    /// The slots of a batch of `len` examples that belong to the part.
    pub fn of(&self, len: usize) -> Range<usize> {
        let first = |rank: usize| (len as u128 * rank as u128 / self.ranks as u128) as usize;
        first(self.rank)..first(self.rank + 1)
    }

    /// Refuses a batch that has no example for the rank.
    pub(super) fn check(&self, which: &str, len: usize) -> Result<(), PlanError> {
        if len == 0 || len >= self.ranks {
            return Ok(());
        }
        let (rank, ranks) = (self.rank, self.ranks);
        let reason =
            format!("the {which} batch has {len} examples for {ranks} ranks: take fewer ranks");
        Err(PlanError::Share { rank, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn parts_cover_a_batch_in_order_and_differ_by_one_at_most() {
        for (len, ranks) in [(96, 4), (97, 4), (5, 3), (3, 3), (100, 7), (1, 1)] {
            let mut next = 0;
            for rank in 0..ranks {
                let part = Share::new(rank, ranks).unwrap().of(len);
                assert_eq!(part.start, next, "{len} over {ranks}");
                assert!((len / ranks..=len.div_ceil(ranks)).contains(&part.len()), "{part:?}");
                next = part.end;
            }
            assert_eq!(next, len);
        }
    }

    #[test]
    fn a_rank_that_there_is_not_is_refused() {
        let error = Share::new(2, 2).unwrap_err().to_string();
        assert!(error.contains("rank 2") && error.contains("2 ranks"), "{error}");
        assert!(Share::new(0, 0).is_err());
    }
}
