//! Training inside an application's own command encoder, on batches in its own buffers.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::data_sets::no_clean_set;
use super::step_ring::StepRing;
use super::{Model, NotFinite, TrainError, TrainerOptions};
use crate::gpu::{
    Context, DeviceTensors, ElementType, Executable, GpuError, Recorder, TensorId, Tuning,
};
use crate::nn::Network;
use crate::ops::Step;
use crate::ops::batch::ValueType;
use crate::ops::import::{self, ImportOffset};
use crate::ops::not_finite;
use crate::plan::{self, DatasetFacts, Input, Plan, Share, TrainingOptions};

/// Images of a batch in a buffer of the application, `[n, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// 8 bits each, from any byte on: divided by 255, then normalised by mean and deviation of the
    /// options.
    Bytes(wgpu::BufferSlice<'a>),
    /// f32 each, from a multiple of 4 bytes on: normalised likewise, without the division. A mean
    /// of 0 and a deviation of 1 take them as they are ([`TrainerOptions::features`]).
    Floats(wgpu::BufferSlice<'a>),
}

/// A labelled batch in buffers of the application. They need the usage `STORAGE` and nothing else:
/// no content of theirs passes through the host.
#[derive(Clone, Copy, Debug)]
pub struct BatchBuffers<'a> {
    /// The images.
    pub images: Images<'a>,
    /// u32 each, `[n]`, from a multiple of 4 bytes on. One that is not below the number of classes
    /// leaves its example out: loss, gradient, u and weight of it are 0, whatever the method, and
    /// the others' are what they would be beside any other example. Divisors stay n and m: means
    /// over the batch count it. BatchNorm's statistics see its image.
    pub labels: wgpu::BufferSlice<'a>,
}

/// Results of the last encoded iteration on the device, each from byte 0 of its buffer on. They
/// have the usages `STORAGE`, `VERTEX` and `COPY_SRC`; the next iteration overwrites them.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// w, `[n]` f32.
    pub weights: &'a wgpu::Buffer,
    /// u, `[n]` f32, of methods that compute it.
    pub similarities: Option<&'a wgpu::Buffer>,
    /// Losses before the step, `[n]` f32.
    pub losses: &'a wgpu::Buffer,
    /// Classes with the largest score before the step, `[n]` u32.
    pub predictions: &'a wgpu::Buffer,
    /// Losses of the clean batch, `[m]` f32, of methods that look at it.
    pub clean_losses: Option<&'a wgpu::Buffer>,
    /// What was not finite, u32: word 0 is 0 where all was well. See
    /// [`ops::not_finite`](crate::ops::not_finite) and [`NotFinite`].
    pub not_finite: &'a wgpu::Buffer,
}

/// A training iteration that is recorded into the application's own command encoder and reads
/// batches from the application's own buffers: nothing is submitted, nothing is read back.
///
/// ```no_run
/// # fn frame(
/// #     context: &l2rw::gpu::Context, iteration: &mut l2rw::train::Iteration,
/// #     images: &wgpu::Buffer, labels: &wgpu::Buffer,
/// #     clean_images: &wgpu::Buffer, clean_labels: &wgpu::Buffer,
/// # ) -> Result<(), l2rw::train::TrainError> {
/// use l2rw::train::{BatchBuffers, Images};
///
/// let train = BatchBuffers { images: Images::Floats(images.slice(..)), labels: labels.slice(..) };
/// let clean = BatchBuffers {
///     images: Images::Floats(clean_images.slice(..)),
///     labels: clean_labels.slice(..),
/// };
/// let mut encoder = context.device.create_command_encoder(&Default::default());
/// // … the application's passes that fill the batches …
/// iteration.encode(&mut encoder, train, Some(clean))?;
/// // … its passes that use iteration.outputs().weights …
/// context.queue.submit([encoder.finish()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Iteration {
    model: Model,
    options: TrainerOptions,
    plan: Plan,
    executable: Executable,
    results: Results,
    imports: Vec<(Vec<ImportedSlice>, Executable)>,
    steps: StepRing,
}

/// What is left to record of an iteration: [`Iteration::slices`].
#[derive(Debug)]
#[must_use = "an iteration of which a part was recorded leaves its model between two steps"]
pub struct Slices {
    /// What the step is told; taken by the first slice.
    step: Option<Step>,
    import: Option<usize>,
    ranges: VecDeque<Range<usize>>,
}

