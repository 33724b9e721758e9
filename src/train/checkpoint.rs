//! Checkpoints: one safetensors file with parameters, momentum, running statistics and step.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{TrainError, Trainer};
use crate::gpu::read_back;

impl Trainer {
    /// Writes a checkpoint; a file of that name is replaced only once the new one is complete.
    ///
    /// Tensors are named after the parameters, in the crate's layouts (`[kernel_h, kernel_w, in,
    /// out]`, `[in, out]`), their momentum `velocity/<name>`, BatchNorm's running statistics
    /// `<layer>.running_mean` and `<layer>.running_variance`, the weighting method's state
    /// `weighting/<name>`.
    ///
    /// # Errors
    /// When the device is lost or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let fail = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (prefix, vector) in [("", "parameters"), ("velocity/", "velocity")] {
            let words = self.read_vector(vector)?;
            for parameter in &self.network().parameters {
                let range = &words[parameter.offset..][..parameter.len];
                let name = format!("{prefix}{}", parameter.name);
                tensors.push((name, parameter.shape.clone(), to_bytes(range)));
            }
        }
        let words = self.read_vector("running")?;
        for running in &self.network().running {
            for (kind, first) in [("mean", 0), ("variance", running.channels)] {
                let range = &words[running.offset + first..][..running.channels];
                let name = format!("{}.running_{kind}", running.name);
                tensors.push((name, vec![running.channels], to_bytes(range)));
            }
        }
        for state in self.plan().state.iter().filter(|state| state.saved) {
            let name = format!("weighting/{}", state.name);
            let words = self.read_vector(&name)?;
            tensors.push((name, vec![words.len()], to_bytes(&words)));
        }
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
                view.map(|view| (name.clone(), view)).map_err(|e| fail(e.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let metadata = HashMap::from([
            ("network".to_owned(), self.network().name.clone()),
            ("steps".to_owned(), self.steps().to_string()),
        ]);
        let bytes =
            safetensors::serialize(views, Some(metadata)).map_err(|e| fail(e.to_string()))?;
        let part = path.with_extension("part");
        std::fs::write(&part, bytes).map_err(|e| fail(e.to_string()))?;
        std::fs::rename(&part, path).map_err(|e| fail(e.to_string()))
    }

    /// Goes on from a checkpoint of the same network: parameters, momentum, running statistics and
    /// step, so that the run continues as if it had never stopped.
    ///
    /// # Errors
    /// When the file cannot be read, or a tensor is missing or has another shape; nothing has
    /// changed then.
    pub fn load(&mut self, path: &Path) -> Result<(), TrainError> {
        let fail = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| fail(e.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| fail(e.to_string()))?;
        let steps = header.metadata().as_ref().and_then(|m| m.get("steps")?.parse().ok());
        let steps: u64 =
            steps.ok_or_else(|| fail("it does not say how many steps it took".into()))?;
        let tensor = |name: &str, shape: &[usize]| -> Result<Vec<u8>, TrainError> {
            let view = file.tensor(name).map_err(|e| fail(format!("tensor '{name}': {e}")))?;
            if view.shape() != shape || view.dtype() != Dtype::F32 {
                let found = (view.dtype(), view.shape());
                return Err(fail(format!("tensor '{name}' is {found:?}, expected F32 {shape:?}")));
            }
            Ok(view.data().to_vec())
        };
        let mut writes: Vec<(String, usize, Vec<u8>)> = Vec::new();
        for (prefix, vector) in [("", "parameters"), ("velocity/", "velocity")] {
            for p in &self.network().parameters {
                let content = tensor(&format!("{prefix}{}", p.name), &p.shape)?;
                writes.push((vector.to_owned(), p.offset, content));
            }
        }
        for r in &self.network().running {
            for (kind, first) in [("mean", 0), ("variance", r.channels)] {
                let content = tensor(&format!("{}.running_{kind}", r.name), &[r.channels])?;
                writes.push(("running".to_owned(), r.offset + first, content));
            }
        }
        for state in self.plan().state.iter().filter(|state| state.saved) {
            let name = format!("weighting/{}", state.name);
            let content = tensor(&name, &[state.initial.len()])?;
            writes.push((name, 0, content));
        }
        for (vector, offset, content) in writes {
            if let Some(buffer) = self.vector(&vector) {
                self.context().queue.write_buffer(buffer, 4 * offset as u64, &content);
            }
        }
        self.set_steps(steps);
        Ok(())
    }

    pub(crate) fn read_vector(&self, name: &str) -> Result<Vec<u32>, TrainError> {
        match self.vector(name) {
            Some(buffer) => Ok(read_back(self.context(), buffer, buffer.size())?),
            None => Ok(Vec::new()),
        }
    }
}

fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
