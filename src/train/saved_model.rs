//! A file with a model's parameters, looked at before its network is built.

use std::path::Path;

use serde_json::Value;

use super::checkpoint::{StoredFile, read_file};
use super::{HostState, TrainError};

/// A safetensors file with parameters that was read and found whole: what
/// [`Model::save_parameters`](super::Model::save_parameters) wrote, a checkpoint, or PyTorch's.
///
/// What the program put into it ([`SavedModel::host`]) is there before a network is: its name, the
/// shape of its input, the names of the classes.
#[derive(Clone, Debug)]
pub struct SavedModel {
    pub(super) bytes: Vec<u8>,
    host: HostState,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl SavedModel {
    /// Reads a file.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it cannot be read, is damaged, or is of another version.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        Self::from_bytes(read_file(path)?).map_err(|error| error.in_file(path))
    }

    /// Checks the content of such a file.
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when it is damaged or of another version.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, TrainError> {
        let file = StoredFile::open(&bytes)?;
        let host = file.header.as_ref().map(|header| file.host_state(header)).transpose()?;
        let host = host.unwrap_or_default();
        let numbers = |name: &str| -> Vec<f32> {
            let run = file.header.as_ref().and_then(|header| header.run.get(name));
            let numbers = run.and_then(Value::as_array).into_iter().flatten();
            numbers.filter_map(|number| Some(number.as_f64()? as f32)).collect()
        };
        let (mean, deviation) = (numbers("mean"), numbers("deviation"));
        Ok(Self { bytes, host, mean, deviation })
    }

    /// What the program put into it; empty where it put nothing, and of PyTorch's files.
    pub fn host(&self) -> &HostState {
        &self.host
    }

    /// Mean and deviation of each channel of the inputs
    /// ([`TrainerOptions::mean`](super::TrainerOptions)); both empty of PyTorch's files, which do
    /// not say.
    pub fn normalisation(&self) -> (&[f32], &[f32]) {
        (&self.mean, &self.deviation)
    }

    /// The same model with another normalisation of its inputs, `[channels]` each: for PyTorch's
    /// files.
    #[must_use]
    pub fn with_normalisation(self, mean: Vec<f32>, deviation: Vec<f32>) -> Self {
        Self { mean, deviation, ..self }
    }
}
