//! Where a trainer's data sets lie: on the device, or on the host, from where batches stream.

use std::sync::Arc;

use super::source::{ExampleSource, Kept};
use super::stream::{BatchOrder, BatchStream};
use super::{Examples, TrainError, TrainerOptions};
use crate::gpu::{Context, DeviceTensors};
use crate::nn::{Network, Shape};
use crate::ops::batch::{Stream, ValueType};
use crate::plan::{DatasetFacts, DatasetShape, Sampling, Share, Values};

/// Where the values of a data set lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the device, all of them.
    Device,
    /// On the host or beyond: threads read the batches of the next steps, and each step uploads
    /// its own. Labels lie on the device. The bits of the run are the same.
    Streamed,
}

/// A data set as the caller gives it.
#[derive(Clone)]
pub(super) enum GivenSet<'a> {
    Memory(Examples<'a>),
    Source(Arc<dyn ExampleSource>),
}

impl GivenSet<'_> {
    pub fn shape(&self) -> Shape {
        match self {
            Self::Memory(examples) => examples.shape,
            Self::Source(source) => source.shape(),
        }
    }

    pub fn labels(&self) -> &[u32] {
        match self {
            Self::Memory(examples) => examples.labels,
            Self::Source(source) => source.labels(),
        }
    }

    /// Empty where they are not in memory.
    pub fn values(&self) -> Values<'_> {
        match self {
            Self::Memory(examples) => examples.values,
            Self::Source(_) => Values::default(),
        }
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Memory(examples) => examples.values.value_type(),
            Self::Source(source) => source.value_type(),
        }
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> u64 {
        (self.shape().len() * self.value_type().size()) as u64 * self.labels().len() as u64
    }

    pub fn fingerprint(&self) -> String {
        match self {
            Self::Memory(examples) => examples.fingerprint(),
            Self::Source(source) => source.fingerprint(),
        }
    }

    fn check(&self, which: &'static str, classes: usize) -> Result<(), TrainError> {
        match self {
            Self::Memory(examples) => examples.check(which, classes),
            Self::Source(source) => {
                let (labels, shape) = (source.labels(), source.shape());
                Examples { values: Values::default(), labels, shape }.check_labels(which, classes)
            }
        }
    }

    pub fn device_shape(&self, context: &Context, placement: Placement) -> DatasetShape {
        let (len, values) = (self.labels().len(), self.value_type());
        match (self, placement) {
            (Self::Memory(examples), Placement::Device) => examples.device_shape(context),
            _ => DatasetShape { len, values, images_per_piece: len, streamed: true },
        }
    }

    /// Uploads what lies on the device under the names that plans expect. Of a streamed set these
    /// are the labels, and room for a batch.
    pub async fn upload(
        &self,
        context: &Context,
        name: &str,
        placement: Placement,
        batch: usize,
        tensors: &mut DeviceTensors,
    ) -> Result<(), TrainError> {
        if let (Self::Memory(examples), Placement::Device) = (self, placement) {
            return examples.upload(context, name, tensors).await;
        }
        let usage = wgpu::BufferUsages::STORAGE;
        let (label, labels) = (format!("{name}/dataset_labels"), self.labels());
        let labels = context.upload(&label, bytemuck::cast_slice(labels), usage).await?;
        tensors.insert(label, labels);
        let label = format!("{name}/dataset0");
        let bytes = (batch * self.shape().len() * self.value_type().size()) as u64;
        tensors.insert(label.clone(), context.allocate(&label, bytes, usage).await?);
        Ok(())
    }

    fn source(&self) -> Arc<dyn ExampleSource> {
        match self {
            Self::Memory(examples) => Arc::new(Kept::new(examples)),
            Self::Source(source) => source.clone(),
        }
    }
}

/// The training set and, where the method looks at one, the clean set.
pub(super) struct GivenSets<'a> {
    pub train: GivenSet<'a>,
    pub clean: Option<GivenSet<'a>>,
}

/// The error of a method that learns weights from clean examples and is given none.
pub(super) fn no_clean_set() -> TrainError {
    let reason = "weights are learned from it, and there is none".into();
    TrainError::Dataset { which: "clean", reason }
}

/// Where each of a trainer's sets lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placements {
    /// The training set.
    pub train: Placement,
    /// The clean set; [`Placement::Device`] where there is none.
    pub clean: Placement,
}

impl GivenSets<'_> {
    /// Refuses sets that do not fit together, the network or the options.
    pub fn check(&self, network: &Network, options: &TrainerOptions) -> Result<(), TrainError> {
        self.train.check("training", network.classes())?;
        let shape = self.train.shape();
        match &self.clean {
            Some(clean) => {
                clean.check("clean", network.classes())?;
                if clean.shape() != shape {
                    let reason = format!("its examples are {}, training's {shape}", clean.shape());
                    return Err(TrainError::Dataset { which: "clean", reason });
                }
            }
            None if !options.weighting.uses_clean_set() => {}
            None => return Err(no_clean_set()),
        }
        options.check(shape.channels)
    }

    /// Refuses numbers in memory that are not finite.
    pub fn check_finite(&self) -> Result<(), TrainError> {
        for (which, set) in [("training", Some(&self.train)), ("clean", self.clean.as_ref())] {
            if let Some(GivenSet::Memory(examples)) = set {
                examples.check_finite(which)?;
            }
        }
        Ok(())
    }

    /// On the device as far as the limit allows; the clean set first, which is the smaller one.
    pub fn placements(&self, options: &TrainerOptions) -> Placements {
        let mut left = options.device_data_limit.unwrap_or(u64::MAX);
        let mut place = |set: &GivenSet<'_>| match set {
            GivenSet::Memory(_) if set.bytes() <= left => {
                left -= set.bytes();
                Placement::Device
            }
            _ => Placement::Streamed,
        };
        let clean = self.clean.as_ref().map_or(Placement::Device, &mut place);
        Placements { train: place(&self.train), clean }
    }

    /// The streams of the sets that do not lie on the device.
    pub fn streams(
        &self,
        placements: Placements,
        options: &TrainerOptions,
        facts: &DatasetFacts<'_>,
        tensors: &DeviceTensors,
        share: Share,
    ) -> Result<Vec<BatchStream>, TrainError> {
        let mut streams = Vec::new();
        let mut add = |which, name, stream, batch, set: &GivenSet<'_>, sampling: &Sampling| {
            let Some(target) = tensors.get(name) else { return Ok(()) };
            let len = set.labels().len();
            log::info!("the {which} set is streamed: {} MB", set.bytes() / 1_000_000);
            let order = BatchOrder::new(stream, options.seed, batch, len, sampling).part(share);
            streams.push(BatchStream::new(which, &set.source(), order, target.clone())?);
            Ok::<(), TrainError>(())
        };
        if placements.train == Placement::Streamed {
            let sampling = options.weighting.sampling(facts)?;
            let (stream, batch) = (Stream::Train, options.batch);
            add("training", "train/dataset0", stream, batch, &self.train, &sampling)?;
        }
        if let Some(clean) = self.clean.as_ref().filter(|_| placements.clean == Placement::Streamed)
        {
            let (stream, batch) = (Stream::Clean, options.clean_batch);
            add("clean", "clean/dataset0", stream, batch, clean, &Sampling::Passes)?;
        }
        Ok(streams)
    }
}
