//! Classes of examples without labels, from a model that is trained no further.

use super::options::check_normalisation;
use super::scorer::{Scorer, ScoringPlan};
use super::source::read_bytes;
use super::state_dict::parameters_for;
use super::{Evaluation, ExampleSource, Examples, SavedModel, Scores, TrainError, Values};
use crate::gpu::{Context, DeviceTensors};
use crate::nn::Network;
use crate::ops::batch::ValueType;
use crate::plan::{DatasetShape, PlanError};

/// What a model says of examples without labels, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// The class with the largest score, `[n]`; of equal scores the first.
    pub classes: Vec<u32>,
    /// Class scores before the softmax (logits), `[n, classes]`.
    pub scores: Vec<f32>,
}

impl Predictions {
    /// Softmax of the scores of each example, `[n, classes]`; computed in `f64`.
    pub fn probabilities(&self) -> Vec<f32> {
        let classes = self.scores.len() / self.classes.len().max(1);
        let of_example = |scores: &[f32]| {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares: Vec<f64> =
                scores.iter().map(|score| f64::from(score - largest).exp()).collect();
            let sum: f64 = shares.iter().sum();
            shares.into_iter().map(move |share| (share / sum) as f32)
        };
        self.scores.chunks(classes.max(1)).flat_map(of_example).collect()
    }
}

/// The tensors of a model that prediction needs.
const TENSORS: [&str; 3] = ["parameters", "running", "normalisation"];

/// A network on a device for prediction alone: parameters, running statistics and normalisation.
/// There is no optimizer, no gradient and no data set; labels are needed for nothing.
///
/// Examples pass through a buffer of one batch, so there may be any number of them.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (pixels, path) = (vec![0u8; 0], std::path::Path::new("model.safetensors"));
/// use l2rw::gpu::Context;
/// use l2rw::nn::{Shape, zoo};
/// use l2rw::train::{Predictor, SavedModel};
///
/// let saved = SavedModel::read(path)?;
/// // What the program put into the file may say how to build the network.
/// let hidden: Vec<usize> = saved.host().json()?;
/// let network = zoo::mlp(Shape::new(4, 4, 1), &hidden, 4)?;
/// let mut predictor = Predictor::new(&Context::new(None)?, &network, &saved)?;
/// let predictions = predictor.predict(&pixels, 64)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Predictor {
    context: Context,
    network: Network,
    tensors: DeviceTensors,
    prepared: Option<Prepared>,
}

/// The pass for one size of batches and one kind of values, with the buffers of a batch.
#[derive(Debug)]
struct Prepared {
    batch: usize,
    values: ValueType,
    examples: wgpu::Buffer,
    labels: wgpu::Buffer,
    scorer: Scorer,
}

