use super::{ImageSet, Schedule, TrainError};
use crate::gpu::{Context, DeviceTensors, Executable, GpuError, Readback, TensorId, Tuning};
use crate::nn::Network;
use crate::ops::Step;
use crate::ops::batch::Gather;
use crate::plan::{self, Facts, Input, Plan, TrainingOptions};
use crate::weighting::Weighting;

/// Options of a training run.
#[derive(Clone, Debug)]
pub struct TrainerOptions {
    /// n, the training examples of a step.
    pub batch: usize,
    /// m, the clean examples of a step.
    pub clean_batch: usize,
    /// How training examples are weighted.
    pub weighting: Weighting,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// μ
    pub momentum: f32,
    /// Nesterov's momentum instead of the heavy ball.
    pub nesterov: bool,
    /// λ: decaying parameters θ add λ·θ to their gradient.
    pub weight_decay: f32,
    /// Zero pixels around an image, from which a window of its size is cut at random; 0 for none.
    pub crop_pad: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// Mean of each channel of pixels in \[0, 1\].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub deviation: Vec<f32>,
    /// Seed of initial parameters, batches, augmentation and dropout.
    pub seed: u32,
}

impl TrainerOptions {
    /// The official code's settings for CIFAR: n = m = 100, momentum 0.9, weight decay 0.0002,
    /// 2 pixels of padding, mirroring, pixels in [−1, 1]; learning rate 0.1 throughout.
    pub fn cifar(weighting: impl Into<Weighting>) -> Self {
        Self {
            batch: 100,
            clean_batch: 100,
            weighting: weighting.into(),
            schedule: Schedule::constant(0.1),
            momentum: 0.9,
            nesterov: false,
            weight_decay: 2e-4,
            crop_pad: 2,
            flip: true,
            mean: vec![0.5; 3],
            deviation: vec![0.5; 3],
            seed: 1,
        }
    }
}

/// What one step did, read back some steps later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// The step, counted from 0.
    pub step: u64,
    /// Place of each training example in its set, `[n]`.
    pub indices: Vec<u32>,
    /// Its loss before the step.
    pub losses: Vec<f32>,
    /// The class with the largest score before the step.
    pub predictions: Vec<u32>,
    /// w, `[n]`.
    pub weights: Vec<f32>,
    /// u, `[n]`; empty in plain training.
    pub similarities: Vec<f32>,
    /// The same for the clean batch, `[m]`; empty in plain training.
    pub clean_indices: Vec<u32>,
    /// Losses of the clean examples.
    pub clean_losses: Vec<f32>,
    /// Predictions for the clean examples.
    pub clean_predictions: Vec<u32>,
}

impl StepReport {
    /// Mean loss of the training batch.
    pub fn loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// Whether no example helped and the step was decay and momentum only.
    pub fn is_zero_weight(&self) -> bool {
        self.weights.iter().all(|w| *w == 0.0)
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len().max(1) as f64
}

/// Where an endless series of batches stands: passes over the set in a new order each; the rest
/// of a pass that fills no batch is left out.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    epoch: u32,
    position: u32,
}

impl Cursor {
    fn advance(&mut self, batch: usize, len: usize) {
        self.position += batch as u32;
        if self.position as usize + batch > len {
            *self = Self { epoch: self.epoch + 1, position: 0 };
        }
    }
}

/// Trains a network on data sets that lie on the device: one submission a step.
#[derive(Debug)]
pub struct Trainer {
    context: Context,
    network: Network,
    options: TrainerOptions,
    plan: Plan,
    tensors: DeviceTensors,
    executable: Executable,
    readback: Readback,
    report_fields: Vec<(Field, usize)>,
    steps: u64,
    reported: u64,
    train_len: usize,
    clean_len: usize,
    train_cursor: Cursor,
    clean_cursor: Cursor,
}

/// Runs whose results may be outstanding before a step waits for the oldest.
const RING: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Field {
    Indices,
    Losses,
    Predictions,
    Weights,
    Similarities,
    CleanIndices,
    CleanLosses,
    CleanPredictions,
}

