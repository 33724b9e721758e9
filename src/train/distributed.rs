//! A trainer that is one rank of a data-parallel run.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

#[cfg(not(target_arch = "wasm32"))]
use super::data_sets::{GivenSet, GivenSets};
use super::exchanges::Exchanges;
use super::iteration::Iteration;
use super::{Checkpoint, Difference, Ranks, RanksError, Traffic, TrainError, Trainer};
#[cfg(not(target_arch = "wasm32"))]
use super::{ExampleSource, Examples, HostState, TrainerOptions};
use crate::ops::Step;
#[cfg(not(target_arch = "wasm32"))]
use crate::{gpu::Context, nn::Network};

impl Trainer {
    /// One of several trainers, each on a device and with a rank of its own, that take every step
    /// together: the examples weigh what they would weigh in the whole batch on one device, and the
    /// parameters follow, up to rounding.
    ///
    /// All ranks are given the same sets, network and options; n and m are those of the whole
    /// batch, of which each draws its [share](crate::plan::Share): together the batch of a single
    /// trainer. A step is cut where its plan [exchanges](crate::plan::Plan::exchange_points)
    /// something, and waits there for all ranks. BatchNorm normalises over the rank's part of a
    /// batch, and its running statistics are the mean over the ranks; with
    /// [`TrainerOptions::synchronised_norm`] it normalises over the whole batch.
    ///
    /// All ranks make the same calls in the same order. [`step`](Self::step) and
    /// [`take_report`](Self::take_report) give each of them the report of the whole batch; a report
    /// is always waited for. [`save`](Self::save) writes on rank 0 alone, [`load`](Self::load)
    /// reads there. The number of ranks is no part of a run: a checkpoint goes on with any.
    ///
    /// The same number of ranks on the same adapters gives the same bits. On different adapters
    /// parameters drift apart by rounding, as the same step rounds differently there.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`TrainError::Plan`] when the method needs the whole batch in one place
    /// or a batch has fewer examples than there are ranks; [`TrainError::Ranks`] when a rank cannot
    /// be reached or is given something else than rank 0.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn distributed(
        context: &Context,
        network: &Network,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
        ranks: Arc<dyn Ranks>,
    ) -> Result<Self, TrainError> {
        let sets = GivenSets { train: GivenSet::Memory(train), clean: clean.map(GivenSet::Memory) };
        pollster::block_on(Self::on_sets(context, network, sets, options, Some(ranks)))
    }

    /// The same on a training set whose examples are read when batches need them: each rank reads
    /// those of its share alone. See [`Trainer::streaming`].
    ///
    /// # Errors
    /// As [`Trainer::distributed`] and [`Trainer::streaming`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn distributed_streaming(
        context: &Context,
        network: &Network,
        train: Arc<dyn ExampleSource>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
        ranks: Arc<dyn Ranks>,
    ) -> Result<Self, TrainError> {
        let sets = GivenSets { train: GivenSet::Source(train), clean: clean.map(GivenSet::Memory) };
        pollster::block_on(Self::on_sets(context, network, sets, options, Some(ranks)))
    }

    /// The ranks that train together; `None` of a trainer that trains alone.
    pub fn ranks(&self) -> Option<&Arc<dyn Ranks>> {
        self.exchanges.as_ref().map(|exchanges| &exchanges.ranks)
    }

    /// Whether files are this trainer's to write: it trains alone, or its rank is 0.
    pub fn is_first_rank(&self) -> bool {
        self.ranks().is_none_or(|ranks| ranks.rank() == 0)
    }

    /// What each rank sends to others in a step; nothing of a trainer that trains alone.
    pub fn traffic(&self) -> Traffic {
        Traffic::of(self.plan(), self.ranks().map_or(1, |ranks| ranks.count()))
    }

    /// Takes the step in parts, between which the ranks exchange.
    pub(super) fn submit_exchanging(&mut self, step: Step) -> Result<(), TrainError> {
        let context = self.model().context().clone();
        let mut slices = self.iteration.slices_of(step, None, context.submission_limit());
        let places = self.exchanges.as_ref().map_or(Vec::new(), Exchanges::places);
        slices.cut_at(&places);
        loop {
            let mut encoder = self.encoder();
            let next = slices.next_end();
            if !self.iteration.encode_slice(&mut encoder, &mut slices) {
                self.submit_last(encoder);
                return Ok(());
            }
            match &mut self.exchanges {
                Some(exchanges) => exchanges.stop(&context, encoder, next, step.number)?,
                None => drop(context.submit(encoder)),
            }
        }
    }

    /// Does what only one rank may do on rank 0, and tells the others how it went.
    pub(super) fn on_first_rank(
        &self,
        what: impl FnOnce() -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let Some(ranks) = self.ranks() else { return what() };
        if ranks.rank() != 0 {
            return Ok(ranks.outcome(Ok::<(), TrainError>(()))?);
        }
        let own = what();
        let told = ranks.outcome(own.as_ref().copied());
        own.and(told.map_err(TrainError::from))
    }

    /// The content of a checkpoint that rank 0 reads, on every rank.
    pub(super) fn read_checkpoint(&self, path: &Path) -> Result<Checkpoint, TrainError> {
        let Some(ranks) = self.ranks() else { return Checkpoint::read(path) };
        let mut bytes = Vec::new();
        self.on_first_rank(|| {
            bytes = Checkpoint::read(path)?.bytes;
            Ok(())
        })?;
        Checkpoint::from_bytes(ranks.broadcast(bytes)?).map_err(|error| error.in_file(path))
    }

    /// A whole checkpoint of the program's: see [`Model::to_checkpoint`](super::Model). All ranks
    /// get the bytes of rank 0.
    ///
    /// # Errors
    /// When the device is lost or a rank cannot be reached.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_checkpoint(&self, host: &HostState) -> Result<Vec<u8>, TrainError> {
        let Some(ranks) = self.ranks() else { return self.model().to_checkpoint(host) };
        let mut bytes = Vec::new();
        self.on_first_rank(|| {
            bytes = self.model().to_checkpoint(host)?;
            Ok(())
        })?;
        Ok(ranks.broadcast(bytes)?)
    }
}

