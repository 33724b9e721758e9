//! The plan of one training iteration.

use super::{DatasetFacts, Input, IterationBuilder, Plan, PlanError, TrainingOptions};
use crate::nn::{Layer, LayerKind, Network, Shape};
use crate::ops::NormKind;

/// Plans one training iteration: draw batches, find the weights, take a step.
///
/// The caller supplies the external tensors of the recording, all zero-initialised where not said
/// otherwise: `step` ([`Step`](crate::ops::Step), a uniform buffer), `parameters`, `velocity`,
/// `decay_mask`, with AdamW `second_moment`, `gradient`, `clean_gradient` (flat vectors of the
/// network), `running` (running statistics), `uniform/train` and `uniform/clean` (1/n and 1/m,
/// `[n]` and `[m]`), the method's own ([`Plan::state`]), and the batches or data sets: see
/// [`Input`].
///
/// # Errors
/// When a batch size or image size does not fit, BatchNorm would see one value a channel, or the
/// method needs [`DatasetFacts`].
pub fn training(network: &Network, options: &TrainingOptions) -> Result<Plan, PlanError> {
    training_on(network, options, &DatasetFacts::default())
}

/// The same for methods that look at the training set beforehand, e.g. count its classes.
///
/// # Errors
/// As [`training`], and when facts and data sets do not fit together.
pub fn training_on(
    network: &Network,
    options: &TrainingOptions,
    facts: &DatasetFacts<'_>,
) -> Result<Plan, PlanError> {
    check(network, options)?;
    let mut iteration = IterationBuilder::new(network, options, facts);
    let weighed = options.weighting.record(&mut iteration)?;
    iteration.finish(weighed)
}

fn check(network: &Network, options: &TrainingOptions) -> Result<(), PlanError> {
    let batches = match &options.input {
        Input::Buffers => vec![
            ("training", options.batch, u32::MAX as usize),
            ("clean", options.clean_batch, u32::MAX as usize),
        ],
        Input::Datasets { train, clean, gather } => {
            let dataset = Shape::new(gather.height, gather.width, gather.channels);
            if dataset != network.input() {
                return Err(PlanError::InputShape { network: network.input(), dataset });
            }
            vec![("training", options.batch, train.len), ("clean", options.clean_batch, clean.len)]
        }
    };
    let used = if options.weighting.uses_clean_set() { 2 } else { 1 };
    for (which, batch, available) in batches.into_iter().take(used) {
        if batch == 0 || batch > available {
            return Err(PlanError::Batch { which, batch, available });
        }
        check_statistics(network, which, batch)?;
    }
    Ok(())
}

/// Refuses BatchNorm over a single value, of which it would make 0 whatever the example is.
fn check_statistics(network: &Network, which: &str, batch: usize) -> Result<(), PlanError> {
    let is_single = |layer: &&Layer| {
        matches!(&layer.kind, LayerKind::Norm { options, .. } if options.kind == NormKind::Batch)
            && batch * layer.shape.height * layer.shape.width == 1
    };
    network.layers.iter().find(is_single).map_or(Ok(()), |layer| {
        let reason = format!(
            "in a {which} batch of 1 BatchNorm sees one value a channel, and its output is always \
             0: take more examples, or GroupNorm"
        );
        Err(PlanError::Network { layer: layer.name.clone(), reason })
    })
}