impl Trainer {
    /// Uploads the data and prepares everything: pipelines, memory, bind groups. `clean` holds the
    /// trusted examples; plain training does without.
    ///
    /// # Errors
    /// When sets, options and network do not fit together, or the device has no room.
    pub fn new(
        context: &Context,
        network: &Network,
        train: ImageSet<'_>,
        clean: Option<ImageSet<'_>>,
        options: &TrainerOptions,
    ) -> Result<Self, TrainError> {
        check(network, &train, clean.as_ref(), options)?;
        let shape = train.shape;
        let gather = Gather {
            height: shape.height,
            width: shape.width,
            channels: shape.channels,
            crop_pad: options.crop_pad,
            flip: options.flip,
        };
        let train_shape = train.device_shape(context);
        let clean_shape = clean.map_or(train_shape, |clean| clean.device_shape(context));
        let training_options = TrainingOptions {
            batch: options.batch,
            clean_batch: options.clean_batch,
            weighting: options.weighting.clone(),
            nesterov: options.nesterov,
            tuning: Tuning::of(context),
            input: Input::Datasets { train: train_shape, clean: clean_shape, gather },
        };
        let facts = Facts {
            labels: train.labels,
            images: train.images,
            classes: network.classes(),
            seed: options.seed,
        };
        let plan = plan::training_on(network, &training_options, &facts)?;
        let mut tensors = state_tensors(context, network, options)?;
        train.upload(context, "train", &mut tensors)?;
        if let Some(clean) = clean {
            clean.upload(context, "clean", &mut tensors)?;
        }
        for state in &plan.state {
            let label = format!("weighting/{}", state.name);
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
            let buffer = context.upload(&label, bytemuck::cast_slice(&state.initial), usage)?;
            tensors.insert(label, buffer);
        }
        let executable = Executable::new(context, plan.recording.clone(), &tensors)?;
        let fields = report_fields(&plan);
        let sources = fields.iter().map(|(_, id)| {
            let bytes = plan.recording.tensor(*id).bytes();
            Ok((required(&executable, *id)?.clone(), bytes))
        });
        let readback = Readback::new(context, sources.collect::<Result<_, GpuError>>()?, RING);
        let train_len = plan.pass_len.unwrap_or(train.len());
        let len_of = |(field, id): &(Field, TensorId)| (*field, plan.recording.tensor(*id).len);
        let report_fields = fields.iter().map(len_of).collect();
        Ok(Self {
            context: context.clone(),
            network: network.clone(),
            options: options.clone(),
            plan,
            tensors,
            executable,
            readback,
            report_fields,
            steps: 0,
            reported: 0,
            train_len,
            clean_len: clean.map_or(0, |clean| clean.len()),
            train_cursor: Cursor::default(),
            clean_cursor: Cursor::default(),
        })
    }

    /// The iteration as plain data.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The options that the trainer was made with.
    pub fn options(&self) -> &TrainerOptions {
        &self.options
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn set_steps(&mut self, steps: u64) {
        self.train_cursor = Cursor::default();
        self.clean_cursor = Cursor::default();
        for _ in 0..steps {
            self.advance_cursors();
        }
        self.steps = steps;
        self.reported = steps;
    }

    /// Seconds that each dispatch of a step takes; `None` where the device has no timestamps. Runs
    /// the last step again, so the parameters change.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn profile(&self) -> Result<Option<Vec<f64>>, TrainError> {
        Ok(crate::gpu::profile(&self.context, &self.executable)?)
    }

    /// The iteration bound to the device: encodes without submitting. Each run of it takes the last
    /// step again.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// Device memory of the iteration's activations in bytes.
    pub fn activation_bytes(&self) -> u64 {
        self.executable.allocated_bytes()
    }

    /// Takes one step: one submission. When the reports of the last few steps are outstanding, it
    /// waits for the oldest one and returns it, so that none is lost; see
    /// [`Trainer::take_report`].
    ///
    /// # Errors
    /// When the device is lost.
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainError> {
        let oldest = if self.readback.is_full() { self.take_report(true)? } else { None };
        let step = Step {
            number: self.steps as u32,
            seed: self.options.seed,
            learning_rate: self.options.schedule.rate(self.steps),
            momentum: self.options.momentum,
            weight_decay: self.options.weight_decay,
            train_epoch: self.train_cursor.epoch,
            train_position: self.train_cursor.position,
            clean_epoch: self.clean_cursor.epoch,
            clean_position: self.clean_cursor.position,
            padding: [0; 3],
        };
        if let Some(buffer) = self.tensors.get("step") {
            self.context.queue.write_buffer(buffer, 0, bytemuck::bytes_of(&step));
        }
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        self.executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
        let pending = self.readback.encode(&mut encoder);
        self.context.submit(encoder);
        if let Some(pending) = pending {
            self.readback.submitted(pending);
        }
        self.steps += 1;
        self.advance_cursors();
        Ok(oldest)
    }

