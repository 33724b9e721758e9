//! The host half of every kernel: typed shapes in, dispatches recorded. Nothing here submits.
//!
//! `ops/<kernel>.rs` belongs to `shaders/<kernel>.wgsl` and has its CPU twin, for comparison by
//! eye and by test, in `reference/<kernel>.rs`.

pub mod adamw;
pub mod add;
pub mod batch;
pub mod bias;
pub mod conv;
pub mod dropout;
pub mod example_weights;
pub mod gram;
pub mod import;
pub mod matmul;
pub mod norm;
mod optimizer;
pub(crate) mod parts;
pub mod pool;
pub mod reduce;
pub mod relu;
pub mod sample;
pub mod sgd;
pub mod shortcut;
pub mod softmax_cross_entropy;
mod staged;
mod step;
mod view;
mod window;

pub use norm::NormKind;
pub use optimizer::Optimizer;
pub use reduce::Rows;
pub use step::Step;
pub use view::View;
pub use window::Window;

use crate::gpu::fold_workgroups;

/// `WORKGROUP` in `shaders/common/grid.wgsl`.
const WORKGROUP: usize = 64;

/// The grid for one invocation an element.
pub(crate) fn per_element(elements: usize) -> [u32; 3] {
    fold_workgroups(elements.div_ceil(WORKGROUP))
}
