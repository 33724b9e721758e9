//! A network on a device, with everything that it has learned.

use std::path::Path;

use serde_json::Value;

use super::run_description::describe;
use super::{Checkpoint, Evaluation, Examples, Predictor, Schedule, TrainError};
use crate::gpu::{Context, DeviceTensors, GpuError, Lifetime, read_back_async};
use crate::nn::Network;
use crate::ops::Step;
use crate::ops::not_finite::SLOTS;
use crate::plan::{Optimizer, Plan, StateTensor};
use crate::train::TrainerOptions;

/// A network on a device: its parameters, what the optimizer remembers of them, BatchNorm's
/// running statistics, and what the weighting method has learned.
#[derive(Debug)]
pub struct Model {
    pub(super) context: Context,
    pub(super) network: Network,
    pub(super) optimizer: Optimizer,
    /// Everything that a plan expects from outside.
    pub(super) tensors: DeviceTensors,
    pub(super) steps: u64,
    /// Steps that the optimizer's moments remember: another number after a snapshot of other steps.
    pub(super) moment_steps: u64,
    /// Labels and lengths of the tensors that the weighting method learns.
    pub(super) method_state: Vec<(String, usize)>,
    /// What the learning rate follows instead of the options' schedule.
    pub(super) schedule: Option<Schedule>,
    /// What the run is made of, for its checkpoints.
    pub(super) run: Value,
}

