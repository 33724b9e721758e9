//! Parameters in and out: safetensors files with PyTorch's names and layouts.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Model, TrainError};
use crate::nn::{StateDictTensor, Vector};
use crate::ops::Optimizer;

/// What a safetensors file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Parameters and running statistics: what PyTorch calls a state dict.
    Parameters,
    /// The same, the optimizer's and the weighting method's state and the number of steps: enough
    /// to go on as if training had never stopped.
    Checkpoint,
}

/// A file's tensor: name, shape, content.
type Stored = (String, Vec<usize>, Vec<u8>);

fn fail(reason: impl Into<String>) -> TrainError {
    TrainError::Safetensors { reason: reason.into() }
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
    /// layouts, with AdamW `optimizer/step` (the number of steps that its moments remember, a
    /// scalar), the weighting method's `weighting/<name>` `[len]`, and the metadata `steps`.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn to_safetensors_async(&self, contents: Contents) -> Result<Vec<u8>, TrainError> {
        let parameters = self.read_vector("parameters").await?;
        let running = self.read_vector("running").await?;
        let state = self.network.state_dict();
        let mut stored: Vec<Stored> = Vec::new();
        for tensor in &state {
            let flat = if tensor.vector == Vector::Running { &running } else { &parameters };
            let words = to_bytes(&tensor.to_pytorch(flat));
            stored.push((tensor.name.clone(), tensor.shape.clone(), words));
        }
        // One entry at most: a map of several would be written in a random order.
        let mut metadata = HashMap::new();
        if contents == Contents::Checkpoint {
            metadata.insert("steps".to_owned(), self.steps.to_string());
            for &(label, name) in self.optimizer_vectors() {
                let words = self.read_vector(label).await?;
                for (tensor, _) in learned(&state) {
                    let name = format!("optimizer/{name}/{}", tensor.name);
                    let words = to_bytes(&tensor.to_pytorch(&words));
                    stored.push((name, tensor.shape.clone(), words));
                }
            }
            if self.counts_moments() {
                let count = (self.moment_steps as f32).to_bits();
                stored.push((MOMENT_STEPS.to_owned(), Vec::new(), to_bytes(&[count])));
            }
            for (label, len) in &self.method_state {
                let words = self.read_vector(label).await?;
                stored.push((label.clone(), vec![*len], to_bytes(&words)));
            }
        }
        let views = stored.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            view.map(|view| (name.as_str(), view)).map_err(|e| fail(e.to_string()))
        });
        let views = views.collect::<Result<Vec<_>, _>>()?;
        safetensors::serialize(views, Some(metadata)).map_err(|e| fail(e.to_string()))
    }

    /// Takes parameters, or a whole checkpoint, from a safetensors file as
    /// [`Model::to_safetensors`] writes it or `safetensors.torch.save_file(module.state_dict(), …)`
    /// does. The next submission sees them; nothing is read back, so it never blocks.
    ///
    /// [`Contents::Parameters`] leaves the optimizer's state, the weighting method's and the number
    /// of steps as they are and skips them in a checkpoint. PyTorch's `num_batches_tracked` is
    /// skipped as well.
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when a tensor is missing, has another type or shape, or has no
    /// place in the network, by name; nothing has changed then.
    pub fn load_safetensors(&mut self, bytes: &[u8], contents: Contents) -> Result<(), TrainError> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| fail(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| fail(e.to_string()))?;
        let state = self.network.state_dict();
        if let Some(stranger) = file.names().into_iter().find(|name| {
            let ignored =
                ["optimizer/", "weighting/"].iter().any(|prefix| name.starts_with(prefix))
                    || name.ends_with(".num_batches_tracked");
            !ignored && state.iter().all(|tensor| tensor.name != **name)
        }) {
            return Err(fail(format!("tensor '{stranger}' has no place in the network")));
        }
        let mut writes: Vec<(&str, usize, Vec<u32>)> = Vec::new();
        for tensor in &state {
            let words = read(&file, &tensor.name, &tensor.shape)?;
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
        let (mut steps, mut moment_steps) = (self.steps, self.moment_steps);
        if contents == Contents::Checkpoint {
            let stored = header.metadata().as_ref().and_then(|m| m.get("steps")?.parse().ok());
            steps = stored.ok_or_else(|| fail("it does not say how many steps it took"))?;
            for &(label, name) in self.optimizer_vectors() {
                for (tensor, offset) in learned(&state) {
                    let name = format!("optimizer/{name}/{}", tensor.name);
                    let words = read(&file, &name, &tensor.shape)?;
                    writes.push((label, offset, tensor.to_ours(&words)));
                }
            }
            moment_steps = steps;
            if self.counts_moments() {
                let count = read(&file, MOMENT_STEPS, &[])?;
                moment_steps = count.first().map_or(steps, |bits| f32::from_bits(*bits) as u64);
            }
            for (label, len) in &self.method_state {
                writes.push((label, 0, read(&file, label, &[*len])?));
            }
        }
        for (label, offset, words) in writes {
            if let Some(buffer) = self.tensors.get(label) {
                let content = bytemuck::cast_slice(&words);
                self.context.queue.write_buffer(buffer, 4 * offset as u64, content);
            }
        }
        (self.steps, self.moment_steps) = (steps, moment_steps);
        self.forget_not_finite();
        Ok(())
    }

    /// Whether the optimizer corrects its moments by the number of steps behind them.
    fn counts_moments(&self) -> bool {
        matches!(self.optimizer, Optimizer::AdamW { .. })
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

/// Name in files of the number of steps that the optimizer's moments remember, as in PyTorch.
const MOMENT_STEPS: &str = "optimizer/step";

/// The tensors that an optimizer changes, and where they lie.
fn learned(state: &[StateDictTensor]) -> impl Iterator<Item = (&StateDictTensor, usize)> {
    let learned = state.iter().filter(|tensor| tensor.vector == Vector::Parameters);
    learned.filter_map(|tensor| Some((tensor, tensor.offset?)))
}

fn read(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<u32>, TrainError> {
    let view = file.tensor(name).map_err(|e| fail(format!("tensor '{name}': {e}")))?;
    if view.shape() != shape || view.dtype() != Dtype::F32 {
        let found = (view.dtype(), view.shape());
        return Err(fail(format!("tensor '{name}' is {found:?}, expected F32 {shape:?}")));
    }
    let words = view.data().chunks_exact(4);
    Ok(words.map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect())
}

fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
