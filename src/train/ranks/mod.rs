//! The ranks of a data-parallel run: how they reach each other, and what they make of their numbers
//! together. Any engine that moves words between processes in a known order will do.

#[cfg(feature = "mpi")]
mod mpi;
mod threads;

use std::fmt;

use thiserror::Error;

use crate::plan::Share;

#[cfg(feature = "mpi")]
pub use mpi::MpiRanks;
pub use threads::ThreadRanks;

/// One of several ranks that run the same program, each on a share of every batch.
///
/// All of them make the same calls in the same order: a call returns once every rank has made it,
/// or has failed. The two methods that move words are all that an engine has to bring; sums, maxima
/// and the rest are made of them in one place, in the order of ranks, so that the same number of
/// ranks gives the same bits whatever the engine.
pub trait Ranks: fmt::Debug + Send + Sync {
    /// Number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn count(&self) -> usize;

    /// Sends the first `sent[0]` words of `from` to rank 0, the next `sent[1]` to rank 1, and so
    /// on. `into` gets `received[r]` words from each rank r, in the order of ranks.
    ///
    /// # Errors
    /// When a rank cannot be reached or makes another call.
    fn all_to_all(
        &self,
        from: &[u32],
        sent: &[usize],
        into: &mut [u32],
        received: &[usize],
    ) -> Result<(), RanksError>;

    /// Sends `own` to every rank. `into` gets `counts[r]` words from each rank r, in the order of
    /// ranks.
    ///
    /// # Errors
    /// As [`Ranks::all_to_all`].
    fn all_gather(&self, own: &[u32], into: &mut [u32], counts: &[usize])
    -> Result<(), RanksError>;
}

/// Why ranks could not exchange something.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("rank {rank} of {count}: {reason}")]
pub struct RanksError {
    /// The rank that says so, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub count: usize,
    /// What is wrong.
    pub reason: String,
}

/// Vectors up to this length go to every rank as a whole: one exchange instead of two.
pub(super) const SHORT: usize = 1024;

