//! Devices and what runs on them: recordings of dispatches as plain data, memory planning,
//! pipelines, read-back. Knows nothing of neural networks.
//!
//! Only here are pipelines and bind groups made. [`train`](crate::train) and
//! [`layer_weights`](crate::layer_weights), whose callers bring buffers and encoders of wgpu, use
//! these; all other modules know recordings only.

mod context;
mod error;
mod executable;
mod faults;
mod matrices;
pub mod memory;
mod order;
mod pace;
mod pipeline_cache;
mod pipelines;
mod poller;
mod profile;
mod readback;
mod recorder;
mod recording;
mod shader;
mod signal;
mod tuning;

#[cfg(not(target_arch = "wasm32"))]
pub use context::adapters;
pub use context::{Context, ShaderChecks};
pub use error::GpuError;
pub use executable::{DeviceTensors, Executable};
pub use matrices::Matrices;
pub use profile::profile;
pub use readback::{Pending, Readback, read_back, read_back_async};
pub use recorder::Recorder;
pub use recording::{
    Access, Binding, Dispatch, ElementType, Lifetime, Recording, Tensor, TensorId, fold_workgroups,
};
pub use shader::{Kernel, Part, Shader};
pub use tuning::{Precision, Staging, Tuning};
