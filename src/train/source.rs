//! Examples that are read when they are needed: data sets that do not fit the device, or memory.

use std::error::Error;

use super::run_description::Fingerprint;
use super::{Examples, Values};
use crate::nn::Shape;
use crate::ops::batch::ValueType;

/// Room for the values of one example, `[height, width, channels]`.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// 8 bits each.
    Bytes(&'a mut [u8]),
    /// 32-bit floats.
    Floats(&'a mut [f32]),
}

/// What reading an example may end in.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// A labelled data set whose examples are read when a batch needs them, from disk or elsewhere.
/// Several threads read at once.
///
/// [`Trainer::streaming`](super::Trainer::streaming) trains on one,
/// [`Predictor::score`](super::Predictor::score) scores one. [`Examples`] are one as well, and with
/// the feature `data` so is a `data::Dataset`.
pub trait ExampleSource: Send + Sync {
    /// Size of an example; 1×1×features where it has no rows and columns.
    fn shape(&self) -> Shape;

    /// How values are handed out.
    fn value_type(&self) -> ValueType;

    /// Class of each example, `[n]`; always the same.
    fn labels(&self) -> &[u32];

    /// Fills all of `out`, which is of the source's [`value_type`](Self::value_type), with the
    /// values of example `index`: always the same ones.
    ///
    /// # Errors
    /// What keeps the example from being read; the step or the scoring ends with it.
    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError>;

    /// Tells the set from others in checkpoints: by shape and labels, since reading all values may
    /// take long. A source that knows more of its content tells more.
    fn fingerprint(&self) -> String {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(self.shape().to_string().as_bytes());
        fingerprint.add(bytemuck::cast_slice(self.labels()));
        fingerprint.text()
    }
}

impl ExampleSource for Examples<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn value_type(&self) -> ValueType {
        self.values.value_type()
    }

    fn labels(&self) -> &[u32] {
        self.labels
    }

    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError> {
        let size = self.shape.len();
        let place = index.checked_mul(size).and_then(|first| Some(first..first.checked_add(size)?));
        let copied = place.and_then(|place| match (self.values, out) {
            (Values::Bytes(all), ValuesMut::Bytes(out)) => {
                all.get(place).map(|values| out.copy_from_slice(values))
            }
            (Values::Floats(all), ValuesMut::Floats(out)) => {
                all.get(place).map(|values| out.copy_from_slice(values))
            }
            _ => None,
        });
        let missing = || format!("there is no example of {} values in this place", size).into();
        copied.ok_or_else(missing)
    }

    fn fingerprint(&self) -> String {
        Examples::fingerprint(self)
    }
}

#[cfg(feature = "data")]
impl ExampleSource for crate::data::Dataset {
    fn shape(&self) -> Shape {
        Examples::from(self).shape
    }

    fn value_type(&self) -> ValueType {
        Examples::from(self).values.value_type()
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError> {
        Examples::from(self).read(index, out)
    }

    fn fingerprint(&self) -> String {
        Examples::from(self).fingerprint()
    }
}

/// A copy of borrowed examples, which outlives the borrow.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    floats: Vec<f32>,
    labels: Vec<u32>,
    shape: Shape,
    value_type: ValueType,
}

impl Kept {
    pub fn new(examples: &Examples<'_>) -> Self {
        let (mut bytes, mut floats) = (Vec::new(), Vec::new());
        match examples.values {
            Values::Bytes(values) => bytes = values.to_vec(),
            Values::Floats(values) => floats = values.to_vec(),
        }
        let (labels, shape) = (examples.labels.to_vec(), examples.shape);
        Self { bytes, floats, labels, shape, value_type: examples.values.value_type() }
    }

    pub fn examples(&self) -> Examples<'_> {
        let values = match self.value_type {
            ValueType::Bytes => Values::Bytes(&self.bytes),
            ValueType::Floats => Values::Floats(&self.floats),
        };
        Examples { values, labels: &self.labels, shape: self.shape }
    }
}

impl ExampleSource for Kept {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn value_type(&self) -> ValueType {
        self.value_type
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError> {
        self.examples().read(index, out)
    }
}

/// Reads example `index` as the device has it; `out` begins at a whole word where it holds floats.
pub(super) fn read_bytes(
    source: &dyn ExampleSource,
    index: usize,
    out: &mut [u8],
) -> Result<(), SourceError> {
    match source.value_type() {
        ValueType::Bytes => source.read(index, ValuesMut::Bytes(out)),
        ValueType::Floats => source.read(index, ValuesMut::Floats(bytemuck::cast_slice_mut(out))),
    }
}