impl dyn Ranks + '_ {
    /// The part of each batch that is this rank's.
    ///
    /// # Errors
    /// When the engine's numbers are those of no rank.
    pub fn share(&self) -> Result<Share, RanksError> {
        Share::new(self.rank(), self.count())
            .map_err(|_| self.error("ranks are counted from 0 to below their number"))
    }

    /// Sums floats over the ranks, element by element: in the order of ranks, in `f64`, rounded
    /// once.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn sum(&self, words: &mut [u32]) -> Result<(), RanksError> {
        self.combine(words, |all| all.iter().map(|word| float(*word)).sum())
    }

    /// The mean of floats over the ranks, likewise.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn mean(&self, words: &mut [u32]) -> Result<(), RanksError> {
        self.combine(words, |all| {
            all.iter().map(|word| float(*word)).sum::<f64>() / all.len() as f64
        })
    }

    /// The largest of integers over the ranks, element by element.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn maximum(&self, words: &mut [u32]) -> Result<(), RanksError> {
        self.combine_words(words, |all| all.iter().copied().max().unwrap_or_default())
    }

    /// The words of all ranks, one rank after the other, which may have different numbers of them.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn gather(&self, own: &[u32]) -> Result<Vec<Vec<u32>>, RanksError> {
        let len = u32::try_from(own.len()).map_err(|_| self.error("too many words to gather"))?;
        let mut lens = vec![0; self.count()];
        self.all_gather(&[len], &mut lens, &vec![1; self.count()])?;
        let counts: Vec<usize> = lens.iter().map(|len| *len as usize).collect();
        let mut all = vec![0; counts.iter().sum()];
        self.all_gather(own, &mut all, &counts)?;
        let mut rest = all.as_slice();
        let mut next = |count: &usize| {
            let (words, after) = rest.split_at(*count);
            rest = after;
            words.to_vec()
        };
        Ok(counts.iter().map(&mut next).collect())
    }

    /// What rank 0 has, on every rank: the others' argument is ignored.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        let mut own = Vec::new();
        if self.rank() == 0 {
            let len = u32::try_from(bytes.len());
            own.push(len.map_err(|_| self.error("4 GiB or more cannot be broadcast"))?);
            own.extend(bytes.chunks(4).map(|chunk| {
                let mut word = [0; 4];
                word[..chunk.len()].copy_from_slice(chunk);
                u32::from_le_bytes(word)
            }));
        }
        let words = self.gather(&own)?.swap_remove(0);
        let (len, words) = words.split_first().ok_or_else(|| self.error("rank 0 sent nothing"))?;
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        Ok(bytes.take(*len as usize).collect())
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn barrier(&self) -> Result<(), RanksError> {
        self.gather(&[]).map(drop)
    }

    /// What was done on rank 0 alone, or why it failed, on every rank.
    ///
    /// # Errors
    /// Rank 0's, in words on the others.
    pub fn outcome<E: fmt::Display>(&self, own: Result<(), E>) -> Result<(), RanksError> {
        let text = own.err().map_or(String::new(), |error| error.to_string());
        let text = self.broadcast(text.into_bytes())?;
        match text.is_empty() {
            true => Ok(()),
            false => Err(self.error(&String::from_utf8_lossy(&text))),
        }
    }

    fn combine(&self, words: &mut [u32], of: impl Fn(&[u32]) -> f64) -> Result<(), RanksError> {
        self.combine_words(words, |all| (of(all) as f32).to_bits())
    }

    /// Each rank combines a part of the elements and sends the result to all.
    fn combine_words(
        &self,
        words: &mut [u32],
        of: impl Fn(&[u32]) -> u32,
    ) -> Result<(), RanksError> {
        let (len, count) = (words.len(), self.count());
        if count < 2 {
            return Ok(());
        }
        if len <= SHORT {
            let mut all = vec![0; len * count];
            self.all_gather(words, &mut all, &vec![len; count])?;
            combine_columns(&all, words, of);
            return Ok(());
        }
        let parts: Vec<_> = parts_of(len, count);
        let own = parts[self.rank()];
        let mut all = vec![0; own * count];
        self.all_to_all(words, &parts, &mut all, &vec![own; count])?;
        let mut combined = vec![0; own];
        combine_columns(&all, &mut combined, of);
        self.all_gather(&combined, words, &parts)
    }

    pub(super) fn error(&self, reason: &str) -> RanksError {
        RanksError { rank: self.rank(), count: self.count(), reason: reason.to_owned() }
    }
}

/// Bytes that a rank sends to others when all combine a vector of `len` words, the mean over the
/// ranks: what [`Ranks`] make of a sum, a mean or a maximum.
pub(super) fn bytes_sent(len: usize, ranks: usize) -> f64 {
    let others = ranks.saturating_sub(1) as f64;
    let words = len as f64;
    // A part to each of the others, then the combined part to each.
    4.0 * if len <= SHORT { words * others } else { 2.0 * words * others / ranks as f64 }
}

fn parts_of(len: usize, count: usize) -> Vec<usize> {
    let part = |rank| Share::new(rank, count).map_or(0, |share| share.of(len).len());
    (0..count).map(part).collect()
}

fn float(word: u32) -> f64 {
    f64::from(f32::from_bits(word))
}

