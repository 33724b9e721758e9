//! External tensors that several plans share.

use super::DatasetShape;
use crate::gpu::{ElementType, Lifetime, Recorder, Tensor, TensorId};
use crate::nn::Network;
use crate::ops::Step;
use crate::ops::batch::{DeviceDataset, Gather};

pub(crate) fn step_tensor(rec: &mut Recorder) -> TensorId {
    rec.tensor(Tensor {
        label: "step".into(),
        len: Step::WORDS,
        element: ElementType::U32,
        lifetime: Lifetime::ExternalUniform,
    })
}

pub(super) fn running_tensor(rec: &mut Recorder, network: &Network) -> Option<TensorId> {
    let len = network.running_len;
    (len > 0).then(|| rec.external("running", ElementType::F32, len))
}

/// External tensors of a data set that batches of so many examples are drawn from:
/// `<name>/dataset0`, … , `<name>/dataset_labels`, and the `normalisation` that all sets share.
pub(super) fn dataset_tensors(
    rec: &mut Recorder,
    name: &str,
    shape: &DatasetShape,
    gather: &Gather,
    batch: usize,
) -> DeviceDataset {
    let image = gather.height * gather.width * gather.channels;
    let pieces = (0..shape.len.div_ceil(shape.images_per_piece.max(1)))
        .map(|piece| {
            let left = shape.len - piece * shape.images_per_piece;
            let images = if shape.streamed { batch } else { left.min(shape.images_per_piece) };
            let bytes = images * image * shape.values.size();
            let words = bytes.div_ceil(4);
            rec.external(format!("{name}/dataset{piece}"), ElementType::U32, words)
        })
        .collect();
    DeviceDataset {
        len: shape.len,
        values: shape.values,
        pieces,
        images_per_piece: shape.images_per_piece,
        streamed: shape.streamed,
        labels: rec.external(format!("{name}/dataset_labels"), ElementType::U32, shape.len),
        normalisation: normalisation_tensor(rec, gather.channels),
    }
}

fn normalisation_tensor(rec: &mut Recorder, channels: usize) -> TensorId {
    rec.find("normalisation")
        .unwrap_or_else(|| rec.external("normalisation", ElementType::F32, 2 * channels))
}
