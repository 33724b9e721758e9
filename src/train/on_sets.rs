//! How a trainer on data sets is made.

use std::sync::Arc;

use super::data_sets::{GivenSets, Placement, Placements};
use super::distributed::exchanges_of;
use super::iteration::{Iteration, plan_of};
use super::run_description::describe_data;
use super::trainer::BatchSource;
use super::{Ranks, TrainError, Trainer, TrainerOptions};
use crate::gpu::{Context, DeviceTensors, GpuError};
use crate::nn::{Network, Shape};
use crate::ops::batch::Gather;
use crate::plan::{DatasetFacts, Input, Share};

impl Trainer {
    /// With `ranks` as one of them; several take a share of each batch.
    pub(super) async fn on_sets(
        context: &Context,
        network: &Network,
        mut sets: GivenSets<'_>,
        options: &TrainerOptions,
        ranks: Option<Arc<dyn Ranks>>,
    ) -> Result<Self, TrainError> {
        sets.check(network, options)?;
        sets.check_finite()?;
        let network = &options.frozen_in(network)?;
        if !options.weighting.uses_clean_set() {
            sets.clean = None;
        }
        let placements = sets.placements(options);
        let make = async |placements| {
            Self::with_placements(context, network, &sets, options, placements, ranks.clone()).await
        };
        let made = make(placements).await;
        let streamed = Placements { train: Placement::Streamed, ..placements };
        match made {
            Err(TrainError::Gpu(error @ GpuError::OutOfMemory { .. }))
                if streamed != placements && cfg!(not(target_arch = "wasm32")) =>
            {
                log::info!("the training set does not fit the device: {error}");
                let made = make(streamed).await;
                // What cannot be streamed lacks memory.
                made.map_err(|second| match second {
                    TrainError::Plan(_) => error.into(),
                    other => other,
                })
            }
            made => made,
        }
    }

    async fn with_placements(
        context: &Context,
        network: &Network,
        sets: &GivenSets<'_>,
        options: &TrainerOptions,
        placements: Placements,
        ranks: Option<Arc<dyn Ranks>>,
    ) -> Result<Self, TrainError> {
        let share = match &ranks {
            Some(ranks) => ranks.share()?,
            None => Share::WHOLE,
        };
        let share = share.synchronised(options.synchronised_norm);
        let GivenSets { train, clean } = sets;
        let Shape { height, width, channels } = train.shape();
        let (crop_pad, flip) = (options.crop_pad, options.flip);
        let gather = Gather { height, width, channels, crop_pad, flip };
        let train_shape = train.device_shape(context, placements.train);
        let clean_shape = clean
            .as_ref()
            .map_or(train_shape, |clean| clean.device_shape(context, placements.clean));
        let input = Input::Datasets { train: train_shape, clean: clean_shape, gather };
        let facts = DatasetFacts {
            labels: train.labels(),
            values: train.values(),
            classes: network.classes(),
            seed: options.seed,
        };
        let plan = plan_of(context, network, options, input, &facts, share)?;
        let train_len = plan.pass_len.unwrap_or(train.labels().len());
        let mut tensors = DeviceTensors::new();
        let batch = share.of(options.batch).len();
        train.upload(context, "train", placements.train, batch, &mut tensors).await?;
        if let Some(clean) = clean {
            let (placement, batch) = (placements.clean, share.of(options.clean_batch).len());
            clean.upload(context, "clean", placement, batch, &mut tensors).await?;
        }
        let streams = sets.streams(placements, options, &facts, &tensors, share)?;
        let data = describe_data(train, clean.as_ref(), options);
        let iteration =
            Iteration::from_plan(context, network, options, plan, tensors, data).await?;
        let clean_len = clean.as_ref().map_or(0, |clean| clean.labels().len());
        let source = BatchSource::Sets { train_len, clean_len, placements, streams };
        let exchanges = exchanges_of(&iteration, ranks)?;
        Self::around(iteration, source, exchanges)
    }
}
