//! Learning to reweight training examples (Ren et al., ICML 2018) in WGSL compute shaders.

#[cfg(feature = "data")]
pub mod data;
pub mod gpu;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod reference;
#[cfg(feature = "report")]
pub mod report;
pub mod train;
