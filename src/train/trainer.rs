//! Whole training steps on data from the host.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::clock::StepClock;
use super::data_sets::{GivenSet, GivenSets, Placements, no_clean_set};
use super::exchanges::Exchanges;
use super::host_batch::HostBatch;
use super::iteration::required;
use super::not_finite;
use super::step_report::{Field, StepReport, report_fields};
use super::stream::{BatchStream, cursor};
use super::{
    ExampleSource, Examples, Iteration, Model, NotFinite, Snapshot, TrainError, TrainerOptions,
};
use crate::gpu::{Context, Executable, GpuError, Readback, TensorId};
use crate::nn::Network;
use crate::ops::Step;
use crate::plan::Plan;

/// Trains a network: one submission a step unless it would hold up the device
/// ([`Context::with_submission_limit`]), results read back late.
///
/// Either on data sets that lie on the device ([`Trainer::new`], [`Trainer::step`]), or on batches
/// from the host ([`Trainer::for_batches`], [`Trainer::step_on`]). For batches in buffers of the
/// application's own see [`Iteration`].
///
/// Trainers are independent of each other: several may share a device, and each may be moved to a
/// thread of its own.
#[derive(Debug)]
pub struct Trainer {
    pub(super) iteration: Iteration,
    readback: Readback,
    report_fields: Vec<(Field, usize)>,
    /// Steps whose reports are outstanding.
    reported: VecDeque<u64>,
    source: BatchSource,
    clock: StepClock,
    /// What is done with other ranks; `None` of a trainer that trains alone.
    pub(super) exchanges: Option<Exchanges>,
}

#[derive(Debug)]
pub(super) enum BatchSource {
    Sets {
        train_len: usize,
        clean_len: usize,
        placements: Placements,
        /// Of the sets that do not lie on the device.
        streams: Vec<BatchStream>,
    },
    Batches {
        train: HostBatch,
        clean: HostBatch,
    },
}

/// Results without the number in front of them that tells which run they are of. Some drivers say
/// that a lost device is done, and what they hand out then is anything.
pub(super) fn unstamped<'a>(
    context: &Context,
    words: &'a [u32],
    expected: u32,
) -> Result<&'a [u32], GpuError> {
    match words.split_first() {
        Some((stamp, results)) if *stamp == expected => Ok(results),
        _ => Err(context.lost("reading results back", &"it returned those of another run")),
    }
}

/// Runs whose results may be outstanding before a step waits for the oldest.
pub(super) const RING: usize = 4;

impl Trainer {
    /// Uploads the data and prepares everything: pipelines, memory, bind groups. `clean` holds the
    /// trusted examples; plain training does without.
    ///
    /// Sets that take more than [`TrainerOptions::device_data_limit`], or more than the device
    /// gives, stay on the host, and batches are uploaded in time: [`Trainer::placements`] tells.
    /// The trainer copies such a set for its threads; [`Trainer::streaming`] takes one that reads
    /// its examples itself.
    ///
    /// # Errors
    /// When sets, options and network do not fit together, or a tensor does not fit the device:
    /// then nothing has been allocated.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        context: &Context,
        network: &Network,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        pollster::block_on(Self::new_async(context, network, train, clean, options))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub async fn new_async(
        context: &Context,
        network: &Network,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        let sets = GivenSets { train: GivenSet::Memory(train), clean: clean.map(GivenSet::Memory) };
        Self::on_sets(context, network, sets, options, None).await
    }

