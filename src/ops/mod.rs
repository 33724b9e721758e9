//! The host half of every kernel: typed shapes in, dispatches recorded. Nothing here submits.
//!
//! `ops/<kernel>.rs` belongs to `shaders/<kernel>.wgsl` and has its CPU twin, for comparison by
//! eye and by test, in `reference/<kernel>.rs`.

pub mod adamw;
pub mod add;
pub mod batch;
pub mod bias;
pub mod conv;
mod conv_staged;
mod conv_tiling;
pub mod dropout;
pub mod gram;
pub mod import;
pub mod matmul;
pub mod norm;
pub mod pool;
pub mod reduce;
pub mod relu;
pub mod residual;
pub mod sample;
pub mod sgd;
pub mod softmax_cross_entropy;
mod staged;
mod step;
pub mod weights;
mod window;

pub use norm::NormKind;
pub use reduce::Rows;
pub use step::Step;
pub use window::Window;

use crate::gpu::{Access, Binding, Kernel, Recorder, Shader, TensorId, Tuning, fold_workgroups};

pub(crate) const GRID: &str = include_str!("../../shaders/grid.wgsl");
pub(crate) const RNG: &str = include_str!("../../shaders/rng.wgsl");
pub(crate) const STEP: &str = include_str!("../../shaders/step.wgsl");
const LANES_VEC4: &str = include_str!("../../shaders/lanes_vec4.wgsl");
const LANES_WIDE: &str = include_str!("../../shaders/lanes_wide.wgsl");
const LANES_SCALAR: &str = include_str!("../../shaders/lanes_scalar.wgsl");
/// `WORKGROUP` in `shaders/grid.wgsl`.
const WORKGROUP: usize = 64;

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

/// Which of the shaders for channels by fours, the same with wide loads, and one by one.
fn lanes_variant(lanes: usize, tuning: Tuning) -> usize {
    match (lanes, tuning.wide_loads) {
        (4, false) => 0,
        (4, true) => 1,
        _ => 2,
    }
}

/// A kernel for elements by fours where `count` is a multiple, and how many it takes at once.
fn by_fours(
    shaders: &'static [Shader; 3],
    entry: &'static str,
    count: usize,
    tuning: Tuning,
) -> (Kernel, usize) {
    let lanes = if count.is_multiple_of(4) { 4 } else { 1 };
    (Kernel::new(&shaders[lanes_variant(lanes, tuning)], entry), lanes)
}

/// The grid for one invocation an element.
pub(crate) fn per_element(elements: usize) -> [u32; 3] {
    fold_workgroups(elements.div_ceil(WORKGROUP))
}
