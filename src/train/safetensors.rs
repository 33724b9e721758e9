//! Parameters in and out: safetensors files with PyTorch's names and layouts.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};

use super::checkpoint::{Counts, FORMAT, Header, StoredFile, StoredTensor, fail, to_bytes, write};
use super::run_description::{list, of_inputs};
use super::state_dict::{Write, parameters_of};
use super::{Checkpoint, Difference, HostState, LastLayer, Loaded, Model, Schedule, TrainError};
use crate::nn::{StateDictTensor, Vector};
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
    /// [`Model::to_safetensors`] writes it. The next submission sees them; nothing is read back, so
    /// it never blocks.
    ///
    /// [`Contents::Checkpoint`] goes on with the run that the file is of, and with no other: see
    /// [`TrainError::OtherRun`]. On another adapter or with another tuning, where steps round
    /// otherwise, a warning is logged. [`Contents::Parameters`] is [`Model::load_parameters`] with
    /// [`LastLayer::Load`].
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when the file is damaged or of another version, or when a tensor
    /// is missing, has another type or shape, or has no place in the network, by name;
    /// [`TrainError::OtherRun`] when the options differ; [`TrainError::Gpu`] when the device is
    /// known to be lost. Nothing has changed then.
    pub fn load_safetensors(&mut self, bytes: &[u8], contents: Contents) -> Result<(), TrainError> {
        if contents == Contents::Parameters {
            let loaded = self.load_parameters(bytes, LastLayer::Load)?;
            log::debug!("{loaded}");
            return Ok(());
        }
        self.context.check("loading a checkpoint")?;
        let file = StoredFile::open(bytes)?;
        let (header, counts) = file.checkpoint()?;
        refuse_differences(Difference::between(&header.run, &self.run))?;
        let state = self.network.state_dict();
        self.refuse_strangers(&file, &state)?;
        header.schedule.iter().try_for_each(Schedule::check)?;
        let (mut writes, _) = parameters_of(&file, &self.network, LastLayer::Load)?;
        for &(label, name) in self.optimizer_vectors() {
            for (tensor, offset) in learned(&state) {
                let name = format!("optimizer/{name}/{}", tensor.name);
                writes.push((label, offset, tensor.to_ours(&file.words(&name, &tensor.shape)?)));
            }
        }
        for (label, len) in &self.method_state {
            writes.push((label, 0, file.words(label, &[*len])?));
        }
        self.warn_of_rounding(header);
        self.write_vectors(&writes);
        (self.steps, self.moment_steps) = (counts.steps, counts.moment_steps);
        self.schedule = header.schedule.clone();
        self.forget_not_finite();
        Ok(())
    }

    /// Takes parameters and running statistics from a safetensors file: one that
    /// [`Model::to_safetensors`] wrote, a checkpoint included, or one that
    /// `safetensors.torch.save_file(module.state_dict(), …)` did. The next submission sees them;
    /// nothing is read back, so it never blocks.
    ///
    /// The optimizer's state, the weighting method's and the number of steps stay as they are. Mean
    /// and deviation of the inputs must be the file's, if it names any. Numbers of 16 and 64 bits
    /// are converted to f32. The `module.` that PyTorch's `DataParallel` puts in front of every
    /// name is taken off, and BatchNorm's `num_batches_tracked` is skipped. `last` says what
    /// becomes of a last layer that the file has for other classes.
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when the file is damaged or of another version, or with the
    /// names of all tensors that are missing, have no place in the network, or have another type
    /// or shape, the first ten of each; [`TrainError::OtherRun`] when the inputs were normalised
    /// otherwise; [`TrainError::Gpu`] when the device is known to be lost. Nothing has changed
    /// then.
    pub fn load_parameters(&mut self, bytes: &[u8], last: LastLayer) -> Result<Loaded, TrainError> {
        self.context.check("loading parameters")?;
        let file = StoredFile::open(bytes)?;
        if let Some(header) = &file.header {
            let (stored, current) = (of_inputs(&header.run), of_inputs(&self.run));
            refuse_differences(Difference::between(&stored, &current))?;
        }
        let (writes, loaded) = parameters_of(&file, &self.network, last)?;
        self.write_vectors(&writes);
        self.forget_not_finite();
        Ok(loaded)
    }

    fn write_vectors(&self, writes: &[Write<'_>]) {
        for (label, offset, words) in writes {
            if let Some(buffer) = self.tensors.get(label) {
                let content = bytemuck::cast_slice(words);
                self.context.queue.write_buffer(buffer, 4 * *offset as u64, content);
            }
        }
    }

    /// Goes on from a checkpoint of the same run: [`Model::load_safetensors`]. What the program put
    /// into it is [`Checkpoint::host`].
    ///
    /// # Errors
    /// As [`Model::load_safetensors`].
    pub fn resume(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        self.load_safetensors(&checkpoint.bytes, Contents::Checkpoint)
    }

    /// What a checkpoint has beside the network and this model would not read must not be dropped
    /// in silence.
    fn refuse_strangers(
        &self,
        file: &StoredFile<'_>,
        state: &[StateDictTensor],
    ) -> Result<(), TrainError> {
        let of_optimizer = |name: &str| {
            let kept = |vector: &(&str, &str)| {
                let own = name.strip_prefix(vector.1).and_then(|rest| rest.strip_prefix('/'));
                own.is_some_and(|own| learned(state).any(|(tensor, _)| tensor.name == own))
            };
            self.optimizer_vectors().iter().any(kept)
        };
        let of_method = |label: &str| self.method_state.iter().any(|(known, _)| known == label);
        for name in file.tensors.names() {
            if name.strip_prefix("optimizer/").is_some_and(|rest| !of_optimizer(rest)) {
                return Err(fail(format!("tensor '{name}' has no place in the optimizer")));
            }
            if name.starts_with("weighting/") && !of_method(name) {
                return Err(fail(format!("tensor '{name}' is of another weighting method")));
            }
        }
        Ok(())
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

fn refuse_differences(differences: Vec<Difference>) -> Result<(), TrainError> {
    match differences.is_empty() {
        true => Ok(()),
        false => Err(TrainError::OtherRun { path: None, differences }),
    }
}

/// The tensors that an optimizer changes, and where they lie.
fn learned(state: &[StateDictTensor]) -> impl Iterator<Item = (&StateDictTensor, usize)> {
    let learned = state.iter().filter(|tensor| tensor.vector == Vector::Parameters);
    learned.filter_map(|tensor| Some((tensor, tensor.offset?)))
}
