//! Parameters in and out: safetensors files with PyTorch's names and layouts.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};

use super::checkpoint::{Counts, FORMAT, Header, StoredFile, StoredTensor, fail, to_bytes, write};
use super::run_description::{list, of_inputs};
use super::{Checkpoint, Difference, HostState, Model, Schedule, TrainError};
use crate::nn::{Network, StateDictTensor, Vector};
use crate::ops::Optimizer;

/// What a safetensors file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Parameters and running statistics: what PyTorch calls a state dict.
    Parameters,
    /// The same, the optimizer's and the weighting method's state, the number of steps, and what
    /// the run was made of: enough to go on as if training had never stopped.
    Checkpoint,
}

/// A part of one of the model's vectors, on its way to the device: label, offset, content.
pub(super) type Write<'a> = (&'a str, usize, Vec<u32>);

impl Model {
    /// The model as a safetensors file, blocking until the device is done with the steps before.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_safetensors(&self, contents: Contents) -> Result<Vec<u8>, TrainError> {
        pollster::block_on(self.to_safetensors_async(contents))
    }

    /// The model as a safetensors file.
    ///
    /// Names and layouts are those of a PyTorch module whose children are called as the layers are:
    /// `conv1.weight` `[out, in, kernel_h, kernel_w]`, `fc.weight` `[out, in]` (inputs that were an
    /// image are flattened channels first), `norm.weight`, `norm.bias`, `norm.running_mean`,
    /// `norm.running_var` `[channels]`. A normalisation without a learned scale gets a weight of
    /// ones. With [`Contents::Checkpoint`] there are `optimizer/velocity/<name>` (SGD) or
    /// `optimizer/first_moment/<name>` and `optimizer/second_moment/<name>` (AdamW) in the same
    /// layouts, and the weighting method's `weighting/<name>` `[len]`.
    ///
    /// The metadata have one entry, `l2rw`, with JSON: a checksum of the content, the version of
    /// the crate, mean and deviation of the inputs, and in a checkpoint the steps, all that the run
    /// was made of, adapter and tuning. The same model gives the same bytes.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn to_safetensors_async(&self, contents: Contents) -> Result<Vec<u8>, TrainError> {
        self.to_bytes_with(contents, &HostState::default()).await
    }

    /// A whole checkpoint with what the program keeps of its own run beside it.
    ///
    /// Reports that are outstanding are not in it: take them before
    /// ([`Trainer::take_report`](super::Trainer::take_report)).
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_checkpoint(&self, host: &HostState) -> Result<Vec<u8>, TrainError> {
        pollster::block_on(self.to_checkpoint_async(host))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Model::to_checkpoint`].
    pub async fn to_checkpoint_async(&self, host: &HostState) -> Result<Vec<u8>, TrainError> {
        self.to_bytes_with(Contents::Checkpoint, host).await
    }

    /// Writes what prediction needs: parameters, running statistics, mean and deviation of the
    /// inputs, and beside them what the program wants to find before it builds the network
    /// ([`SavedModel::host`](super::SavedModel::host)). A file of that name is replaced only once
    /// the new one is complete.
    ///
    /// # Errors
    /// When the device is lost or the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save_parameters(&self, path: &Path, host: &HostState) -> Result<(), TrainError> {
        let bytes = pollster::block_on(self.to_parameters_async(host))?;
        Ok(crate::files::write_atomic(path, &bytes)?)
    }

    /// The content of [`Model::save_parameters`], without blocking.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn to_parameters_async(&self, host: &HostState) -> Result<Vec<u8>, TrainError> {
        self.to_bytes_with(Contents::Parameters, host).await
    }

    async fn to_bytes_with(
        &self,
        contents: Contents,
        host: &HostState,
    ) -> Result<Vec<u8>, TrainError> {
        let parameters = self.read_vector("parameters").await?;
        let running = self.read_vector("running").await?;
        let state = self.network.state_dict();
        let mut stored = Vec::new();
        let mut push = |name: String, shape: Vec<usize>, words: &[u32]| {
            stored.push(StoredTensor { name, dtype: Dtype::F32, shape, bytes: to_bytes(words) });
        };
        for tensor in &state {
            let flat = if tensor.vector == Vector::Running { &running } else { &parameters };
            push(tensor.name.clone(), tensor.shape.clone(), &tensor.to_pytorch(flat));
        }
        if contents == Contents::Checkpoint {
            for &(label, name) in self.optimizer_vectors() {
                let words = self.read_vector(label).await?;
                for (tensor, _) in learned(&state) {
                    let name = format!("optimizer/{name}/{}", tensor.name);
                    push(name, tensor.shape.clone(), &tensor.to_pytorch(&words));
                }
            }
            for (label, len) in &self.method_state {
                push(label.clone(), vec![*len], &self.read_vector(label).await?);
            }
        }
        write(&self.header(contents, host), stored, host)
    }

    fn header(&self, contents: Contents, host: &HostState) -> Header {
        let counts = Counts { steps: self.steps, moment_steps: self.moment_steps };
        let (run, counts, device) = match contents {
            Contents::Parameters => (of_inputs(&self.run), None, Value::Null),
            Contents::Checkpoint => (self.run.clone(), Some(counts), self.describe_device()),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let schedule = self.schedule.clone().filter(|_| contents == Contents::Checkpoint);
        Header { format: FORMAT, version, run, counts, schedule, device, host: host.json.clone() }
    }

    fn describe_device(&self) -> Value {
        json!({ "adapter": self.context.describe(), "tuning": self.context.tuning() })
    }

    /// On another device a run goes on, but not with the same bits.
    fn warn_of_rounding(&self, header: &Header) {
        let stored = json!({ "version": header.version, "device": header.device });
        let version = env!("CARGO_PKG_VERSION");
        let current = json!({ "version": version, "device": self.describe_device() });
        let found = Difference::between(&stored, &current);
        if !found.is_empty() {
            log::warn!("a checkpoint's steps may round otherwise here: {}", list(&found));
        }
    }

    /// Takes parameters, or a whole checkpoint, from a safetensors file as
    /// [`Model::to_safetensors`] writes it or `safetensors.torch.save_file(module.state_dict(), …)`
    /// does. The next submission sees them; nothing is read back, so it never blocks.
    ///
    /// [`Contents::Checkpoint`] goes on with the run that the file is of, and with no other: see
    /// [`TrainError::OtherRun`]. On another adapter or with another tuning, where steps round
    /// otherwise, a warning is logged. [`Contents::Parameters`] leaves the optimizer's state, the
    /// weighting method's and the number of steps as they are and skips them in a checkpoint; of
    /// the options, only mean and deviation of the inputs must be the file's, if it has any.
    /// PyTorch's `num_batches_tracked` is skipped as well.
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when the file is damaged or of another version, or when a tensor
    /// is missing, has another type or shape, or has no place in the network, by name;
    /// [`TrainError::OtherRun`] when the options differ; [`TrainError::Gpu`] when the device is
    /// known to be lost. Nothing has changed then.
    pub fn load_safetensors(&mut self, bytes: &[u8], contents: Contents) -> Result<(), TrainError> {
        self.context.check("loading parameters")?;
        let file = StoredFile::open(bytes)?;
        let header = match contents {
            Contents::Parameters => file.header.as_ref(),
            Contents::Checkpoint => Some(file.checkpoint()?.0),
        };
        let differences = header.map_or_else(Vec::new, |header| match contents {
            Contents::Parameters => {
                Difference::between(&of_inputs(&header.run), &of_inputs(&self.run))
            }
            Contents::Checkpoint => Difference::between(&header.run, &self.run),
        });
        if !differences.is_empty() {
            return Err(TrainError::OtherRun { path: None, differences });
        }
        let state = self.network.state_dict();
        let training = (contents == Contents::Checkpoint).then_some(&*self);
        refuse_strangers(&file, &state, training)?;
        let mut writes = parameters_of(&file, &state)?;
        let mut counts = (self.steps, self.moment_steps);
        let mut schedule = self.schedule.clone();
        if contents == Contents::Checkpoint {
            let (header, stored) = file.checkpoint()?;
            counts = (stored.steps, stored.moment_steps);
            header.schedule.iter().try_for_each(Schedule::check)?;
            schedule = header.schedule.clone();
            for &(label, name) in self.optimizer_vectors() {
                for (tensor, offset) in learned(&state) {
                    let name = format!("optimizer/{name}/{}", tensor.name);
                    writes.push((
                        label,
                        offset,
                        tensor.to_ours(&file.words(&name, &tensor.shape)?),
                    ));
                }
            }
            for (label, len) in &self.method_state {
                writes.push((label, 0, file.words(label, &[*len])?));
            }
            self.warn_of_rounding(header);
        }
        for (label, offset, words) in writes {
            if let Some(buffer) = self.tensors.get(label) {
                let content = bytemuck::cast_slice(&words);
                self.context.queue.write_buffer(buffer, 4 * offset as u64, content);
            }
        }
        (self.steps, self.moment_steps) = counts;
        self.schedule = schedule;
        self.forget_not_finite();
        Ok(())
    }

    /// Goes on from a checkpoint of the same run: [`Model::load_safetensors`]. What the program put
    /// into it is [`Checkpoint::host`].
    ///
    /// # Errors
    /// As [`Model::load_safetensors`].
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        self.load_safetensors(&checkpoint.bytes, Contents::Checkpoint)
    }

    /// Label on the device and name in files of what the optimizer remembers.
    fn optimizer_vectors(&self) -> &'static [(&'static str, &'static str)] {
        match self.optimizer {
            Optimizer::Sgd { .. } => &[("velocity", "velocity")],
            Optimizer::AdamW { .. } => {
                &[("velocity", "first_moment"), ("second_moment", "second_moment")]
            }
        }
    }
}

/// A tensor that would not be read must not be dropped in silence. What belongs to optimizer and
/// method is read by a model in `training`, and skipped where parameters alone are wanted.
fn refuse_strangers(
    file: &StoredFile<'_>,
    state: &[StateDictTensor],
    training: Option<&Model>,
) -> Result<(), TrainError> {
    let of_optimizer = |name: &str| {
        let kept = |vector: &(&str, &str)| {
            let own = name.strip_prefix(vector.1).and_then(|rest| rest.strip_prefix('/'));
            own.is_some_and(|own| learned(state).any(|(tensor, _)| tensor.name == own))
        };
        training.is_none_or(|model| model.optimizer_vectors().iter().any(kept))
    };
    let of_method = |label: &str| {
        training.is_none_or(|model| model.method_state.iter().any(|(known, _)| known == label))
    };
    let has_place = |name: &str| {
        if StoredFile::is_of_host(name) || name.ends_with(".num_batches_tracked") {
            return true;
        }
        match name.strip_prefix("optimizer/") {
            Some(rest) => of_optimizer(rest),
            None if name.starts_with("weighting/") => of_method(name),
            None => state.iter().any(|tensor| tensor.name == name),
        }
    };
    match file.tensors.names().into_iter().find(|name| !has_place(name)) {
        Some(stranger) => {
            let place = if stranger.starts_with("weighting/") {
                "is of another weighting method"
            } else {
                "has no place in the network and its optimizer"
            };
            Err(fail(format!("tensor '{stranger}' {place}")))
        }
        None => Ok(()),
    }
}

/// Parameters and running statistics of a file, for the network that it is of.
pub(super) fn parameters_for(
    bytes: &[u8],
    network: &Network,
) -> Result<Vec<Write<'static>>, TrainError> {
    let (file, state) = (StoredFile::open(bytes)?, network.state_dict());
    refuse_strangers(&file, &state, None)?;
    parameters_of(&file, &state)
}

/// Parameters and running statistics in the layout of the device.
fn parameters_of<'a>(
    file: &StoredFile<'_>,
    state: &[StateDictTensor],
) -> Result<Vec<Write<'a>>, TrainError> {
    let mut writes = Vec::new();
    for tensor in state {
        let words = file.words(&tensor.name, &tensor.shape)?;
        let label = match tensor.vector {
            Vector::Parameters => "parameters",
            Vector::Running => "running",
        };
        match tensor.offset {
            Some(offset) => writes.push((label, offset, tensor.to_ours(&words))),
            None if words.iter().all(|word| *word == 1f32.to_bits()) => {}
            None => {
                let name = &tensor.name;
                let reason = "is not all ones, and the network has no learned scale there";
                return Err(fail(format!("tensor '{name}' {reason}")));
            }
        }
    }
    Ok(writes)
}

/// The tensors that an optimizer changes, and where they lie.
fn learned(state: &[StateDictTensor]) -> impl Iterator<Item = (&StateDictTensor, usize)> {
    let learned = state.iter().filter(|tensor| tensor.vector == Vector::Parameters);
    learned.filter_map(|tensor| Some((tensor, tensor.offset?)))
}
