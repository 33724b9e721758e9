//! Examples of the caller's on their way to the device.

use super::TrainError;
use crate::gpu::{Context, DeviceTensors};
use crate::nn::{Network, Shape};
use crate::plan::{DatasetShape, Values};

/// Examples with labels, borrowed from the caller: images, or features as images of one pixel.
///
/// Networks see each value less the mean of its channel, divided by the channel's deviation
/// ([`TrainerOptions::mean`](super::TrainerOptions), `deviation`); bytes are divided by 255 before,
/// floats are taken as they are. So features have one mean and one deviation for each column.
/// [`TrainerOptions::standardised_by`](super::TrainerOptions::standardised_by) finds them.
///
/// ```
/// # use l2rw::{nn::Shape, train::Examples};
/// let (values, labels) = (vec![0.5_f32, -3.0, 20.0, 0.25, 1.0, 40.0], vec![0, 1]);
/// let features = Examples::new(&values, &labels, Shape::new(1, 1, 3));
/// assert_eq!(features.len(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// `[n, height, width, channels]`
    pub values: Values<'a>,
    /// `[n]`
    pub labels: &'a [u32],
    /// Size of an example; 1×1×features where it has no rows and columns.
    pub shape: Shape,
}

#[cfg(feature = "data")]
impl<'a> From<&'a crate::data::Dataset> for Examples<'a> {
    fn from(set: &'a crate::data::Dataset) -> Self {
        let shape = Shape::new(set.height, set.width, set.channels);
        let values = match &set.values {
            crate::data::Values::Bytes(bytes) => Values::Bytes(bytes),
            crate::data::Values::Floats(floats) => Values::Floats(floats),
        };
        Self { values, labels: &set.labels, shape }
    }
}

impl<'a> Examples<'a> {
    /// The label of an example of a batch that does not count, for
    /// [`Trainer::step_on`](super::Trainer::step_on): it fills up a batch that has too few, or
    /// stands where nobody knows the class.
    pub const IGNORED: u32 = u32::MAX;

    /// Examples of `shape` with their values `[n, height, width, channels]` and labels `[n]`.
    pub fn new(values: impl Into<Values<'a>>, labels: &'a [u32], shape: Shape) -> Self {
        Self { values: values.into(), labels, shape }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn check(&self, which: &'static str, classes: usize) -> Result<(), TrainError> {
        self.check_values(which)?;
        self.check_labels(which, classes)
    }

    pub(super) fn check_values(&self, which: &'static str) -> Result<(), TrainError> {
        let expected = self.len() * self.shape.len();
        if self.values.len() != expected {
            let reason = format!(
                "{} labels and examples of {} need {expected} values, found {}",
                self.len(),
                self.shape,
                self.values.len()
            );
            return Err(TrainError::Dataset { which, reason });
        }
        Ok(())
    }

    pub(super) fn check_labels(
        &self,
        which: &'static str,
        classes: usize,
    ) -> Result<(), TrainError> {
        if self.is_empty() {
            let reason = "it has no examples".into();
            return Err(TrainError::Dataset { which, reason });
        }
        self.refuse_label(which, classes, |label| label as usize >= classes)
    }

    fn refuse_label(
        &self,
        which: &'static str,
        classes: usize,
        refused: impl Fn(u32) -> bool,
    ) -> Result<(), TrainError> {
        match self.labels.iter().enumerate().find(|(_, label)| refused(**label)) {
            Some((index, label)) => {
                let reason = format!("label {label} of example {index} is not below {classes}");
                Err(TrainError::Dataset { which, reason })
            }
            None => Ok(()),
        }
    }

    /// Refuses what is no batch of `expected` examples for the network.
    pub(super) fn check_batch(
        &self,
        which: &'static str,
        expected: usize,
        network: &Network,
    ) -> Result<(), TrainError> {
        self.check_values(which)?;
        if self.len() != expected || self.shape != network.input() {
            let (n, shape, input) = (self.len(), self.shape, network.input());
            let reason = format!("{n} examples of {shape}, expected {expected} of {input}");
            return Err(TrainError::Dataset { which, reason });
        }
        let classes = network.classes();
        let refused = |label| label as usize >= classes && label != Self::IGNORED;
        self.refuse_label(which, classes, refused)
    }

    /// Refuses values that are not finite: a data set is drawn from again and again.
    pub(super) fn check_finite(&self, which: &'static str) -> Result<(), TrainError> {
        let Values::Floats(floats) = self.values else { return Ok(()) };
        match floats.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let (example, place) = (at / self.shape.len(), at % self.shape.len());
                let value = floats[at];
                let reason = format!("value {place} of example {example} is {value}, not finite");
                Err(TrainError::Dataset { which, reason })
            }
            None => Ok(()),
        }
    }

    /// How the set is cut into pieces that fit one binding each.
    pub(super) fn device_shape(&self, context: &Context) -> DatasetShape {
        let limits = context.device.limits();
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        // Divided as 64-bit numbers: 4 GiB are none in 32 bits, which browsers count in.
        let values = self.values.value_type();
        let images = bytes / (self.shape.len() * values.size()).max(1) as u64;
        let images_per_piece = usize::try_from(images).unwrap_or(usize::MAX).max(1);
        DatasetShape {
            len: self.len(),
            values,
            images_per_piece: images_per_piece.min(self.len()),
            streamed: false,
        }
    }

    /// Uploads values and labels under the names that plans expect.
    pub(super) async fn upload(
        &self,
        context: &Context,
        name: &str,
        tensors: &mut DeviceTensors,
    ) -> Result<(), TrainError> {
        let image = self.shape.len() * self.values.value_type().size();
        let bytes_per_piece = self.device_shape(context).images_per_piece * image;
        for (piece, content) in self.values.as_bytes().chunks(bytes_per_piece).enumerate() {
            let label = format!("{name}/dataset{piece}");
            let buffer = context.upload(&label, content, wgpu::BufferUsages::STORAGE).await?;
            tensors.insert(label, buffer);
        }
        let label = format!("{name}/dataset_labels");
        let content = bytemuck::cast_slice(self.labels);
        let buffer = context.upload(&label, content, wgpu::BufferUsages::STORAGE).await?;
        tensors.insert(label, buffer);
        Ok(())
    }
}
