//! What a training iteration is made of besides its network.

use super::{PlanError, Values, Weighting, sampling};
use crate::gpu::Tuning;
use crate::ops::Optimizer;
use crate::ops::batch::{Gather, ValueType};

/// Where the batches come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Drawn on the device from data sets that lie there.
    Datasets {
        /// The training set.
        train: DatasetShape,
        /// The clean set; not used by plain training.
        clean: DatasetShape,
        /// Image size and augmentation of both.
        gather: Gather,
    },
    /// Supplied by the caller, normalised: `train/images` `[n, h, w, c]`, `train/labels` `[n]`,
    /// `clean/images`, `clean/labels`. An example whose label is none of the classes does not
    /// count.
    Buffers,
}

/// A data set on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetShape {
    /// Examples.
    pub len: usize,
    /// How their values are stored.
    pub values: ValueType,
    /// Images in one binding; a larger set is split into `ceil(len / images_per_piece)` tensors.
    pub images_per_piece: usize,
    /// Whether the device holds only the step's batch, in one tensor: image i is that of slot i.
    pub streamed: bool,
}

/// What a training iteration is made of besides its network.
#[derive(Clone, Debug)]
pub struct TrainingOptions {
    /// n, the training examples of a step.
    pub batch: usize,
    /// m, the clean examples of a step.
    pub clean_batch: usize,
    /// How training examples are weighted.
    pub weighting: Weighting,
    /// How parameters follow their gradient.
    pub optimizer: Optimizer,
    /// How kernels are written. With uniform weights the buffers of `parameters` and
    /// `clean_gradient` need the usage `UNIFORM` as well.
    pub tuning: Tuning,
    /// Where the batches come from.
    pub input: Input,
}

/// What methods may want to know of the data before the first step.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatasetFacts<'a> {
    /// Labels of the training set as given, `[N]`; empty when not known.
    pub labels: &'a [u32],
    /// Values of the training set, `[N, height, width, channels]`; empty when not known.
    pub values: Values<'a>,
    /// Number of classes.
    pub classes: usize,
    /// Seed of the run.
    pub seed: u32,
}

impl DatasetFacts<'_> {
    /// Examples of each class, `[classes]`.
    ///
    /// # Errors
    /// When the labels are not known.
    pub(crate) fn class_counts(&self, method: &str) -> Result<Vec<usize>, PlanError> {
        if self.labels.is_empty() {
            return Err(PlanError::Weighting {
                method: method.to_owned(),
                reason: "it counts the labels of the training set, which are not known; give a \
                         trainer the data set, or plan with `training_on` and their `DatasetFacts`"
                    .into(),
            });
        }
        let members = sampling::members(self.labels, self.classes);
        Ok(members.iter().map(Vec::len).collect())
    }
}