impl Predictor {
    /// Puts a saved model's parameters on the device. `network` must be the one that was saved.
    ///
    /// # Errors
    /// [`TrainError::Safetensors`] when a tensor is missing, has another shape or has no place in
    /// the network, by name; [`TrainError::Option`] when the file does not tell mean and deviation
    /// of the inputs, or not those of so many channels; when the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        context: &Context,
        network: &Network,
        saved: &SavedModel,
    ) -> Result<Self, TrainError> {
        pollster::block_on(Self::new_async(context, network, saved))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub async fn new_async(
        context: &Context,
        network: &Network,
        saved: &SavedModel,
    ) -> Result<Self, TrainError> {
        let (mean, deviation) = saved.normalisation();
        check_normalisation(mean, deviation, network.input().channels)?;
        // What lies between the tensors of a file is as a fresh network has it.
        let running = network.initial_running().into_iter().map(f32::to_bits).collect();
        let mut vectors = [vec![0; network.parameters_len], running];
        for (label, offset, words) in parameters_for(&saved.bytes, network)? {
            let vector = &mut vectors[usize::from(label == "running")];
            vector[offset..][..words.len()].copy_from_slice(&words);
        }
        let [parameters, running] = &vectors;
        let normalisation = [mean, deviation].concat();
        let contents: [&[u8]; 3] = [
            bytemuck::cast_slice(parameters),
            bytemuck::cast_slice(running),
            bytemuck::cast_slice(&normalisation),
        ];
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
        let mut tensors = DeviceTensors::new();
        for (label, content) in TENSORS.into_iter().zip(contents) {
            if !content.is_empty() {
                tensors.insert(label, context.upload(label, content, usage).await?);
            }
        }
        Ok(Self { context: context.clone(), network: network.clone(), tensors, prepared: None })
    }

    /// A predictor on the buffers of a model in training: it sees each step's parameters.
    pub(super) fn on(context: &Context, network: &Network, model: &DeviceTensors) -> Self {
        let mut tensors = DeviceTensors::new();
        for label in TENSORS {
            if let Some(buffer) = model.get(label) {
                tensors.insert(label, buffer.clone());
            }
        }
        Self { context: context.clone(), network: network.clone(), tensors, prepared: None }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Device memory in bytes: parameters, running statistics and normalisation, and from the first
    /// prediction on the buffers of a batch and its activations. A predictor of a model in training
    /// ([`Model::predictor`](super::Model::predictor)) counts what it shares with it.
    pub fn memory_bytes(&self) -> u64 {
        let own = |label| self.tensors.get(label).map_or(0, wgpu::Buffer::size);
        let prepared = self.prepared.as_ref().map_or(0, |prepared| {
            prepared.examples.size() + prepared.labels.size() + prepared.scorer.memory_bytes()
        });
        TENSORS.into_iter().map(own).sum::<u64>() + prepared
    }

    /// Classes and scores of examples, `[n, height, width, channels]` as the network's input, of
    /// features `[n, features]`. They are computed `batch` at a time; scores have the bits of an
    /// [`Evaluation`] with batches of this size. Buffers are kept for the next call.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] when the values are no whole examples or not finite,
    /// [`TrainError::Plan`] when `batch` is 0, and when the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict<'a>(
        &mut self,
        values: impl Into<Values<'a>>,
        batch: usize,
    ) -> Result<Predictions, TrainError> {
        pollster::block_on(self.predict_async(values, batch))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub async fn predict_async<'a>(
        &mut self,
        values: impl Into<Values<'a>>,
        batch: usize,
    ) -> Result<Predictions, TrainError> {
        let values = values.into();
        let shape = self.network.input();
        if !values.len().is_multiple_of(shape.len()) {
            let (found, size) = (values.len(), shape.len());
            let reason = format!("{found} values are no whole examples of {shape}, {size} each");
            return Err(TrainError::Dataset { which: "prediction", reason });
        }
        Examples { values, labels: &[], shape }.check_finite("prediction")?;
        let len = values.len() / shape.len();
        let size = shape.len() * values.value_type().size();
        let context = self.context.clone();
        let prepared = self.prepare(batch, values.value_type()).await?;
        // Labels that are none of the classes: losses are 0.
        context.write(&prepared.labels, bytemuck::cast_slice(&vec![u32::MAX; batch]));
        let (all, examples) = (values.as_bytes(), &prepared.examples);
        let upload = |first: usize| {
            let end = len.min(first + batch);
            context.write(examples, &all[first * size..end * size]);
            Ok(0)
        };
        let scores = prepared.scorer.scores(len, upload).await?;
        Ok(Predictions { classes: scores.predictions, scores: scores.scores })
    }

    /// Scores a labelled set of any size, `batch` examples at a time, which are read while the
    /// device computes: the bits of an [`Evaluation`], without the set on the device.
    ///
    /// # Errors
    /// [`TrainError::Dataset`] when the set does not fit the network, [`TrainError::Source`] for an
    /// example that cannot be read, [`TrainError::Plan`] when `batch` is 0, and when the device is
    /// lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn score(&mut self, set: &dyn ExampleSource, batch: usize) -> Result<Scores, TrainError> {
        pollster::block_on(self.score_async(set, batch))
    }

    /// The same without blocking on the device; reading is the source's.
    ///
    /// # Errors
    /// As [`Predictor::score`].
    pub async fn score_async(
        &mut self,
        set: &dyn ExampleSource,
        batch: usize,
    ) -> Result<Scores, TrainError> {
        let (which, shape, labels) = ("evaluation", self.network.input(), set.labels());
        if set.shape() != shape {
            let (network, dataset) = (shape, set.shape());
            return Err(PlanError::InputShape { network, dataset }.into());
        }
        let values = Values::default();
        Examples { values, labels, shape }.check_labels(which, self.network.classes())?;
        let size = shape.len() * set.value_type().size();
        let context = self.context.clone();
        let prepared = self.prepare(batch, set.value_type()).await?;
        let (examples_in, labels_in) = (&prepared.examples, &prepared.labels);
        let mut words = vec![0_u32; (batch * size).div_ceil(4)];
        let upload = |first: usize| {
            let labels = &labels[first..labels.len().min(first + batch)];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            for (example, out) in (first..).zip(bytes.chunks_exact_mut(size)).take(labels.len()) {
                read_bytes(set, example, out).map_err(|error| TrainError::Source {
                    which,
                    example,
                    reason: error.to_string(),
                })?;
            }
            context.write(examples_in, &bytes[..labels.len() * size]);
            context.write(labels_in, bytemuck::cast_slice(labels));
            Ok(0)
        };
        prepared.scorer.scores(labels.len(), upload).await
    }

    async fn prepare(
        &mut self,
        batch: usize,
        values: ValueType,
    ) -> Result<&mut Prepared, TrainError> {
        let fits = |known: &Prepared| (known.batch, known.values) == (batch, values);
        let prepared = match self.prepared.take().filter(fits) {
            Some(prepared) => prepared,
            None => self.prepared_for(batch, values).await?,
        };
        Ok(self.prepared.insert(prepared))
    }

    async fn prepared_for(&self, batch: usize, values: ValueType) -> Result<Prepared, TrainError> {
        let (context, shape) = (&self.context, self.network.input());
        let set = DatasetShape { len: batch, values, images_per_piece: batch, streamed: false };
        let plan = ScoringPlan::new(context, &self.network, set, shape, batch)?;
        let usage = wgpu::BufferUsages::STORAGE;
        let bytes = (batch * shape.len() * values.size()) as u64;
        let examples = context.allocate("examples", bytes, usage).await?;
        let labels = context.allocate("labels", 4 * batch as u64, usage).await?;
        let mut tensors = self.tensors.clone();
        tensors.insert("evaluation/dataset0", examples.clone());
        tensors.insert("evaluation/dataset_labels", labels.clone());
        let scorer = Scorer::new(context, plan, tensors).await?;
        Ok(Prepared { batch, values, examples, labels, scorer })
    }

    /// Prepares the scoring of a labelled set, as [`Model::evaluation`](super::Model::evaluation)
    /// does.
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
    /// As [`Predictor::evaluation`].
    pub async fn evaluation_async(
        &self,
        set: Examples<'_>,
        batch: usize,
    ) -> Result<Evaluation, TrainError> {
        Evaluation::new(&self.context, &self.network, self.tensors.clone(), set, batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_even_of_large_scores() {
        let scores = vec![0.0, 3f32.ln(), 1000.0, 1000.0];
        let predictions = Predictions { classes: vec![1, 0], scores };
        let found = predictions.probabilities();
        for (found, expected) in found.iter().zip([0.25, 0.75, 0.5, 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
        assert!(Predictions::default().probabilities().is_empty());
    }
}
