//! A step that is cut where its plan exchanges: between the parts, ranks combine what they have.

use std::sync::Arc;

use super::iteration::{Iteration, required};
use super::step_report::{Field, StepReport};
use super::{Ranks, RanksError, TrainError};
use crate::gpu::{Context, Readback};
use crate::ops::not_finite::{Quantity, SLOTS, STEP_SLOT, place};
use crate::plan::{Exchange, Share};

/// The ranks of a trainer, and where its step stops for them.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub ranks: Arc<dyn Ranks>,
    stops: Vec<Stop>,
    /// n and m of the whole batch.
    whole: (usize, usize),
}

/// What is exchanged before one dispatch.
#[derive(Debug)]
struct Stop {
    before_dispatch: usize,
    tensors: Vec<Exchanged>,
    readback: Readback,
}

#[derive(Debug)]
struct Exchanged {
    buffer: wgpu::Buffer,
    len: usize,
    exchange: Exchange,
    /// Of what is gathered: where it goes, and the words of each rank.
    gathered: Option<(wgpu::Buffer, Vec<usize>)>,
}

impl Exchanges {
    pub fn new(
        iteration: &Iteration,
        ranks: Arc<dyn Ranks>,
        whole: (usize, usize),
    ) -> Result<Self, TrainError> {
        let plan = iteration.plan();
        let mut stops = Vec::new();
        for points in plan.exchange_points.chunk_by(|a, b| a.before_dispatch == b.before_dispatch) {
            let tensor = |point: &crate::plan::ExchangePoint| {
                let buffer = required(iteration.executable(), point.tensor)?.clone();
                let (len, exchange) = (plan.recording.tensor(point.tensor).len, point.exchange);
                let gathered = match exchange {
                    Exchange::Gather { into } => {
                        let lens = ranks.gather(&[len as u32])?.concat();
                        let lens = lens.into_iter().map(|len| len as usize).collect();
                        Some((required(iteration.executable(), into)?.clone(), lens))
                    }
                    _ => None,
                };
                Ok(Exchanged { buffer, len, exchange, gathered })
            };
            let tensors: Vec<Exchanged> =
                points.iter().map(tensor).collect::<Result<_, TrainError>>()?;
            let source = |tensor: &Exchanged| (tensor.buffer.clone(), 4 * tensor.len as u64);
            let sources = tensors.iter().map(source).collect();
            let readback = Readback::new(iteration.model().context(), sources, 1);
            stops.push(Stop { before_dispatch: points[0].before_dispatch, tensors, readback });
        }
        Ok(Self { ranks, stops, whole })
    }

    /// Dispatches before which a submission ends, ascending.
    pub fn places(&self) -> Vec<usize> {
        self.stops.iter().map(|stop| stop.before_dispatch).collect()
    }

    /// Submits what was encoded, and where a stop follows, combines its tensors over the ranks.
    /// `next` is the dispatch that follows.
    pub fn stop(
        &mut self,
        context: &Context,
        mut encoder: wgpu::CommandEncoder,
        next: usize,
        step: u32,
    ) -> Result<(), TrainError> {
        let Some(stop) = self.stops.iter_mut().find(|stop| stop.before_dispatch == next) else {
            context.submit(encoder);
            return Ok(());
        };
        let pending = stop.readback.encode(&mut encoder);
        let submission = context.submit(encoder);
        if let Some(pending) = pending {
            stop.readback.submitted(pending, submission);
        }
        let words = stop.readback.take(context, true)?;
        let mut words =
            words.ok_or_else(|| self.ranks.error("there is nothing to exchange at this stop"))?;
        let mut rest = words.as_mut_slice();
        for tensor in &stop.tensors {
            let (own, after) = rest.split_at_mut(tensor.len);
            rest = after;
            if let Some((into, lens)) = &tensor.gathered {
                let mut all = vec![0; lens.iter().sum()];
                self.ranks.all_gather(own, &mut all, lens)?;
                context.write(into, bytemuck::cast_slice(&all));
                continue;
            }
            combine(&*self.ranks, tensor.exchange, own, self.whole, step)?;
            context.write(&tensor.buffer, bytemuck::cast_slice(own));
        }
        Ok(())
    }

