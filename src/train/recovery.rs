//! Training that goes on on a fresh device when its own is lost.

use std::collections::VecDeque;
use std::time::Duration;

use super::source::Kept;
use super::{Checkpoint, Examples, HostState, StepReport, TrainError, Trainer};
use crate::gpu::GpuError;

/// A trainer that is made anew when its device is lost (a driver's update or reset, a laptop that
/// slept), and goes on from the last checkpoint, which is kept in the host's memory.
///
/// Steps since then are taken again. On the same adapter everything that is reported has the bits
/// of a training without the loss, and no step is reported twice. Batches from the host are kept
/// for that until the next checkpoint.
///
/// ```no_run
/// # use l2rw::{gpu::Context, nn::Network, train::*};
/// # fn train(
/// #     network: &Network,
/// #     train: Examples<'_>,
/// #     clean: Examples<'_>,
/// #     options: &TrainerOptions,
/// # ) -> Result<(), TrainError> {
/// let mut training = Recovering::new(50, || {
///     let context = Context::new(None)?;
///     Trainer::new(&context, network, train, Some(clean), options)
/// })?;
/// for _ in 0..1000 {
///     if let Some(report) = training.step()? {
///         println!("{}", report.loss());
///     }
/// }
/// training.with(|trainer| trainer.save("model.safetensors".as_ref()))
/// # }
/// ```
#[derive(Debug)]
pub struct Recovering<F> {
    make: F,
    trainer: Trainer,
    every: u64,
    checkpoint: Checkpoint,
    /// Batches of the steps from the checkpoint on, of a trainer for batches.
    batches: VecDeque<(Kept, Option<Kept>)>,
    /// Steps that were asked for.
    wanted: u64,
    /// The first step that has not been reported.
    next_report: u64,
    /// Reports that nobody has taken yet.
    ready: VecDeque<StepReport>,
    losses: u64,
    /// Losses since the last checkpoint.
    in_a_row: u32,
}

/// Devices in a row that may be lost without a checkpoint in between.
const ATTEMPTS: u32 = 3;

/// What a driver is given to come back before the second attempt and those that follow.
const PAUSE: Duration = Duration::from_secs(1);

impl<F: FnMut() -> Result<Trainer, TrainError>> Recovering<F> {
    /// Makes a trainer and keeps a checkpoint of it every so many steps (at least 1). `make` opens
    /// a device each time that it is called, and makes the same trainer on it.
    ///
    /// # Errors
    /// When `make` fails or the first checkpoint cannot be read back.
    pub fn new(every: u64, mut make: F) -> Result<Self, TrainError> {
        let trainer = make()?;
        let checkpoint = kept(&trainer)?;
        let wanted = trainer.steps();
        Ok(Self {
            make,
            trainer,
            every: every.max(1),
            checkpoint,
            batches: VecDeque::new(),
            wanted,
            next_report: wanted,
            ready: VecDeque::new(),
            losses: 0,
            in_a_row: 0,
        })
    }

    /// Takes one step, as [`Trainer::step`] does. The report that it returns may be of a step
    /// before the last few ones.
    ///
    /// # Errors
    /// As [`Trainer::step`]. [`GpuError::DeviceLost`] only when three devices in a row are lost
    /// without a checkpoint in between, and whatever making a trainer anew fails with; the next
    /// call tries again.
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainError> {
        self.trainer.check_sets()?;
        self.wanted += 1;
        self.attempt(|_| Ok(()))?;
        Ok(self.ready.pop_front())
    }

    /// Takes one step on batches from the host, as [`Trainer::step_on`] does, and keeps a copy of
    /// them until the next checkpoint. Reports as with [`Recovering::step`].
    ///
    /// # Errors
    /// As [`Trainer::step_on`]: no step has been taken then. A lost device as with
    /// [`Recovering::step`]: the next call takes this step first.
    pub fn step_on(
        &mut self,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
    ) -> Result<Option<StepReport>, TrainError> {
        self.trainer.check_batches(&train, clean.as_ref())?;
        self.batches.push_back((Kept::new(&train), clean.as_ref().map(Kept::new)));
        self.wanted += 1;
        self.attempt(|_| Ok(()))?;
        Ok(self.ready.pop_front())
    }

