//! A data set of the caller's on its way to the device.

use super::TrainError;
use crate::gpu::{Context, DeviceTensors};
use crate::nn::Shape;
use crate::plan::DatasetShape;

/// Images with labels, borrowed from the caller.
#[derive(Clone, Copy, Debug)]
pub struct ImageSet<'a> {
    /// `[n, height, width, channels]`, 8 bits each.
    pub images: &'a [u8],
    /// `[n]`
    pub labels: &'a [u32],
    /// Size of an image.
    pub shape: Shape,
}

#[cfg(feature = "data")]
impl<'a> From<&'a crate::data::Dataset> for ImageSet<'a> {
    fn from(set: &'a crate::data::Dataset) -> Self {
        let shape = Shape::new(set.height, set.width, set.channels);
        Self { images: &set.images, labels: &set.labels, shape }
    }
}

impl ImageSet<'_> {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn check(&self, which: &'static str, classes: usize) -> Result<(), TrainError> {
        let fail = |reason| Err(TrainError::Dataset { which, reason });
        if self.is_empty() {
            return fail("it has no examples".into());
        }
        let expected = self.len() * self.shape.len();
        if self.images.len() != expected {
            return fail(format!(
                "{} labels and images of {} need {expected} bytes, found {}",
                self.len(),
                self.shape,
                self.images.len()
            ));
        }
        match self.labels.iter().enumerate().find(|(_, label)| **label as usize >= classes) {
            Some((index, label)) => {
                fail(format!("label {label} of example {index} is not below {classes}"))
            }
            None => Ok(()),
        }
    }

    /// How the set is cut into pieces that fit one binding each.
    pub(super) fn device_shape(&self, context: &Context) -> DatasetShape {
        let limits = context.device.limits();
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        // Divided as 64-bit numbers: 4 GiB are none in 32 bits, which browsers count in.
        let images = bytes / self.shape.len().max(1) as u64;
        let images_per_piece = usize::try_from(images).unwrap_or(usize::MAX).max(1);
        DatasetShape { len: self.len(), images_per_piece: images_per_piece.min(self.len()) }
    }

    /// Uploads images and labels under the names that plans expect.
    pub(super) async fn upload(
        &self,
        context: &Context,
        name: &str,
        tensors: &mut DeviceTensors,
    ) -> Result<(), TrainError> {
        let bytes_per_piece = self.device_shape(context).images_per_piece * self.shape.len();
        for (piece, content) in self.images.chunks(bytes_per_piece).enumerate() {
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