impl Slices {
    /// Slices that are still to be recorded.
    pub fn remaining(&self) -> usize {
        self.ranges.len()
    }

    /// Cuts the slices further, so that each of these dispatches, ascending, begins one.
    pub(super) fn cut_at(&mut self, places: &[usize]) {
        for &place in places {
            let inside = |range: &Range<usize>| range.start < place && place < range.end;
            if let Some(at) = self.ranges.iter().position(inside) {
                let end = std::mem::replace(&mut self.ranges[at].end, place);
                self.ranges.insert(at + 1, place..end);
            }
        }
    }

    /// The dispatch behind the next slice.
    pub(super) fn next_end(&self) -> usize {
        self.ranges.front().map_or(0, |range| range.end)
    }
}

/// The buffers behind [`Outputs`].
#[derive(Debug)]
struct Results {
    weights: wgpu::Buffer,
    similarities: Option<wgpu::Buffer>,
    losses: wgpu::Buffer,
    predictions: wgpu::Buffer,
    clean_losses: Option<wgpu::Buffer>,
    not_finite: wgpu::Buffer,
}

impl Results {
    fn new(executable: &Executable, plan: &Plan) -> Result<Self, GpuError> {
        let buffer = |id: TensorId| required(executable, id).cloned();
        Ok(Self {
            weights: buffer(plan.weights)?,
            similarities: plan.similarities.map(buffer).transpose()?,
            losses: buffer(plan.train.losses)?,
            predictions: buffer(plan.train.predictions)?,
            clean_losses: plan.clean.map(|clean| buffer(clean.losses)).transpose()?,
            not_finite: buffer(plan.not_finite)?,
        })
    }
}

/// Bindings to the application's buffers that are kept for the next time they are passed.
const IMPORTS: usize = 8;

/// Bytes that a binding's offset is a multiple of, on every device.
const ALIGNMENT: u64 = 256;

/// A part of the application's buffer that becomes one of the iteration's inputs.
#[derive(Clone, Debug, PartialEq)]
struct ImportedSlice {
    source: ImportOffset,
    /// How its values are stored; labels count as floats, a word each.
    values: ValueType,
    buffer: wgpu::Buffer,
    /// First byte bound; what lies between it and the data is told by the step.
    first: u64,
    words: usize,
}

impl Iteration {
    /// Allocates parameters, optimizer state and activations, and compiles the pipelines. Of the
    /// options, those about augmentation do not apply: batches are taken as they come. Weighting
    /// methods that count the training set beforehand, draw from it or tell its examples apart are
    /// refused: they need [`Trainer::new`](super::Trainer::new).
    ///
    /// # Errors
    /// When the options do not fit the network, the method needs data sets, or a tensor does not
    /// fit the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        pollster::block_on(Self::new_async(context, network, options))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Iteration::new`].
    pub async fn new_async(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        options.check(network.input().channels)?;
        let network = &options.frozen_in(network)?;
        let (classes, seed) = (network.classes(), options.seed);
        let facts = DatasetFacts { classes, seed, ..DatasetFacts::default() };
        let plan = plan_of(context, network, options, Input::Buffers, &facts, Share::WHOLE)?;
        // The plan takes normalised images: this belongs to their import.
        let normalisation = [options.mean.as_slice(), &options.deviation].concat();
        let (content, usage) = (bytemuck::cast_slice(&normalisation), wgpu::BufferUsages::STORAGE);
        let mut given = DeviceTensors::new();
        given.insert("normalisation", context.upload("normalisation", content, usage).await?);
        let nothing_known = serde_json::Value::Null;
        let iteration =
            Self::from_plan(context, network, options, plan, given, nothing_known).await?;
        iteration.prepare_imports().await?;
        Ok(iteration)
    }

    /// `given` has the tensors that the model does not know of: data sets. `data` describes them.
    pub(super) async fn from_plan(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
        plan: Plan,
        given: DeviceTensors,
        data: serde_json::Value,
    ) -> Result<Self, TrainError> {
        let model = Model::new(context, network, options, &plan, given, data).await?;
        let recording = plan.recording.clone();
        let executable = Executable::of(context, recording, &model.tensors).await?;
        let results = Results::new(&executable, &plan)?;
        let (options, imports, steps) = (options.clone(), Vec::new(), StepRing::new(context)?);
        Ok(Self { model, options, plan, executable, results, imports, steps })
    }

