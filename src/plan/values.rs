//! What examples consist of: bytes or floats, borrowed from whoever holds them.

use crate::ops::batch::ValueType;

/// The values of examples, `[n, height, width, channels]`; of features, `[n, 1, 1, features]`.
///
/// Networks see `(x − mean) / deviation`, by the mean and deviation of the channel in the options:
/// x is a byte divided by 255, or a float as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// 8 bits each: pixels.
    Bytes(&'a [u8]),
    /// 32-bit floats: features, spectra, images of another range.
    Floats(&'a [f32]),
}

impl Default for Values<'_> {
    fn default() -> Self {
        Self::Bytes(&[])
    }
}

impl<'a> From<&'a [u8]> for Values<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Values<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(floats: &'a [f32]) -> Self {
        Self::Floats(floats)
    }
}

impl<'a> From<&'a Vec<f32>> for Values<'a> {
    fn from(floats: &'a Vec<f32>) -> Self {
        Self::Floats(floats)
    }
}

impl<'a> Values<'a> {
    /// Number of values.
    pub fn len(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How they are stored.
    pub fn value_type(self) -> ValueType {
        match self {
            Self::Bytes(_) => ValueType::Bytes,
            Self::Floats(_) => ValueType::Floats,
        }
    }

    /// The bytes that they take in memory.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Floats(floats) => bytemuck::cast_slice(floats),
        }
    }

    /// What networks see of value `at` before normalisation; `None` behind the last.
    pub fn get(self, at: usize) -> Option<f64> {
        match self {
            Self::Bytes(bytes) => bytes.get(at).map(|byte| f64::from(*byte) / 255.0),
            Self::Floats(floats) => floats.get(at).copied().map(f64::from),
        }
    }
}
