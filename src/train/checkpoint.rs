//! The form of the crate's files: safetensors with a header in their metadata, whole or refused.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::host_state::Numbers;
use super::run_description::Fingerprint;
use super::{HostState, Schedule, TrainError};

/// A checkpoint that was read and found whole. [`Model::resume`](super::Model::resume) goes on from
/// it.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub(super) bytes: Vec<u8>,
    steps: u64,
    host: HostState,
}

impl Checkpoint {
    /// Reads a file that [`Model::save`](super::Model::save) or
    /// [`CheckpointSeries`](super::CheckpointSeries) wrote.
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
        let (header, counts) = file.checkpoint()?;
        let (steps, host) = (counts.steps, file.host_state(header)?);
        Ok(Self { bytes, steps, host })
    }

    /// The file's content, for [`Checkpoint::from_bytes`] elsewhere.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Steps that the model had taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What the program put into it.
    pub fn host(&self) -> &HostState {
        &self.host
    }
}

/// The content of one of the crate's files.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|error| TrainError::Checkpoint {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// What the metadata of a file say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// Of this header and the tensors' names: [`FORMAT`].
    pub format: u32,
    /// Of the crate that wrote the file.
    pub version: String,
    /// What the run was made of. With parameters alone: what their inputs were normalised with.
    pub run: Value,
    /// Of checkpoints; parameters alone have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Of checkpoints: the schedule that has taken the place of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Of checkpoints: what else decides how steps round.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub device: Value,
    /// JSON of the program's own.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub host: Value,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Counts {
    pub steps: u64,
    /// Steps that the optimizer's moments remember.
    pub moment_steps: u64,
}

/// The one entry of the metadata: a map of several would be written in a random order.
const ENTRY: &str = "l2rw";

/// Changes whenever an older version of the crate would misread a file.
pub(super) const FORMAT: u32 = 1;

/// Begins the name of a tensor of the program's own.
const HOST: &str = "host/";

/// Content of the entry.
#[derive(Serialize, Deserialize)]
struct Entry<T> {
    /// Over the header as it is written and all tensors.
    checksum: String,
    header: T,
}

/// A tensor of a file: name, type, shape, content.
pub(super) struct StoredTensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub(super) fn fail(reason: impl Into<String>) -> TrainError {
    TrainError::Safetensors { reason: reason.into() }
}

fn damaged(error: impl std::fmt::Display) -> TrainError {
    fail(format!("it is damaged or was never complete: {error}"))
}

/// The file's content.
pub(super) fn write(
    header: &Header,
    mut tensors: Vec<StoredTensor>,
    host: &HostState,
) -> Result<Vec<u8>, TrainError> {
    for (name, numbers) in &host.vectors {
        let (dtype, len, bytes) = match numbers {
            Numbers::F64(all) => {
                let bytes = all.iter().flat_map(|number| number.to_le_bytes()).collect();
                (Dtype::F64, all.len(), bytes)
            }
            Numbers::U32(all) => (Dtype::U32, all.len(), to_bytes(all)),
        };
        let (name, shape) = (format!("{HOST}{name}"), vec![len]);
        tensors.push(StoredTensor { name, dtype, shape, bytes });
    }
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        Ok((tensor.name.as_str(), view.map_err(|error| fail(error.to_string()))?))
    });
    let views = views.collect::<Result<BTreeMap<&str, TensorView<'_>>, TrainError>>()?;
    let text = serde_json::to_string(header).map_err(|error| fail(error.to_string()))?;
    let checksum = checksum(&text, views.iter().map(|(name, view)| (*name, view)));
    let header = RawValue::from_string(text).map_err(|error| fail(error.to_string()))?;
    let entry = serde_json::to_string(&Entry { checksum, header });
    let entry = entry.map_err(|error| fail(error.to_string()))?;
    let metadata = HashMap::from([(ENTRY.to_owned(), entry)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))
}