    /// The oldest report that was not taken yet, as [`Trainer::take_report`] gives it.
    ///
    /// # Errors
    /// As [`Recovering::step`].
    pub fn take_report(&mut self, wait: bool) -> Result<Option<StepReport>, TrainError> {
        self.attempt(|this| {
            // The first ones may be of steps that were taken again.
            while this.ready.is_empty() {
                let Some(report) = this.trainer.take_report(wait)? else { break };
                this.receive(Some(report));
            }
            Ok(())
        })?;
        Ok(self.ready.pop_front())
    }

    /// Does anything else with the trainer: evaluates it, saves it. `what` is done again on a fresh
    /// device when this one is lost. What it makes on a device should not outlive the call. It
    /// must not take steps or reports.
    ///
    /// # Errors
    /// As [`Recovering::step`], and what `what` fails with.
    pub fn with<T>(
        &mut self,
        mut what: impl FnMut(&mut Trainer) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        self.attempt(|this| what(&mut this.trainer))
    }

    /// The trainer as it is now. Its device may be lost.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Devices that were lost so far.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Does `what` once all steps that were asked for are taken, on as many devices as it needs.
    fn attempt<T>(
        &mut self,
        mut what: impl FnMut(&mut Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        loop {
            match self.catch_up().and_then(|()| what(self)) {
                Err(lost @ TrainError::Gpu(GpuError::DeviceLost { .. })) => self.recover(lost)?,
                result => return result,
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), TrainError> {
        while self.trainer.steps() < self.wanted {
            let steps = self.trainer.steps();
            if steps.is_multiple_of(self.every) && steps > self.checkpoint.steps() {
                self.keep()?;
            }
            // Of the steps since the checkpoint, some may be taken again.
            let place = steps.saturating_sub(self.checkpoint.steps());
            let report = match self.batches.get(place as usize) {
                Some((train, clean)) => {
                    self.trainer.step_on(train.examples(), clean.as_ref().map(Kept::examples))?
                }
                None => self.trainer.step()?,
            };
            self.receive(report);
        }
        Ok(())
    }

    /// Reports of steps before the checkpoint would be lost with the device, so they come first.
    fn keep(&mut self) -> Result<(), TrainError> {
        while let Some(report) = self.trainer.take_report(true)? {
            self.receive(Some(report));
        }
        let checkpoint = kept(&self.trainer)?;
        let done = checkpoint.steps().saturating_sub(self.checkpoint.steps()) as usize;
        self.batches.drain(..done.min(self.batches.len()));
        self.checkpoint = checkpoint;
        self.in_a_row = 0;
        Ok(())
    }

    fn receive(&mut self, report: Option<StepReport>) {
        // Steps that are taken again have been reported.
        if let Some(report) = report.filter(|report| report.step >= self.next_report) {
            self.next_report = report.step + 1;
            self.ready.push_back(report);
        }
    }

    fn recover(&mut self, lost: TrainError) -> Result<(), TrainError> {
        self.losses += 1;
        self.in_a_row += 1;
        if self.in_a_row > ATTEMPTS {
            self.in_a_row = 0;
            return Err(lost);
        }
        log::warn!("{lost}; opening another device from step {}", self.checkpoint.steps());
        if self.in_a_row > 1 {
            std::thread::sleep(PAUSE);
        }
        let mut trainer = (self.make)()?;
        trainer.model_mut().resume(&self.checkpoint)?;
        self.trainer = trainer;
        Ok(())
    }
}

fn kept(trainer: &Trainer) -> Result<Checkpoint, TrainError> {
    Checkpoint::from_bytes(trainer.model().to_checkpoint(&HostState::default())?)
}
