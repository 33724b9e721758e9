//! Batches that the caller hands in from the host's memory.

use super::{BatchBuffers, Examples, Images, TrainError};
use crate::gpu::Context;
use crate::ops::batch::ValueType;

/// Where batches from the host are uploaded to: room for floats, so that bytes fit as well.
#[derive(Debug)]
pub(super) struct HostBatch {
    images: wgpu::Buffer,
    labels: wgpu::Buffer,
}

impl HostBatch {
    pub async fn new(
        context: &Context,
        name: &str,
        n: usize,
        image: usize,
    ) -> Result<Self, TrainError> {
        let usage = wgpu::BufferUsages::STORAGE;
        let images = format!("{name} batch's images");
        let labels = format!("{name} batch's labels");
        Ok(Self {
            images: context.allocate(&images, 4 * (n * image) as u64, usage).await?,
            labels: context.allocate(&labels, 4 * n as u64, usage).await?,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.images.size() + self.labels.size()
    }

    pub fn write(&self, context: &Context, batch: &Examples<'_>) {
        context.write(&self.images, batch.values.as_bytes());
        context.write(&self.labels, bytemuck::cast_slice(batch.labels));
    }

    pub fn batch(&self, values: ValueType) -> BatchBuffers<'_> {
        let images = self.images.slice(..);
        let images = match values {
            ValueType::Bytes => Images::Bytes(images),
            ValueType::Floats => Images::Floats(images),
        };
        BatchBuffers { images, labels: self.labels.slice(..) }
    }
}
