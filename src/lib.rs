//! Learning to reweight training examples (Ren et al., ICML 2018) in WGSL compute shaders.
//!
//! Labels are wrong or unbalanced, and a few dozen trusted examples are at hand. At every step each
//! training example is weighted by how much a step on it would help the trusted ones: by
//! u_i = ⟨∇f_i(θ), G⟩, where G is the gradient of the trusted examples' mean loss. No gradient is
//! differentiated twice.
//!
//! ```
//! use l2rw::{gpu::Context, nn::Shape, nn::zoo, train};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // 600 grey images of 4x4 pixels whose bright row tells the class; the first 20 labels are
//!     // right, of the others every third is wrong.
//!     let (truth, wrong) = (|i: usize| i * 7 % 4, |i: usize| i >= 20 && i.is_multiple_of(3));
//!     let pixel = |p: usize| p * p % 61 + 120 * usize::from(p / 4 % 4 == truth(p / 16));
//!     let images: Vec<u8> = (0..600 * 16).map(|p| pixel(p) as u8).collect();
//!     let labels: Vec<u32> =
//!         (0..600).map(|i| (truth(i) + wrong(i) as usize) as u32 % 4).collect();
//!     let shape = Shape::new(4, 4, 1);
//!     let train = train::Examples::new(&images[320..], &labels[20..], shape);
//!     let clean = train::Examples::new(&images[..320], &labels[..20], shape);
//!     let options = train::TrainerOptions { clean_batch: 20, ..train::TrainerOptions::plain(1) };
//!     let (context, network) = (Context::new(None)?, zoo::mlp(shape, &[32], 4)?);
//!     let mut trainer = train::Trainer::new(&context, &network, train, Some(clean), &options)?;
//!     for _ in 0..100 {
//!         let Some(report) = trainer.step()? else { continue };
//!         let weighed = report.indices.iter().zip(&report.weights);
//!         let on_wrong: f32 =
//!             weighed.filter(|(i, _)| wrong(**i as usize + 20)).map(|(_, w)| w).sum();
//!         println!("step {}: {on_wrong:.2} of the weight is on wrong labels", report.step);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Three levels, each with a runnable example, for programs of any kind (`docs/embedding.md` tells
//! them apart):
//!
//! - [`train::Trainer`]: whole steps on data from the host (`examples/train_on_vecs.rs`)
//! - [`train::Iteration`]: an iteration in the application's own command encoder, on batches in the
//!   application's own buffers (`examples/embed_in_app`)
//! - [`layer_weights::LayerWeights`]: just the weights, for another engine that supplies its
//!   layers' inputs and output gradients (`examples/own_engine`)
//!
//! What they are made of:
//!
//! - [`nn`]: networks as data, a builder, the model zoo
//! - [`train`]: training, evaluation, files of parameters, the weights' history
//! - [`weighting`]: ways to weight examples, the published ones and yours
//! - [`layer_weights`]: weights for another engine's layers
//! - [`plan`]: an iteration as a list of dispatches that prints itself
//! - [`ops`] and [`reference`](mod@reference): the kernels' host half and their twins in f64
//! - [`gpu`]: devices, recordings, memory, read-back
//! - [`data`] (feature `data`, on by default; `download` adds a downloader): image sets, label
//!   noise
//! - `report` (feature `report`): tables, results, pictures, progress
//! - `train::MpiRanks` (feature `mpi`, which needs an MPI library): ranks that are processes
//!
//! The graphics interfaces that are compiled in are features as well: `vulkan`, `metal` and `dx12`
//! are on by default, `webgpu` is for browsers.
//!
//! The library keeps no global state and reads no environment variables (but to find the user's
//! cache folder, where a program asks for it, and with `mpi`, as a process is one rank). Calls that
//! wait for the device have an `_async` form beside them, which is the only one on WebAssembly.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "data")]
pub mod data;
pub mod files;
pub mod gpu;
pub mod layer_weights;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod reference;
#[cfg(feature = "report")]
pub mod report;
pub mod train;
pub mod weighting;

#[cfg(all(doctest, feature = "data"))]
#[doc = include_str!("../README.md")]
struct Readme;