    fn advance_cursors(&mut self) {
        self.train_cursor.advance(self.options.batch, self.train_len);
        self.clean_cursor.advance(self.options.clean_batch, self.clean_len);
    }

    /// The oldest step's report that was not taken yet; with `wait`, waits until the device got
    /// there. `None` when there is none (yet).
    ///
    /// # Errors
    /// When the device is lost.
    pub fn take_report(&mut self, wait: bool) -> Result<Option<StepReport>, TrainError> {
        let Some(words) = self.readback.take(&self.context, wait)? else { return Ok(None) };
        let mut report = StepReport { step: self.reported, ..StepReport::default() };
        self.reported += 1;
        let mut rest = words.as_slice();
        for &(field, len) in &self.report_fields {
            let (words, after) = rest.split_at(len);
            rest = after;
            let floats = || words.iter().map(|word| f32::from_bits(*word)).collect();
            match field {
                Field::Indices => report.indices = words.to_vec(),
                Field::Losses => report.losses = floats(),
                Field::Predictions => report.predictions = words.to_vec(),
                Field::Weights => report.weights = floats(),
                Field::Similarities => report.similarities = floats(),
                Field::CleanIndices => report.clean_indices = words.to_vec(),
                Field::CleanLosses => report.clean_losses = floats(),
                Field::CleanPredictions => report.clean_predictions = words.to_vec(),
            }
        }
        Ok(Some(report))
    }

    /// Prepares the scoring of a labelled set with the parameters as they are at each call of
    /// [`Evaluation::run`].
    ///
    /// # Errors
    /// When the set does not fit the network or the device.
    pub fn evaluation(&self, set: ImageSet<'_>, batch: usize) -> Result<Evaluation, TrainError> {
        set.check("evaluation", self.network.classes())?;
        let gather = Gather {
            height: set.shape.height,
            width: set.shape.width,
            channels: set.shape.channels,
            crop_pad: 0,
            flip: false,
        };
        let shape = set.device_shape(&self.context);
        let (recording, outputs) =
            plan::evaluation(&self.network, batch, shape, &gather, Tuning::of(&self.context))?;
        let mut tensors = self.tensors.clone();
        let step = uniform_buffer(&self.context)?;
        tensors.insert("step", step.clone());
        set.upload(&self.context, "evaluation", &mut tensors)?;
        let executable = Executable::new(&self.context, recording, &tensors)?;
        let results = [outputs.predictions, outputs.losses];
        let source = |id: TensorId| Ok((required(&executable, id)?.clone(), 4 * batch as u64));
        let sources = results.into_iter().map(source).collect::<Result<_, GpuError>>()?;
        let readback = Readback::new(&self.context, sources, RING);
        let context = self.context.clone();
        Ok(Evaluation { context, executable, readback, step, batch, len: set.len() })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Buffer of one of the flat vectors: `parameters`, `velocity` or `running`.
    pub(crate) fn vector(&self, name: &str) -> Option<&wgpu::Buffer> {
        self.tensors.get(name)
    }
}

/// A labelled set on the device, ready to be scored again and again.
#[derive(Debug)]
pub struct Evaluation {
    context: Context,
    executable: Executable,
    readback: Readback,
    step: wgpu::Buffer,
    batch: usize,
    len: usize,
}

impl Evaluation {
    /// Predicted class and loss of every example, in order.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn run(&mut self) -> Result<(Vec<u32>, Vec<f32>), TrainError> {
        let (mut predictions, mut losses) = (Vec::new(), Vec::new());
        let mut take = |readback: &mut Readback, context: &Context| -> Result<(), TrainError> {
            if let Some(words) = readback.take(context, true)? {
                let (classes, bits) = words.split_at(words.len() / 2);
                predictions.extend_from_slice(classes);
                losses.extend(bits.iter().map(|bits| f32::from_bits(*bits)));
            }
            Ok(())
        };
        for first in (0..self.len).step_by(self.batch) {
            if self.readback.is_full() {
                take(&mut self.readback, &self.context)?;
            }
            let step = Step { train_position: first as u32, ..Step::default() };
            self.context.queue.write_buffer(&self.step, 0, bytemuck::bytes_of(&step));
            let mut encoder = self.context.device.create_command_encoder(&Default::default());
            self.executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
            let pending = self.readback.encode(&mut encoder);
            self.context.submit(encoder);
            if let Some(pending) = pending {
                self.readback.submitted(pending);
            }
        }
        while self.readback.in_flight() > 0 {
            take(&mut self.readback, &self.context)?;
        }
        predictions.truncate(self.len);
        losses.truncate(self.len);
        Ok((predictions, losses))
    }
}

