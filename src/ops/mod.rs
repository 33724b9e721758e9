//! For people who write and test shaders, and may change between minor versions: the host half of
//! every kernel. Typed shapes in, dispatches recorded; nothing here submits.
//!
//! An op is four files: its host half in `src/ops`, its kernels in `shaders`, its CPU twin in
//! [`reference`](mod@crate::reference), for comparison by eye and by test, and the test.
//!
//! op | `shaders/<…>.wgsl` | `src/reference/<…>.rs` | `tests/kernels/<…>.rs`
//! ---|---|---|---
//! adamw | adamw | adamw | adamw
//! add | add, zeros | add | add
//! batch | batch | batch | batch
//! bias | bias | bias | bias
//! conv | conv/direct, conv/staged | conv | conv
//! dropout | dropout | dropout | dropout
//! example_weights | example_weights | example_weights | example_weights
//! gelu | gelu | gelu | gelu
//! gram | gram | gram | gram
//! import | import/images, import/labels | import | import
//! matmul | matmul/direct, matmul/staged | matmul | matmul
//! norm | norm/apply, norm/chunks, norm/combine | norm | norm
//! not_finite | not_finite, unusable | not_finite | not_finite
//! pad | pad | pad | pad
//! pool | pool/pool | pool | pool
//! reduce | reduce/dots, reduce/sums | reduce | reduce
//! relu | relu | relu | relu
//! sample | sample | sample | sample
//! sgd | sgd | sgd | sgd
//! shortcut | shortcut | shortcut | shortcut
//! softmax_cross_entropy | softmax_cross_entropy | softmax_cross_entropy | softmax_cross_entropy

pub mod adamw;
pub mod add;
pub mod batch;
pub mod bias;
pub mod conv;
pub mod dropout;
pub mod example_weights;
pub mod gelu;
pub mod gram;
pub mod import;
pub mod matmul;
pub mod norm;
pub mod not_finite;
mod optimizer;
pub mod pad;
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