/// Of the header's text and of tensors in the order of their names.
fn checksum<'a>(
    header: &str,
    tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>,
) -> String {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(header.as_bytes());
    for (name, view) in tensors {
        fingerprint.add(format!("{name} {:?} {:?}", view.dtype(), view.shape()).as_bytes());
        fingerprint.add(view.data());
    }
    fingerprint.text()
}

/// A file of the crate's, or of PyTorch's: then it has no header.
pub(super) struct StoredFile<'a> {
    pub tensors: SafeTensors<'a>,
    pub header: Option<Header>,
}

impl<'a> StoredFile<'a> {
    /// Parses the file and holds it to its checksum, if it has one.
    pub fn open(bytes: &'a [u8]) -> Result<Self, TrainError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let entry = metadata.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let Some(entry) = entry else { return Ok(Self { tensors, header: None }) };
        let entry: Entry<Box<RawValue>> = serde_json::from_str(entry).map_err(damaged)?;
        let text = entry.header.get();
        let views: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
        let found = checksum(text, views.iter().map(|(name, view)| (name.as_str(), view)));
        if found != entry.checksum {
            let expected = entry.checksum;
            return Err(damaged(format!("its checksum is {found}, it says {expected}")));
        }
        Ok(Self { tensors, header: Some(header_of(text)?) })
    }

    /// The header and the counts, if the file is a whole checkpoint.
    pub fn checkpoint(&self) -> Result<(&Header, Counts), TrainError> {
        let advice = "its parameters alone can be loaded (Contents::Parameters)";
        match &self.header {
            None => Err(fail(format!(
                "it does not say which run it is of: PyTorch wrote it, or a version of the crate \
                 from before checkpoints said so; {advice}"
            ))),
            Some(Header { counts: None, .. }) => {
                Err(fail(format!("it holds parameters and no checkpoint; {advice}")))
            }
            Some(Header { counts: Some(counts), .. })
                if counts.steps.max(counts.moment_steps) > u64::from(u32::MAX) =>
            {
                let steps = counts.steps.max(counts.moment_steps);
                Err(damaged(format!("it says that it took {steps} steps")))
            }
            Some(header @ Header { counts: Some(counts), .. }) => Ok((header, *counts)),
        }
    }

    pub fn host_state(&self, header: &Header) -> Result<HostState, TrainError> {
        let mut vectors = BTreeMap::new();
        for (name, view) in self.tensors.tensors() {
            let Some(own) = name.strip_prefix(HOST) else { continue };
            let numbers = match view.dtype() {
                Dtype::F64 => Numbers::F64(from_bytes(view.data(), f64::from_le_bytes)),
                Dtype::U32 => Numbers::U32(from_bytes(view.data(), u32::from_le_bytes)),
                other => return Err(fail(format!("tensor '{name}' is {other:?}"))),
            };
            vectors.insert(own.to_owned(), numbers);
        }
        Ok(HostState { json: header.host.clone(), vectors })
    }

    /// Whether a tensor belongs to the program.
    pub fn is_of_host(name: &str) -> bool {
        name.starts_with(HOST)
    }

    /// A tensor's words, if it has this shape.
    pub fn words(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, TrainError> {
        let view = self.tensors.tensor(name);
        let view = view.map_err(|error| fail(format!("tensor '{name}': {error}")))?;
        if view.shape() != shape || view.dtype() != Dtype::F32 {
            let found = (view.dtype(), view.shape());
            return Err(fail(format!("tensor '{name}' is {found:?}, expected F32 {shape:?}")));
        }
        Ok(from_bytes(view.data(), u32::from_le_bytes))
    }
}

/// Reads the format first: a later one may have other fields.
fn header_of(text: &str) -> Result<Header, TrainError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        version: String,
    }
    let Version { format, version } = serde_json::from_str(text).map_err(damaged)?;
    if format != FORMAT {
        let own = env!("CARGO_PKG_VERSION");
        return Err(fail(format!(
            "version {version} of the crate wrote it in format {format}, and this version, {own}, \
             reads format {FORMAT}: take that version"
        )));
    }
    serde_json::from_str(text).map_err(damaged)
}

pub(super) fn to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(super) fn from_bytes<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
}