fn check(
    network: &Network,
    train: &ImageSet<'_>,
    clean: Option<&ImageSet<'_>>,
    options: &TrainerOptions,
) -> Result<(), TrainError> {
    train.check("training", network.classes())?;
    match clean {
        Some(clean) => {
            clean.check("clean", network.classes())?;
            if clean.shape != train.shape {
                let reason = format!("its images are {}, training's {}", clean.shape, train.shape);
                return Err(TrainError::Dataset { which: "clean", reason });
            }
        }
        None if !options.weighting.uses_clean_set() => {}
        None => {
            let reason = "weights are learned from it, and there is none".into();
            return Err(TrainError::Dataset { which: "clean", reason });
        }
    }
    let channels = train.shape.channels;
    let positive = options.deviation.iter().all(|d| *d > 0.0);
    if options.mean.len() != channels || options.deviation.len() != channels || !positive {
        return Err(TrainError::Option {
            option: "mean and deviation",
            value: format!("{:?} and {:?}", options.mean, options.deviation),
            allowed: "one number a channel, deviations above 0",
        });
    }
    Ok(())
}

fn required(executable: &Executable, id: TensorId) -> Result<&wgpu::Buffer, GpuError> {
    let label = || executable.recording().tensor(id).label.clone();
    executable.buffer(id).ok_or_else(|| GpuError::MissingTensor(label()))
}

fn uniform_buffer(context: &Context) -> Result<wgpu::Buffer, GpuError> {
    let step = Step::default();
    context.upload("step", bytemuck::bytes_of(&step), wgpu::BufferUsages::UNIFORM)
}

/// Everything external but the data sets.
fn state_tensors(
    context: &Context,
    network: &Network,
    options: &TrainerOptions,
) -> Result<DeviceTensors, TrainError> {
    let mut tensors = DeviceTensors::new();
    tensors.insert("step", uniform_buffer(context)?);
    let zeros = vec![0.0; network.parameters_len];
    let normalisation = [options.mean.as_slice(), &options.deviation].concat();
    let uniform = |n: usize| vec![1.0 / n.max(1) as f32; n.max(1)];
    let vectors = [
        ("parameters", network.initial_parameters(options.seed.into())),
        ("velocity", zeros.clone()),
        ("gradient", zeros.clone()),
        ("clean_gradient", zeros),
        ("decay_mask", network.decay_mask()),
        ("running", network.initial_running()),
        ("uniform/train", uniform(options.batch)),
        ("uniform/clean", uniform(options.clean_batch)),
        ("normalisation", normalisation),
    ];
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
    for (label, values) in vectors {
        let content = bytemuck::cast_slice(&values);
        tensors.insert(label, context.upload(label, content, usage)?);
    }
    Ok(tensors)
}

/// What is read back after each step, in order.
fn report_fields(plan: &Plan) -> Vec<(Field, TensorId)> {
    let mut fields = vec![
        (Field::Losses, plan.train.losses),
        (Field::Predictions, plan.train.predictions),
        (Field::Weights, plan.weights),
    ];
    fields.extend(plan.train.indices.map(|id| (Field::Indices, id)));
    fields.extend(plan.similarities.map(|id| (Field::Similarities, id)));
    if let Some(clean) = &plan.clean {
        fields.push((Field::CleanLosses, clean.losses));
        fields.push((Field::CleanPredictions, clean.predictions));
        fields.extend(clean.indices.map(|id| (Field::CleanIndices, id)));
    }
    fields
}
