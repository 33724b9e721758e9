//! Learning to reweight training examples (Ren et al., ICML 2018) in WGSL compute shaders.
//!
//! Labels are wrong or unbalanced, and a few dozen trusted examples are at hand. At every step each
//! training example is weighted by how much a step on it would help the trusted ones: by
//! u_i = ⟨∇f_i(θ), G⟩, where G is the gradient of the trusted examples' mean loss. No gradient is
//! differentiated twice.
//!
//! - [`nn`]: networks as data, a builder, the model zoo
//! - [`train`]: data sets on the device, one submission a step, results read back late
//! - [`plan`]: an iteration as a list of dispatches that prints itself
//! - [`ops`] and [`reference`](mod@reference): the kernels' host half and their twins in f64
//! - [`gpu`]: devices, recordings, memory, read-back
//! - [`data`] and [`report`] (default features): image sets, label noise; tables and plots

#[cfg(feature = "data")]
pub mod data;
pub mod gpu;
pub mod layers;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod reference;
#[cfg(feature = "report")]
pub mod report;
pub mod train;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