    /// The iteration as plain data.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The network with its parameters.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The network with its parameters, to load others.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    pub(super) fn options(&self) -> &TrainerOptions {
        &self.options
    }

    pub(super) fn executable(&self) -> &Executable {
        &self.executable
    }

    /// Device memory in bytes, allocated once and for all: [`Plan::memory_bytes`], the
    /// normalisation of 8-bit images and what steps are told.
    pub fn memory_bytes(&self) -> u64 {
        let planned = self.plan.recording.find("normalisation").is_some();
        let normalisation = self.model.tensors.get("normalisation").filter(|_| !planned);
        let normalisation = normalisation.map_or(0, wgpu::Buffer::size);
        self.plan.memory_bytes() + normalisation + self.steps.bytes()
    }

    /// Where the results of the last encoded iteration will lie once it has run.
    pub fn outputs(&self) -> Outputs<'_> {
        let results = &self.results;
        Outputs {
            weights: &results.weights,
            similarities: results.similarities.as_ref(),
            losses: &results.losses,
            predictions: &results.predictions,
            clean_losses: results.clean_losses.as_ref(),
            not_finite: &results.not_finite,
        }
    }

    /// Records one iteration: weights from `clean`, and an optimizer step on the weighted `train`
    /// batch. The caller submits. Several iterations may go into one encoder. Methods that look at
    /// no clean set take no `clean` batch.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] where a batch is missing or too short, or an offset is not a
    /// multiple of 4, [`TrainError::Gpu`] where a buffer lacks the usage `STORAGE` or the device
    /// is known to be lost. Nothing has been recorded then.
    pub fn encode(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        train: BatchBuffers<'_>,
        clean: Option<BatchBuffers<'_>>,
    ) -> Result<(), TrainError> {
        let (step, import) = self.prepare(train, clean)?;
        let mut slices = self.slices_of(step, Some(import), None);
        while self.encode_slice(encoder, &mut slices) {}
        Ok(())
    }

    /// What the next step is told, and the index of the bindings to its batches.
    pub(super) fn prepare(
        &mut self,
        train: BatchBuffers<'_>,
        clean: Option<BatchBuffers<'_>>,
    ) -> Result<(Step, usize), TrainError> {
        self.model.context.check("recording an iteration")?;
        let mut step = self.model.next_step(&self.options);
        let image = self.model.network.input().len() as u64;
        let mut parts = Vec::new();
        let n = self.options.batch as u64;
        let sources = (ImportOffset::TrainImages, ImportOffset::TrainLabels);
        let [images, labels] = batch_parts("training", train, sources, n, image, &mut parts)?;
        (step.train_images_first, step.train_labels_first) = (images, labels);
        match clean {
            _ if !self.options.weighting.uses_clean_set() => {}
            Some(clean) => {
                let m = self.options.clean_batch as u64;
                let sources = (ImportOffset::CleanImages, ImportOffset::CleanLabels);
                let firsts = batch_parts("clean", clean, sources, m, image, &mut parts)?;
                [step.clean_images_first, step.clean_labels_first] = firsts;
            }
            None => return Err(no_clean_set()),
        }
        Ok((step, self.import(parts)?))
    }

    /// The same in slices, each estimated to run no longer than `limit`, for an application that
    /// draws or computes something else in between: [`Iteration::encode_slice`] records one after
    /// the other. Until the last one has been submitted, batches must stay as they are, and nothing
    /// else may run with this iteration's model.
    ///
    /// # Errors
    /// As [`Iteration::encode`].
    pub fn slices(
        &mut self,
        train: BatchBuffers<'_>,
        clean: Option<BatchBuffers<'_>>,
        limit: Duration,
    ) -> Result<Slices, TrainError> {
        let (step, import) = self.prepare(train, clean)?;
        Ok(self.slices_of(step, Some(import), Some(limit)))
    }

    /// Records the next slice. Returns whether more are to come; where none is left, nothing
    /// happens.
    pub fn encode_slice(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        slices: &mut Slices,
    ) -> bool {
        let Some(range) = slices.ranges.pop_front() else { return false };
        let mut import = None;
        if let Some(step) = slices.step.take() {
            if let Some(uniform) = self.model.tensors.get("step") {
                self.steps.encode(&self.model.context, encoder, &step, uniform);
            }
            if self.options.not_finite != NotFinite::Stop {
                encoder.clear_buffer(&self.results.not_finite, 0, None);
            }
            import = slices.import.and_then(|index| self.imports.get(index));
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("l2rw iteration"),
            timestamp_writes: None,
        });
        if let Some((_, import)) = import {
            import.encode(&mut pass);
        }
        self.executable.encode_range(&mut pass, range);
        drop(pass);
        if slices.ranges.is_empty() {
            self.model.steps += 1;
            self.model.moment_steps += 1;
        }
        !slices.ranges.is_empty()
    }

    /// The slices of a step whose batches are drawn from data sets on the device, or imported.
    pub(super) fn slices_of(
        &self,
        step: Step,
        import: Option<usize>,
        limit: Option<Duration>,
    ) -> Slices {
        let ranges = self.model.context.cut(&self.plan.recording, limit).into();
        Slices { step: Some(step), import, ranges }
    }

    /// The index of the bindings to these parts, made now if they are new.
    fn import(&mut self, parts: Vec<ImportedSlice>) -> Result<usize, TrainError> {
        if let Some(index) = self.imports.iter().position(|(known, _)| *known == parts) {
            return Ok(index);
        }
        let recording = self.import_recording(&parts)?;
        let mut tensors = self.model.tensors.clone();
        for part in &parts {
            tensors.insert_slice(label_of(part.source), part.buffer.slice(part.first..));
        }
        let context = &self.model.context;
        let executable = Executable::of_prepared(context, recording.finish()?, &tensors)?;
        if self.imports.len() == IMPORTS {
            self.imports.remove(0);
        }
        self.imports.push((parts, executable));
        Ok(self.imports.len() - 1)
    }

    fn import_recording(&self, parts: &[ImportedSlice]) -> Result<Recorder, GpuError> {
        let mut rec = Recorder::new();
        rec.trust(true);
        rec.tune(Tuning::of(&self.model.context));
        rec.stage("import");
        let step = plan::step_tensor(&mut rec);
        let channels = self.model.network.input().channels;
        let normalisation = rec.external("normalisation", ElementType::F32, 2 * channels);
        for part in parts {
            let name = match part.source {
                ImportOffset::TrainImages => "train/images",
                ImportOffset::TrainLabels => "train/labels",
                ImportOffset::CleanImages => "clean/images",
                ImportOffset::CleanLabels => "clean/labels",
            };
            let missing = || GpuError::MissingTensor(name.to_owned());
            let id = self.plan.recording.find(name).ok_or_else(missing)?;
            let tensor = self.plan.recording.tensor(id);
            let out = rec.external(name, tensor.element, tensor.len);
            rec.label(name);
            let data = rec.external(label_of(part.source), ElementType::U32, part.words);
            let source = part.source;
            match source {
                ImportOffset::TrainLabels | ImportOffset::CleanLabels => {
                    let classes = self.model.network.classes();
                    import::labels(&mut rec, step, source, classes, data, out);
                }
                _ => import::images(&mut rec, step, source, part.values, data, normalisation, out),
            }
        }
        if self.options.not_finite == NotFinite::DropExample {
            self.leave_out(&mut rec, parts);
        }
        Ok(rec)
    }

    /// Leaves examples out whose images, of floats, are not finite.
    fn leave_out(&self, rec: &mut Recorder, parts: &[ImportedSlice]) {
        let classes = self.model.network.classes();
        for (source, name) in
            [(ImportOffset::TrainImages, "train"), (ImportOffset::CleanImages, "clean")]
        {
            let floats =
                parts.iter().any(|part| part.source == source && part.values == ValueType::Floats);
            let tensors = ["images", "labels"].map(|what| rec.find(&format!("{name}/{what}")));
            if let ([Some(images), Some(labels)], true) = (tensors, floats) {
                rec.label(name);
                not_finite::leave_out(rec, images, labels, classes);
            }
        }
    }

    /// Compiles the pipelines of all imports, which [`Iteration::encode`] cannot await.
    async fn prepare_imports(&self) -> Result<(), TrainError> {
        let Some(any) = self.model.parameters() else { return Ok(()) };
        let mut sources = vec![ImportOffset::TrainImages, ImportOffset::TrainLabels];
        if self.options.weighting.uses_clean_set() {
            sources.extend([ImportOffset::CleanImages, ImportOffset::CleanLabels]);
        }
        let part = |source, values| ImportedSlice {
            source,
            values,
            buffer: any.clone(),
            first: 0,
            words: 1,
        };
        let images =
            |s: &&ImportOffset| matches!(s, ImportOffset::TrainImages | ImportOffset::CleanImages);
        let mut parts: Vec<ImportedSlice> =
            sources.iter().map(|source| part(*source, ValueType::Floats)).collect();
        parts.extend(sources.iter().filter(images).map(|source| part(*source, ValueType::Bytes)));
        let recording = self.import_recording(&parts)?.finish()?;
        self.model.context.prepare(recording.dispatches.iter()).await?;
        Ok(())
    }
}