    /// The report of the whole batch, from the words of this rank's part.
    pub fn report(
        &self,
        step: u64,
        fields: &[(Field, usize)],
        words: &[u32],
    ) -> Result<StepReport, RanksError> {
        let parts = self.ranks.gather(words)?;
        let mut firsts = vec![0; parts.len()];
        let (mut lens, mut gathered) = (Vec::new(), Vec::with_capacity(words.len() * parts.len()));
        for &(field, own_len) in fields {
            let before = gathered.len();
            for (rank, (part, first)) in parts.iter().zip(&mut firsts).enumerate() {
                let end = *first + self.len_on(rank, field, own_len);
                // All ranks have the same of what belongs to no example.
                if rank == 0 || field.batch().is_some() {
                    gathered.extend_from_slice(part.get(*first..end).unwrap_or_default());
                }
                *first = end;
            }
            lens.push((field, gathered.len() - before));
        }
        Ok(StepReport::of(step, &lens, &gathered))
    }

    fn len_on(&self, rank: usize, field: Field, own_len: usize) -> usize {
        let share = Share::new(rank, self.ranks.count()).unwrap_or_default();
        match field.batch() {
            Some(which) => share.of(which.of(self.whole)).len(),
            None => own_len,
        }
    }
}

/// Which batch a number of a report is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhichBatch {
    Train,
    Clean,
}

impl WhichBatch {
    fn of(self, (n, m): (usize, usize)) -> usize {
        match self {
            Self::Train => n,
            Self::Clean => m,
        }
    }
}

fn combine(
    ranks: &dyn Ranks,
    exchange: Exchange,
    words: &mut [u32],
    whole: (usize, usize),
    step: u32,
) -> Result<(), RanksError> {
    match exchange {
        Exchange::Sum => ranks.sum(words),
        Exchange::Mean => ranks.mean(words),
        Exchange::Maximum => ranks.maximum(words),
        // Goes elsewhere.
        Exchange::Gather { .. } => Ok(()),
        Exchange::NotFinite => {
            to_whole_batch(words, ranks.share()?, whole, step);
            ranks.maximum(words)
        }
    }
}

/// Turns places in the rank's part of a batch into places in the whole batch. What was found in an
/// earlier step has been turned then.
fn to_whole_batch(words: &mut [u32], share: Share, whole: (usize, usize), step: u32) {
    if words.len() != SLOTS || place(words[STEP_SLOT]) != Some(step) {
        return;
    }
    let of_examples = [
        (Quantity::Loss, whole.0),
        (Quantity::Similarity, whole.0),
        (Quantity::CleanLoss, whole.1),
    ];
    for (quantity, len) in of_examples {
        let word = &mut words[quantity as usize];
        if *word != 0 {
            *word -= share.of(len).start as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_examples_become_those_of_the_whole_batch_once() {
        let share = Share::new(1, 2).unwrap();
        let mut words = vec![0; SLOTS];
        words[STEP_SLOT] = u32::MAX - 7;
        words[Quantity::Loss as usize] = u32::MAX - 3;
        words[Quantity::Gradient as usize] = u32::MAX - 3;
        let before = words.clone();
        to_whole_batch(&mut words, share, (10, 6), 8);
        assert_eq!(words, before, "found in an earlier step");
        to_whole_batch(&mut words, share, (10, 6), 7);
        assert_eq!(Quantity::Loss.first(&words), Some(3 + 5));
        assert_eq!(Quantity::Gradient.first(&words), Some(3));
        assert_eq!(Quantity::CleanLoss.first(&words), None);
    }
}