/// `into[i]` = what `of` makes of the i-th words of the rows of `all`.
fn combine_columns(all: &[u32], into: &mut [u32], of: impl Fn(&[u32]) -> u32) {
    let width = into.len();
    let mut column = vec![0; all.len().checked_div(width).unwrap_or(0)];
    for (i, out) in into.iter_mut().enumerate() {
        for (row, word) in column.iter_mut().enumerate() {
            *word = all[row * width + i];
        }
        *out = of(&column);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// What each rank makes of `what`, in the order of ranks.
    pub(super) fn on_threads<T: Send>(
        count: usize,
        what: impl Fn(&dyn Ranks) -> T + Sync,
    ) -> Vec<T> {
        let what = &what;
        thread::scope(|scope| {
            let run = |ranks: ThreadRanks| scope.spawn(move || what(&ranks));
            let threads: Vec<_> = ThreadRanks::group(count).into_iter().map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn sums_are_rounded_once_and_the_same_on_every_rank() {
        for len in [1, 7, SHORT, SHORT + 1, 3 * SHORT + 5] {
            for count in [1, 2, 3, 5] {
                let value = |rank: usize, i: usize| {
                    let large = if rank == 1 { 1e8 } else { 0.3 };
                    large * ((i * 7 + rank * 13) % 101) as f32 - 1.1
                };
                let sums = on_threads(count, |ranks| {
                    let mut words: Vec<u32> =
                        (0..len).map(|i| value(ranks.rank(), i).to_bits()).collect();
                    ranks.sum(&mut words).unwrap();
                    words
                });
                let sum = |i: usize| (0..count).map(|rank| f64::from(value(rank, i))).sum::<f64>();
                let expected: Vec<u32> = (0..len).map(|i| (sum(i) as f32).to_bits()).collect();
                assert!(sums.iter().all(|words| *words == expected), "{len} over {count}");
            }
        }
    }

    #[test]
    fn maxima_means_and_what_is_gathered_are_those_of_all_ranks() {
        let found = on_threads(3, |ranks| {
            let rank = ranks.rank() as u32;
            let (mut largest, mut mean) = (vec![rank, 5 - rank], bits(&[rank as f32, -1.0]));
            ranks.maximum(&mut largest).unwrap();
            ranks.mean(&mut mean).unwrap();
            let gathered = ranks.gather(&vec![rank; rank as usize]).unwrap();
            (largest, mean, gathered)
        });
        let expected = (vec![2, 5], bits(&[1.0, -1.0]), vec![vec![], vec![1], vec![2, 2]]);
        assert!(found.iter().all(|found| *found == expected), "{found:?}");
    }

    #[test]
    fn what_rank_0_has_or_fails_with_is_on_every_rank() {
        for text in ["", "a", "seven b", "eight by"] {
            let found = on_threads(3, |ranks| {
                let own = if ranks.rank() == 0 { text } else { "something else" };
                String::from_utf8(ranks.broadcast(own.into()).unwrap()).unwrap()
            });
            assert!(found.iter().all(|found| found == text), "{found:?}");
        }
        let outcomes = on_threads(2, |ranks| {
            assert_eq!(ranks.outcome(Ok::<(), String>(())), Ok(()));
            let own = if ranks.rank() == 0 { Err("the disk is full") } else { Ok(()) };
            ranks.outcome(own).unwrap_err().to_string()
        });
        assert_eq!(outcomes, ["rank 0 of 2: the disk is full", "rank 1 of 2: the disk is full"]);
    }

    #[test]
    fn the_bytes_on_paper_are_those_that_are_sent() {
        #[derive(Debug)]
        struct Counted<'a>(&'a dyn Ranks, std::sync::atomic::AtomicUsize);
        impl Counted<'_> {
            fn add(&self, words: usize) {
                self.1.fetch_add(4 * words, std::sync::atomic::Ordering::Relaxed);
            }
        }
        impl Ranks for Counted<'_> {
            fn rank(&self) -> usize {
                self.0.rank()
            }
            fn count(&self) -> usize {
                self.0.count()
            }
            fn all_to_all(
                &self,
                from: &[u32],
                sent: &[usize],
                into: &mut [u32],
                received: &[usize],
            ) -> Result<(), RanksError> {
                self.add(from.len() - sent[self.rank()]);
                self.0.all_to_all(from, sent, into, received)
            }
            fn all_gather(
                &self,
                own: &[u32],
                into: &mut [u32],
                counts: &[usize],
            ) -> Result<(), RanksError> {
                self.add(own.len() * (self.count() - 1));
                self.0.all_gather(own, into, counts)
            }
        }
        for (len, count) in [(1, 2), (SHORT, 3), (5000, 2), (5000, 4), (4999, 3)] {
            let sent = on_threads(count, |ranks| {
                let counted = Counted(ranks, Default::default());
                (&counted as &dyn Ranks).sum(&mut vec![0; len]).unwrap();
                counted.1.into_inner()
            });
            let mean = sent.iter().sum::<usize>() as f64 / count as f64;
            assert!((mean - bytes_sent(len, count)).abs() < 1e-9, "{len} {count}: {sent:?}");
        }
        assert_eq!(bytes_sent(5000, 1), 0.0);
    }

    #[test]
    fn ranks_can_be_shared_between_threads() {
        fn assert_shared<T: Send + Sync>() {}
        assert_shared::<Arc<dyn Ranks>>();
    }
}
