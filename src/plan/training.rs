//! The plan of one training iteration.

use super::{DatasetFacts, Input, IterationBuilder, Plan, PlanError, Share, TrainingOptions};
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
    training_of(network, options, facts, Share::WHOLE)
}

/// The same for one rank of a data-parallel run, which takes its share of each batch: n and m of
/// `options` are those of the whole batch, the plan's tensors have the share's. Between the ranks'
/// dispatches somebody has to combine what [`Plan::exchange_points`] name. `uniform/train` and
/// `uniform/clean` then hold 1/n and 1/m of the whole batch.
///
/// # Errors
/// As [`training_on`]; when the share of a batch is empty, and when the method needs to see the
/// whole batch ([`Method::divides`](crate::plan::Method::divides)).
pub fn training_of(
    network: &Network,
    options: &TrainingOptions,
    facts: &DatasetFacts<'_>,
    share: Share,
) -> Result<Plan, PlanError> {
    check(network, options, share)?;
    let own = TrainingOptions {
        batch: share.of(options.batch).len(),
        clean_batch: share.of(options.clean_batch).len(),
        ..options.clone()
    };
    let whole = (options.batch, options.clean_batch);
    let mut iteration = IterationBuilder::new(network, &own, facts, (share, whole));
    let weighed = options.weighting.record(&mut iteration)?;
    iteration.finish(weighed)
}

fn check(network: &Network, options: &TrainingOptions, share: Share) -> Result<(), PlanError> {
    if !share.is_whole() && !options.weighting.divides() {
        let method = options.weighting.name().to_owned();
        let reason = "its weights need the whole batch in one place: train it on one rank".into();
        return Err(PlanError::Weighting { method, reason });
    }
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
        share.check(which, batch)?;
        let seen = if share.is_synchronised() { batch } else { share.of(batch).len() };
        check_statistics(network, which, seen)?;
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