/// What a trainer does with other ranks, if there are any.
pub(super) fn exchanges_of(
    iteration: &Iteration,
    ranks: Option<Arc<dyn Ranks>>,
) -> Result<Option<Exchanges>, TrainError> {
    let Some(ranks) = ranks.filter(|ranks| ranks.count() > 1) else { return Ok(None) };
    refuse_other_runs(&*ranks, &iteration.model().run)?;
    let options = iteration.options();
    let whole = (options.batch, options.clean_batch);
    Ok(Some(Exchanges::new(iteration, ranks, whole)?))
}

/// Refuses ranks that were made for different runs, on all ranks.
fn refuse_other_runs(ranks: &dyn Ranks, run: &Value) -> Result<(), RanksError> {
    let text = |value: &Value| value.to_string().into_bytes();
    let first = ranks.broadcast(text(run))?;
    let first: Value = serde_json::from_slice(&first).map_err(|error| {
        ranks.error(&format!("what rank 0 says of its run is damaged: {error}"))
    })?;
    let own = Difference::between(&first, run);
    let differs = u32::from(!own.is_empty());
    let all = ranks.gather(&[differs])?;
    if let Some(difference) = own.first() {
        let Difference { option, stored, current } = difference;
        let reason = format!(
            "all ranks have to be given the same, and {option} is {stored} on rank 0 and \
             {current} here"
        );
        return Err(ranks.error(&reason));
    }
    match all.iter().position(|differs| *differs != [0]) {
        Some(other) => Err(ranks.error(&format!("rank {other} was given something else"))),
        None => Ok(()),
    }
}
