//! Ranges of tensors.

use crate::gpu::{Access, Binding, Recorder, TensorId};

/// A range of a tensor, e.g. one parameter of the flat parameter vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The tensor.
    pub tensor: TensorId,
    /// First element; a multiple of 64.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

impl View {
    /// All of a tensor.
    pub fn whole(rec: &Recorder, tensor: TensorId) -> Self {
        Self { tensor, offset: 0, len: rec.len(tensor) }
    }

    /// Bound for reading.
    pub fn read(self) -> Binding {
        self.bind(Access::Read)
    }

    /// Bound to be overwritten.
    pub fn write(self) -> Binding {
        self.bind(Access::Write)
    }

    /// Bound with any access.
    pub fn bind(self, access: Access) -> Binding {
        Binding { tensor: self.tensor, offset: self.offset, len: self.len, access }
    }
}