impl Model {
    /// Allocates what `plan` expects from outside and `given` does not have yet. `data` describes
    /// the data sets, for checkpoints.
    pub(super) async fn new(
        context: &Context,
        network: &Network,
        options: &TrainerOptions,
        plan: &Plan,
        given: DeviceTensors,
        data: Value,
    ) -> Result<Self, GpuError> {
        let mut tensors = given;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
        for state in &plan.state {
            let content = bytemuck::cast_slice(&state.initial);
            let label = state.label();
            let buffer = context.upload(&label, content, usage).await?;
            tensors.insert(label, buffer);
        }
        for tensor in &plan.recording.tensors {
            let (label, bytes) = (tensor.label.as_str(), tensor.bytes());
            let storage = wgpu::BufferUsages::STORAGE;
            let usage = match tensor.lifetime {
                Lifetime::Transient | Lifetime::Output | Lifetime::Constant => continue,
                Lifetime::ExternalUniform => wgpu::BufferUsages::UNIFORM,
                Lifetime::External => storage | wgpu::BufferUsages::UNIFORM,
            };
            if tensors.get(label).is_some() {
                continue;
            }
            // Fresh buffers are zero.
            let buffer = context.allocate(label, bytes, usage).await?;
            if let Some(content) = initial_content(network, options, label, tensor.len) {
                context.write(&buffer, bytemuck::cast_slice(&content));
            }
            tensors.insert(label, buffer);
        }
        let run = describe(network, options, data);
        let (context, network) = (context.clone(), network.clone());
        let learned = plan.state.iter().filter(|state| state.saved);
        let method_state = learned.map(|state| (state.label(), state.initial.len())).collect();
        let (optimizer, steps, moment_steps, schedule) = (options.optimizer, 0, 0, None);
        Ok(Self {
            context,
            network,
            optimizer,
            tensors,
            steps,
            moment_steps,
            method_state,
            schedule,
            run,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The device it lies on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Lets the learning rate follow another schedule than that of the options, from the next step
    /// on; its steps count from the beginning of the run. Checkpoints hold it: a run that goes on
    /// from one follows it again, and needs no options but those that it began with.
    ///
    /// # Errors
    /// [`TrainError::Option`] for what is refused in options; nothing has changed then.
    pub fn set_schedule(&mut self, schedule: Schedule) -> Result<(), TrainError> {
        schedule.check()?;
        self.schedule = Some(schedule);
        Ok(())
    }

    pub(super) fn schedule_of<'a>(&'a self, options: &'a TrainerOptions) -> &'a Schedule {
        self.schedule.as_ref().unwrap_or(&options.schedule)
    }

    /// The flat parameter vector on the device, `[parameters_len]` f32: each of
    /// [`Network::parameters`] lies at its offset.
    pub fn parameters(&self) -> Option<&wgpu::Buffer> {
        self.tensors.get("parameters")
    }

    /// A state of the weighting method, e.g. `theta`, the parameters of Meta-Weight-Net's weight
    /// function; `None` where it has none of that name.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weighting_state(&self, name: &str) -> Result<Option<Vec<f32>>, TrainError> {
        pollster::block_on(self.weighting_state_async(name))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Model::weighting_state`].
    pub async fn weighting_state_async(&self, name: &str) -> Result<Option<Vec<f32>>, TrainError> {
        let label = StateTensor::label_of(name);
        if self.method_state.iter().all(|(known, _)| *known != label) {
            return Ok(None);
        }
        let words = self.read_vector(&label).await?;
        Ok(Some(words.into_iter().map(f32::from_bits).collect()))
    }

    /// Prepares the scoring of a labelled set, `batch` examples at a time, with the parameters as
    /// they are at each run.
    ///
    /// # Errors
    /// When the set does not fit the network or the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluation(&self, set: Examples<'_>, batch: usize) -> Result<Evaluation, TrainError> {
        pollster::block_on(self.evaluation_async(set, batch))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Model::evaluation`].
    pub async fn evaluation_async(
        &self,
        set: Examples<'_>,
        batch: usize,
    ) -> Result<Evaluation, TrainError> {
        self.predictor().evaluation_async(set, batch).await
    }

    /// Predicts the classes of examples without labels, with the parameters as they are at each
    /// call.
    pub fn predictor(&self) -> Predictor {
        Predictor::on(&self.context, &self.network, &self.tensors)
    }

    /// Writes a checkpoint ([`Model::to_safetensors`]); a file of that name is replaced only once
    /// the new one is complete. [`CheckpointSeries`](super::CheckpointSeries) keeps several.
    ///
    /// # Errors
    /// When the device is lost or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let bytes = self.to_safetensors(super::Contents::Checkpoint)?;
        Ok(crate::files::write_atomic(path, &bytes)?)
    }

    /// Goes on from a checkpoint of the same run: see [`Model::load_safetensors`].
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the file cannot be read, is damaged, or a tensor is missing
    /// or has another shape, [`TrainError::OtherRun`] when it is of other options or data. Nothing
    /// has changed then.
    pub fn load(&mut self, path: &Path) -> Result<(), TrainError> {
        self.resume(&Checkpoint::read(path)?).map_err(|error| error.in_file(path))
    }

    /// Ends the state in which no step is taken: see [`NotFinite::Stop`](super::NotFinite).
    pub(super) fn forget_not_finite(&self) {
        if let Some(found) = self.tensors.get("not_finite") {
            self.context.write(found, &[0; 4 * SLOTS]);
        }
    }

    /// The word on the device that tells which run it was last told of.
    pub(super) fn stamp(&self) -> Option<(wgpu::Buffer, u64)> {
        Some((self.tensors.get("step")?.clone(), 4))
    }

    /// Content of one of the flat vectors.
    pub(crate) async fn read_vector(&self, name: &str) -> Result<Vec<u32>, GpuError> {
        match self.tensors.get(name) {
            Some(buffer) => read_back_async(&self.context, buffer, buffer.size()).await,
            None => Ok(Vec::new()),
        }
    }

    /// What the host tells the device about the next step, batches left out.
    pub(super) fn next_step(&self, options: &TrainerOptions) -> Step {
        let (momentum, first, second) = match self.optimizer {
            Optimizer::Sgd { momentum, .. } => (momentum, 1.0, 1.0),
            Optimizer::AdamW { beta1, beta2, .. } => {
                let exponent = i32::try_from(self.moment_steps + 1).unwrap_or(i32::MAX);
                let correction = |beta: f32| (1.0 - f64::from(beta).powi(exponent)) as f32;
                (0.0, correction(beta1), correction(beta2))
            }
        };
        Step {
            number: self.steps as u32,
            seed: options.seed,
            learning_rate: self.schedule_of(options).rate(self.steps),
            momentum,
            weight_decay: options.weight_decay,
            first_correction: first,
            second_correction: second,
            ..Step::default()
        }
    }
}

/// What a tensor from outside starts with; `None` for zeros.
fn initial_content(
    network: &Network,
    options: &TrainerOptions,
    label: &str,
    len: usize,
) -> Option<Vec<f32>> {
    match label {
        "parameters" => Some(network.initial_parameters(options.seed.into())),
        "decay_mask" => Some(network.decay_mask()),
        "running" => Some(network.initial_running()),
        // Of the whole batch, of which there may be a share here.
        "uniform/train" => Some(vec![1.0 / options.batch as f32; len]),
        "uniform/clean" => Some(vec![1.0 / options.clean_batch as f32; len]),
        "normalisation" => Some([options.mean.as_slice(), &options.deviation].concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainers_models_and_reports_move_between_threads() {
        fn assert_send<T: Send>() {}
        assert_send::<Model>();
        assert_send::<crate::train::Trainer>();
        assert_send::<crate::train::Iteration>();
        assert_send::<crate::train::StepReport>();
    }
}
