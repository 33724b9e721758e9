//! The plan that scores a data set.

use super::externals::{dataset_tensors, running_tensor, step_tensor};
use super::forward::{Pass, Statistics};
use super::{BatchOutputs, DatasetShape, PlanError};
use crate::gpu::{ElementType, Recorder, Recording, Tuning};
use crate::nn::{Network, Shape};
use crate::ops::batch::{self, Gather, Stream};
use crate::ops::softmax_cross_entropy as loss;

/// Plans the scoring of `batch` consecutive examples of a data set, from the step's
/// `train_position` on, as they are: no augmentation, running statistics, no dropout. Past the end
/// of the set the last example repeats.
///
/// External tensors: `step`, `parameters`, `running`, and `evaluation/dataset…` as for training.
///
/// # Errors
/// When the batch is empty or the images have another size than the network's input.
pub fn evaluation(
    network: &Network,
    batch: usize,
    dataset: DatasetShape,
    gather: &Gather,
    tuning: Tuning,
) -> Result<(Recording, BatchOutputs), PlanError> {
    let images = Shape::new(gather.height, gather.width, gather.channels);
    if images != network.input() {
        return Err(PlanError::InputShape { network: network.input(), dataset: images });
    }
    if batch == 0 || dataset.len == 0 {
        return Err(PlanError::Batch { which: "evaluation", batch, available: dataset.len });
    }
    let mut rec = Recorder::new();
    rec.trust(true);
    rec.tune(tuning);
    let step = step_tensor(&mut rec);
    let parameters = rec.external("parameters", ElementType::F32, network.parameters_len);
    let running = running_tensor(&mut rec, network);
    rec.stage("batch");
    rec.label("evaluation");
    let data = dataset_tensors(&mut rec, "evaluation", &dataset, gather, batch);
    let gather = Gather { crop_pad: 0, flip: false, ..*gather };
    let drawn = batch::draw(&mut rec, step, &data, 0..batch, &gather, Stream::Sequential);

    rec.stage("forward");
    let pass = Pass {
        network,
        n: batch,
        whole: None,
        first_slot: 0,
        parameters,
        step,
        statistics: Statistics::Running,
        running,
        stream: 0,
        first_layer: 0,
    };
    let activations = pass.forward(&mut rec, drawn.images);
    rec.label("loss");
    let scores = activations.scores();
    let losses = loss::forward(&mut rec, network.classes(), scores, drawn.labels);
    let outputs = BatchOutputs {
        indices: drawn.indices,
        losses: losses.losses,
        predictions: losses.predictions,
        scores,
    };
    rec.keep(outputs.losses, "evaluation/losses");
    rec.keep(outputs.predictions, "evaluation/predictions");
    rec.keep(outputs.scores, "evaluation/scores");
    Ok((rec.finish()?, outputs))
}
