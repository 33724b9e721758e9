//! What a data-parallel step sends over the network, on paper.

use super::ranks::{SHORT, bytes_sent};
use crate::plan::{Exchange, Plan};

/// What each rank sends to others in a step, the mean over the ranks, and how often it waits for
/// them. The report of a step, some dozen bytes an example, comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes that go out. As many come in.
    pub bytes: f64,
    /// Messages that have to arrive one after the other.
    pub rounds: usize,
}

impl Traffic {
    /// Of a [plan](crate::plan::training_of) over so many ranks.
    pub fn of(plan: &Plan, ranks: usize) -> Self {
        if ranks < 2 {
            return Self::default();
        }
        let len = |id| plan.recording.tensor(id).len;
        let mut traffic = Self::default();
        for point in &plan.exchange_points {
            let (bytes, rounds) = match point.exchange {
                // Each rank's part to each of the others.
                Exchange::Gather { into } => {
                    (4.0 * len(into) as f64 * (ranks - 1) as f64 / ranks as f64, 1)
                }
                // Parts out, then the combined parts.
                _ => {
                    let len = len(point.tensor);
                    (bytes_sent(len, ranks), if len <= SHORT { 1 } else { 2 })
                }
            };
            traffic.bytes += bytes;
            traffic.rounds += rounds;
        }
        traffic
    }

    /// Seconds that a step waits for the network: each round for its first byte, which takes
    /// `latency` seconds, and the bytes one after the other, so many a second. It leaves out what
    /// the host does with them.
    pub fn seconds(&self, bytes_a_second: f64, latency: f64) -> f64 {
        self.rounds as f64 * latency + self.bytes / bytes_a_second
    }
}

#[cfg(test)]
mod tests {
    use super::Traffic;

    #[test]
    fn seconds_are_those_of_the_rounds_and_those_of_the_bytes() {
        let traffic = Traffic { bytes: 5e6, rounds: 6 };
        assert!((traffic.seconds(1.25e9, 1e-3) - (6e-3 + 4e-3)).abs() < 1e-12);
    }
}
