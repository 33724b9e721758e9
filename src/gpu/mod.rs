//! Everything that touches wgpu: device, recordings of dispatches as plain data, memory
//! planning, pipelines, read-back. Knows nothing of neural networks.

mod context;
mod error;
mod executable;
mod matrices;
pub mod memory;
mod order;
mod pace;
mod pipelines;
mod profile;
mod readback;
mod recorder;
mod recording;
mod shader;
mod tuning;

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
