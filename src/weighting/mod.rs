//! Ways to weight training examples, one file each: learned from the clean set, from the losses,
//! from the labels, by changing the target, by choosing what is drawn.
//!
//! A [`Method`] records its part of an iteration into an
//! [`IterationBuilder`](crate::plan::IterationBuilder): everything it does runs on the device
//! within the step's one submission. [`by_name`] makes any of the crate's, and
//! `examples/custom_weighting.rs` is one from outside.

mod methods;
mod per_example;
mod registry;
#[cfg(test)]
mod tests;

pub use methods::*;
pub use per_example::PerExample;
#[doc(hidden)]
pub use per_example::parts;
pub use registry::{Setup, Variant, by_name};

pub use crate::plan::{Method, Sampling, Weighting};
pub use crate::reference::step::{MethodTwin, TwinInput, TwinOutput};