    /// A trainer on a training set whose examples are read from `train` when batches need them, by
    /// threads, a few steps ahead. Batches are drawn and augmented as those of a set on the device:
    /// the run has the same bits.
    ///
    /// Methods that look at the values of the training set beforehand, or mix pairs of examples,
    /// are refused. A step whose examples cannot be read ends in [`TrainError::Source`]; it has not
    /// been taken then, and the next call tries again.
    ///
    /// # Errors
    /// As [`Trainer::new`], and when no thread can be started.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn streaming(
        context: &Context,
        network: &Network,
        train: Arc<dyn ExampleSource>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        pollster::block_on(Self::streaming_async(context, network, train, clean, options))
    }

    /// The same without blocking. Steps still wait where the source is slower than the device.
    ///
    /// # Errors
    /// As [`Trainer::streaming`]; in a browser always, which starts no threads.
    pub async fn streaming_async(
        context: &Context,
        network: &Network,
        train: Arc<dyn ExampleSource>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        let sets = GivenSets { train: GivenSet::Source(train), clean: clean.map(GivenSet::Memory) };
        Self::on_sets(context, network, sets, options, None).await
    }

    /// A trainer for batches from the host: see [`Trainer::step_on`]. Of the options, those about
    /// augmentation do not apply; weighting methods that need a training set are refused as by
    /// [`Iteration::new`].
    ///
    /// # Errors
    /// As [`Iteration::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn for_batches(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        pollster::block_on(Self::for_batches_async(context, network, options))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Trainer::for_batches`].
    pub async fn for_batches_async(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        let iteration = Iteration::new_async(context, network, options).await?;
        let image = network.input().len();
        let train = HostBatch::new(context, "train", options.batch, image).await?;
        let m = if options.weighting.uses_clean_set() { options.clean_batch } else { 0 };
        let clean = HostBatch::new(context, "clean", m, image).await?;
        Self::around(iteration, BatchSource::Batches { train, clean }, None)
    }

    pub(super) fn around(
        iteration: Iteration,
        source: BatchSource,
        exchanges: Option<Exchanges>,
    ) -> Result<Self, TrainError> {
        let plan = iteration.plan();
        let fields = report_fields(plan, iteration.model().network());
        let results = fields.iter().map(|(_, id)| {
            let bytes = plan.recording.tensor(*id).bytes();
            Ok((required(iteration.executable(), *id)?.clone(), bytes))
        });
        let stamp = iteration.model().stamp().map(Ok);
        let sources = stamp.into_iter().chain(results).collect::<Result<_, GpuError>>()?;
        let readback = Readback::new(iteration.model().context(), sources, RING);
        let len_of = |(field, id): &(Field, TensorId)| (*field, plan.recording.tensor(*id).len);
        let report_fields = fields.iter().map(len_of).collect();
        Ok(Self {
            iteration,
            readback,
            report_fields,
            reported: VecDeque::new(),
            source,
            clock: StepClock::default(),
            exchanges,
        })
    }

    /// The iteration as plain data.
    pub fn plan(&self) -> &Plan {
        self.iteration.plan()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.model().network()
    }

    /// The network with its parameters: evaluation, files, the parameters' buffer.
    pub fn model(&self) -> &Model {
        self.iteration.model()
    }

    /// The network with its parameters, to load others.
    pub fn model_mut(&mut self) -> &mut Model {
        self.iteration.model_mut()
    }

    /// The options that the trainer was made with.
    pub fn options(&self) -> &TrainerOptions {
        self.iteration.options()
    }

    /// Where the values of the training and of the clean set lie; `None` of a trainer
    /// [for batches](Trainer::for_batches).
    pub fn placements(&self) -> Option<Placements> {
        match &self.source {
            BatchSource::Sets { placements, .. } => Some(*placements),
            BatchSource::Batches { .. } => None,
        }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.model().steps()
    }

    /// Learning rate of the next step.
    pub fn learning_rate(&self) -> f32 {
        self.model().schedule_of(self.options()).rate(self.steps())
    }

    /// Seconds that each dispatch of a step takes; `None` where the device has no timestamps. Runs
    /// the last step again, so the parameters change.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn profile(&mut self) -> Result<Option<Vec<f64>>, TrainError> {
        Ok(crate::gpu::profile(self.model().context(), self.iteration.executable())?)
    }

    /// The iteration bound to the device: encodes without submitting. Each run of it takes the last
    /// step again.
    pub fn executable(&self) -> &Executable {
        self.iteration.executable()
    }

    /// Device memory of the iteration's activations in bytes.
    pub fn activation_bytes(&self) -> u64 {
        self.iteration.executable().allocated_bytes()
    }

    /// Device memory of everything that lasts in bytes: what the plan foretells
    /// ([`Iteration::memory_bytes`]), the staging buffers of reports, and those for batches from
    /// the host.
    pub fn memory_bytes(&self) -> u64 {
        let staging = RING as u64 * self.readback.bytes();
        let batches = match &self.source {
            BatchSource::Sets { .. } => 0,
            BatchSource::Batches { train, clean } => train.bytes() + clean.bytes(),
        };
        self.iteration.memory_bytes() + staging + batches
    }

    /// Takes one step on the trainer's own data sets: one submission. When the reports of the last
    /// few steps are outstanding, it waits for the oldest one and returns it, so that none is lost;
    /// see [`Trainer::take_report`].
    ///
    /// # Errors
    /// [`TrainError::Dataset`] when the trainer was made [for batches](Trainer::for_batches), and
    /// when the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainError> {
        self.upload_streamed()?;
        let oldest = if self.readback.is_full() { self.take_report(true)? } else { None };
        self.submit_drawn()?;
        Ok(oldest)
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn step_async(&mut self) -> Result<Option<StepReport>, TrainError> {
        self.upload_streamed()?;
        let oldest = if self.readback.is_full() { self.take_report_async().await? } else { None };
        self.submit_drawn()?;
        Ok(oldest)
    }

    /// Takes one step on a training and a clean batch from the host, n and m examples; plain
    /// training takes no clean one. Reports come as with [`Trainer::step`], without indices: the
    /// caller knows them.
    ///
    /// Examples with the label [`Examples::IGNORED`] do not count: loss, gradient, u and weight of
    /// them are 0, whatever the method. [`StepReport::ignored`] tells their places. Divisors stay n
    /// and m, and BatchNorm's statistics see their values.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] for a batch of another size or with a label out of range, and when
    /// the trainer has data sets of its own. No step has been taken then. When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn step_on(
        &mut self,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
    ) -> Result<Option<StepReport>, TrainError> {
        self.check_batches(&train, clean.as_ref())?;
        let oldest = if self.readback.is_full() { self.take_report(true)? } else { None };
        self.submit_batches(&train, clean.as_ref())?;
        Ok(oldest)
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Trainer::step_on`].
    pub async fn step_on_async(
        &mut self,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
    ) -> Result<Option<StepReport>, TrainError> {
        self.check_batches(&train, clean.as_ref())?;
        let oldest = if self.readback.is_full() { self.take_report_async().await? } else { None };
        self.submit_batches(&train, clean.as_ref())?;
        Ok(oldest)
    }

    /// Uploads the batches of the sets that do not lie on the device. What fails fails here, before
    /// a report is taken that would be lost with the error.
    fn upload_streamed(&mut self) -> Result<(), TrainError> {
        self.check_sets()?;
        let BatchSource::Sets { streams, .. } = &mut self.source else { return Ok(()) };
        let model = self.iteration.model();
        model.context().check("taking a step")?;
        streams.iter_mut().try_for_each(|stream| stream.upload(model.context(), model.steps()))
    }

    pub(super) fn check_sets(&self) -> Result<(), TrainError> {
        if matches!(self.source, BatchSource::Batches { .. }) {
            let reason = "this trainer was made for batches: pass them to step_on".into();
            return Err(TrainError::Dataset { which: "training", reason });
        }
        Ok(())
    }

    fn submit_drawn(&mut self) -> Result<(), TrainError> {
        if let BatchSource::Sets { train_len, clean_len, .. } = self.source {
            let (options, model) = (self.iteration.options(), self.iteration.model());
            let (mut step, steps) = (model.next_step(options), model.steps());
            (step.train_epoch, step.train_position) = cursor(steps, options.batch, train_len);
            (step.clean_epoch, step.clean_position) = cursor(steps, options.clean_batch, clean_len);
            match self.exchanges {
                Some(_) => self.submit_exchanging(step)?,
                None => self.submit(step, None),
            }
        }
        Ok(())
    }

    pub(super) fn check_batches(
        &self,
        train: &Examples<'_>,
        clean: Option<&Examples<'_>>,
    ) -> Result<(), TrainError> {
        let (options, network) = (self.iteration.options(), self.network());
        if matches!(self.source, BatchSource::Sets { .. }) {
            let reason = "this trainer has data sets of its own: call step".into();
            return Err(TrainError::Dataset { which: "training", reason });
        }
        train.check_batch("training", options.batch, network)?;
        match clean {
            _ if !options.weighting.uses_clean_set() => Ok(()),
            Some(clean) => clean.check_batch("clean", options.clean_batch, network),
            None => Err(no_clean_set()),
        }
    }

    fn submit_batches(
        &mut self,
        train: &Examples<'_>,
        clean: Option<&Examples<'_>>,
    ) -> Result<(), TrainError> {
        if let BatchSource::Batches { train: train_in, clean: clean_in } = &self.source {
            let context = self.iteration.model().context().clone();
            train_in.write(&context, train);
            let clean = clean.map(|clean| {
                clean_in.write(&context, clean);
                clean_in.batch(clean.values.value_type())
            });
            let train = train_in.batch(train.values.value_type());
            let (step, import) = self.iteration.prepare(train, clean)?;
            self.submit(step, Some(import));
        }
        Ok(())
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.model().context().device.create_command_encoder(&Default::default())
    }

    /// Submits a step: at once, or in several submissions where it would run for too long.
    fn submit(&mut self, step: Step, import: Option<usize>) {
        let context = self.model().context().clone();
        let mut slices = self.iteration.slices_of(step, import, context.submission_limit());
        let mut encoder = self.encoder();
        // By the last submission the device may be done with the first ones.
        let begun = StepClock::now();
        while self.iteration.encode_slice(&mut encoder, &mut slices) {
            context.submit(std::mem::replace(&mut encoder, self.encoder()));
        }
        if self.submit_last(encoder) {
            self.clock.submit(begun);
        }
    }

    /// Submits the end of a step together with the copies for its report, for which there is room
    /// unless a report was to be taken first.
    pub(super) fn submit_last(&mut self, mut encoder: wgpu::CommandEncoder) -> bool {
        let pending = self.readback.encode(&mut encoder);
        let submission = self.model().context().submit(encoder);
        let Some(pending) = pending else { return false };
        self.readback.submitted(pending, submission);
        self.reported.push_back(self.steps() - 1);
        true
    }

    /// The oldest step's report that was not taken yet; with `wait`, waits until the device got
    /// there. `None` when there is none (yet). With [other ranks](Trainer::distributed) it always
    /// waits, so that all of them take the same.
    ///
    /// # Errors
    /// When the device is lost, and in a browser with `wait`.
    pub fn take_report(&mut self, wait: bool) -> Result<Option<StepReport>, TrainError> {
        let wait = wait || self.exchanges.is_some();
        let context = self.iteration.model().context();
        let (words, waited) = match self.readback.take(context, false)? {
            None if wait => (self.readback.take(context, true)?, true),
            there => (there, false),
        };
        let Some(words) = words else { return Ok(None) };
        if let Some(seconds) = self.clock.arrive(waited) {
            context.learn_pace(&self.iteration.plan().recording, seconds);
        }
        self.report(&words).map(Some)
    }

    /// The oldest step's report that was not taken yet, awaited; `None` when there is none.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn take_report_async(&mut self) -> Result<Option<StepReport>, TrainError> {
        let words = self.readback.take_async(self.iteration.model().context()).await?;
        self.clock.arrive(false);
        words.map(|words| self.report(&words)).transpose()
    }

    fn report(&mut self, words: &[u32]) -> Result<StepReport, TrainError> {
        let step = self.reported.pop_front().unwrap_or_default();
        let words = unstamped(self.model().context(), words, step as u32)?;
        let fields = &self.report_fields;
        let report = match &self.exchanges {
            Some(exchanges) => exchanges.report(step, fields, words)?,
            None => StepReport::of(step, fields, words),
        };
        let policy = self.iteration.options().not_finite;
        if policy == NotFinite::Stop && !report.not_finite.is_empty() {
            // It comes first in a report.
            return Err(not_finite::error(self.network(), words, &report));
        }
        Ok(report)
    }

    /// A copy of what the network has learned so far: [`Model::snapshot`].
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn snapshot(&self) -> Result<Snapshot, TrainError> {
        self.model().snapshot()
    }

    /// Goes on from a snapshot: [`Model::restore`].
    ///
    /// # Errors
    /// When the snapshot is of another network or optimizer; nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        self.model_mut().restore(snapshot)
    }

    /// A state of the weighting method: [`Model::weighting_state`].
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weighting_state(&self, name: &str) -> Result<Option<Vec<f32>>, TrainError> {
        self.model().weighting_state(name)
    }

    /// Prepares the scoring of a labelled set: [`Model::evaluation`].
    ///
    /// # Errors
    /// When the set does not fit the network or the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluation(
        &self,
        set: Examples<'_>,
        batch: usize,
    ) -> Result<super::Evaluation, TrainError> {
        self.model().evaluation(set, batch)
    }

    /// Writes a checkpoint: [`Model::save`]. With other ranks, rank 0 does.
    ///
    /// # Errors
    /// When the device is lost or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        self.on_first_rank(|| self.model().save(path))
    }

    /// Goes on from a checkpoint: [`Model::load`]. With other ranks, rank 0 reads it.
    ///
    /// # Errors
    /// When the file cannot be read or is of another run; nothing has changed then.
    pub fn load(&mut self, path: &Path) -> Result<(), TrainError> {
        let checkpoint = self.read_checkpoint(path)?;
        self.model_mut().resume(&checkpoint).map_err(|error| error.in_file(path))
    }
}