/// The step's uniform and every tensor from outside are the model's; the sources have these names.
fn label_of(source: ImportOffset) -> &'static str {
    match source {
        ImportOffset::TrainImages => "the application's training images",
        ImportOffset::TrainLabels => "the application's training labels",
        ImportOffset::CleanImages => "the application's clean images",
        ImportOffset::CleanLabels => "the application's clean labels",
    }
}

/// Appends the parts of a batch of `n` examples; where its images and labels begin within them.
fn batch_parts(
    which: &'static str,
    batch: BatchBuffers<'_>,
    (images, labels): (ImportOffset, ImportOffset),
    n: u64,
    image: u64,
    parts: &mut Vec<ImportedSlice>,
) -> Result<[u32; 2], TrainError> {
    let (slice, values) = match batch.images {
        Images::Bytes(slice) => (slice, ValueType::Bytes),
        Images::Floats(slice) => (slice, ValueType::Floats),
    };
    let bytes = n * image * values.size() as u64;
    let image_first = push_part(which, "images", images, slice, bytes, values, parts)?;
    let word = ValueType::Floats;
    let label_first = push_part(which, "labels", labels, batch.labels, 4 * n, word, parts)?;
    Ok([image_first, label_first])
}

fn push_part(
    which: &'static str,
    what: &str,
    source: ImportOffset,
    slice: wgpu::BufferSlice<'_>,
    needed: u64,
    values: ValueType,
    parts: &mut Vec<ImportedSlice>,
) -> Result<u32, TrainError> {
    let fail = |reason| Err(TrainError::Dataset { which, reason });
    let offset = slice.offset();
    if slice.size() < needed {
        return fail(format!("its {what} take {needed} bytes, the slice has {}", slice.size()));
    }
    if !offset.is_multiple_of(values.size() as u64) {
        return fail(format!("the offset {offset} of its {what} is not a multiple of 4"));
    }
    let first = offset / ALIGNMENT * ALIGNMENT;
    let words = (offset - first + needed).div_ceil(4) as usize;
    let buffer = slice.buffer().clone();
    parts.push(ImportedSlice { source, values, buffer, first, words });
    let begin = offset - first;
    Ok((begin / values.size() as u64) as u32)
}

pub(super) fn required(executable: &Executable, id: TensorId) -> Result<&wgpu::Buffer, GpuError> {
    let label = || executable.recording().tensor(id).label.clone();
    executable.buffer(id).ok_or_else(|| GpuError::MissingTensor(label()))
}

/// Plans an iteration and checks it against the device before anything is allocated.
pub(super) fn plan_of(
    context: &Context,
    network: &Network,
    options: &TrainerOptions,
    input: Input,
    facts: &DatasetFacts<'_>,
    share: Share,
) -> Result<Plan, TrainError> {
    let plan = plan::training_of(
        network,
        &TrainingOptions {
            batch: options.batch,
            clean_batch: options.clean_batch,
            weighting: options.weighting.clone(),
            optimizer: options.optimizer,
            tuning: Tuning::of(context),
            input,
        },
        facts,
        share,
    )?;
    plan.recording.check_limits(&context.device.limits())?;
    Ok(plan)
}
