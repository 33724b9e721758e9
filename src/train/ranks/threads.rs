//! Ranks that are threads of one process.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Ranks, RanksError};

/// A rank that is a thread, or a few of them, of one process: several devices of one machine, and
/// tests. When a rank is dropped, calls of the others fail instead of waiting for it.
#[derive(Debug)]
pub struct ThreadRanks {
    rank: usize,
    to: Vec<Sender<Vec<u32>>>,
    from: Mutex<Vec<Receiver<Vec<u32>>>>,
}

impl ThreadRanks {
    /// So many ranks that reach each other, in order.
    pub fn group(count: usize) -> Vec<Self> {
        let mut senders: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut group = Vec::new();
        for rank in 0..count {
            let mut receivers = Vec::new();
            for senders in &mut senders {
                let (sender, receiver) = channel();
                senders.push(sender);
                receivers.push(receiver);
            }
            group.push(Self { rank, to: Vec::new(), from: Mutex::new(receivers) });
        }
        for (ranks, to) in group.iter_mut().zip(senders) {
            ranks.to = to;
        }
        group
    }

    /// Sends to rank r what `part` says, and receives from each rank in turn.
    fn exchange<'a>(
        &self,
        part: impl Fn(usize) -> &'a [u32],
        into: &mut [u32],
        counts: &[usize],
    ) -> Result<(), RanksError> {
        // Held until all is received: calls of other threads of the rank come one after another.
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        for (rank, sender) in self.to.iter().enumerate() {
            sender.send(part(rank).to_vec()).map_err(|_| self.ended(rank))?;
        }
        let mut rest = into;
        for (rank, (receiver, &count)) in from.iter().zip(counts).enumerate() {
            let words = receiver.recv().map_err(|_| self.ended(rank))?;
            if words.len() != count || count > rest.len() {
                let sent = words.len();
                return Err(self.error(format!(
                    "rank {rank} sent {sent} words where {count} were expected: all ranks have to \
                     make the same calls"
                )));
            }
            let (own, after) = rest.split_at_mut(count);
            own.copy_from_slice(&words);
            rest = after;
        }
        Ok(())
    }

    fn ended(&self, rank: usize) -> RanksError {
        self.error(format!("rank {rank} has ended"))
    }

    fn error(&self, reason: String) -> RanksError {
        RanksError { rank: self.rank, count: self.to.len(), reason }
    }
}

impl Ranks for ThreadRanks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.to.len()
    }

    fn all_to_all(
        &self,
        from: &[u32],
        sent: &[usize],
        into: &mut [u32],
        received: &[usize],
    ) -> Result<(), RanksError> {
        let first = |rank: usize| sent.iter().take(rank).sum::<usize>();
        if first(self.count()) != from.len() || sent.len() != self.count() {
            return Err(self.error("the parts that are sent are not the whole".into()));
        }
        self.exchange(|rank| &from[first(rank)..][..sent[rank]], into, received)
    }

    fn all_gather(
        &self,
        own: &[u32],
        into: &mut [u32],
        counts: &[usize],
    ) -> Result<(), RanksError> {
        self.exchange(|_| own, into, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_ends_or_does_something_else_fails_the_others_calls() {
        let mut group = ThreadRanks::group(2);
        let (other, own) = (group.remove(1), group.remove(0));
        let mut into = [0; 3];
        let sent = std::thread::scope(|scope| {
            scope.spawn(|| other.all_gather(&[1, 2], &mut [0; 3], &[1, 2]).unwrap());
            own.all_gather(&[7], &mut into, &[1, 1])
        });
        let error = sent.unwrap_err().to_string();
        assert!(error.contains("rank 0 of 2: rank 1 sent 2 words where 1"), "{error}");
        drop(other);
        let error = own.all_gather(&[7], &mut into, &[1, 2]).unwrap_err().to_string();
        assert_eq!(error, "rank 0 of 2: rank 1 has ended");
    }
}
