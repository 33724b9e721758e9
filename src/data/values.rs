//! What the examples of a data set consist of.

use std::ops::Range;

/// The values of examples, held in memory: `[N, H, W, C]`, of features `[N, 1, 1, features]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Pixels from 0 to 255.
    Bytes(Vec<u8>),
    /// Features, or images of another range.
    Floats(Vec<f32>),
}

impl From<Vec<u8>> for Values {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<f32>> for Values {
    fn from(floats: Vec<f32>) -> Self {
        Self::Floats(floats)
    }
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, if they are bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Floats(_) => None,
        }
    }

    /// All of them, if they are floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match self {
            Self::Bytes(_) => None,
            Self::Floats(floats) => Some(floats),
        }
    }

    /// Adds `other` behind the last, if it is of the same kind; whether it is.
    pub(super) fn append(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(own), Self::Bytes(other)) => own.extend_from_slice(other),
            (Self::Floats(own), Self::Floats(other)) => own.extend_from_slice(other),
            _ => return false,
        }
        true
    }

    /// Those at `places`, one after the other; `None` where a place lies behind the last.
    pub(super) fn gathered(&self, places: &[Range<usize>]) -> Option<Self> {
        fn gather<T: Copy>(values: &[T], places: &[Range<usize>]) -> Option<Vec<T>> {
            let mut gathered = Vec::with_capacity(places.iter().map(Range::len).sum());
            for place in places {
                gathered.extend_from_slice(values.get(place.clone())?);
            }
            Some(gathered)
        }
        match self {
            Self::Bytes(bytes) => gather(bytes, places).map(Self::Bytes),
            Self::Floats(floats) => gather(floats, places).map(Self::Floats),
        }
    }
}
