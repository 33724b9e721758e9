//! What can go wrong between the crate and a device. Every message says what to do about it.

use thiserror::Error;

use crate::files::FileError;

/// What can go wrong between this crate and a graphics adapter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter was found at all.
    #[error(
        "no graphics adapter found ({0}). Install a Vulkan driver: on Debian or Ubuntu \
         `apt-get install mesa-vulkan-drivers` (also gives a software adapter), on Fedora \
         `dnf install mesa-vulkan-drivers`, on Arch `pacman -S vulkan-swrast`"
    )]
    NoAdapter(String),
    /// The program was built without any graphics interface.
    #[error(
        "l2rw was built without a graphics interface: enable one of its features `vulkan`, \
         `metal`, `dx12` and `webgpu` (all but the last are on by default)"
    )]
    NoBackend,
    /// A graphics interface whose compute shaders are too small for the kernels.
    #[error(
        "'{adapter}' is reached through {backend}, on which l2rw does not run: take a device of \
         Vulkan, Metal, DirectX 12 or WebGPU"
    )]
    UnsupportedBackend {
        /// Name of the adapter.
        adapter: String,
        /// The graphics interface.
        backend: wgpu::Backend,
    },
    /// The adapter refused to make a device.
    #[error("the adapter '{adapter}' refused to create a device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The adapter's words.
        reason: String,
    },
    /// A tensor does not fit the device's limits.
    #[error(
        "tensor '{tensor}' takes {bytes} bytes, but the device allows {limit} ({limit_name}); \
         use a smaller batch or model, or an adapter with a higher limit"
    )]
    TensorTooLarge {
        /// Label of the tensor.
        tensor: String,
        /// Its size.
        bytes: u64,
        /// What the device allows.
        limit: u64,
        /// Which of the device's limits.
        limit_name: &'static str,
    },
    /// A dispatch asks for more workgroups, or more bindings, than the device allows.
    #[error("dispatch '{dispatch}' needs {needed} {what}, but the device allows {limit}")]
    DispatchTooLarge {
        /// Label of the dispatch.
        dispatch: String,
        /// What is too many.
        what: &'static str,
        /// How many are needed.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A recording breaks a rule of the API; a bug in the code that recorded it.
    #[error("dispatch '{dispatch}': {reason}")]
    InvalidRecording {
        /// Label of the dispatch.
        dispatch: String,
        /// The rule that is broken.
        reason: String,
    },
    /// A file of a tuning cannot be read, or belongs to another adapter.
    #[error("tuning '{}': {reason}", path.display())]
    TuningFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tensor that the caller has to supply was not supplied.
    #[error("tensor '{0}' lives outside the plan and was not supplied")]
    MissingTensor(String),
    /// A buffer that the caller supplied cannot hold its tensor.
    #[error("the buffer for '{tensor}' cannot be used: {reason}")]
    UnsuitableBuffer {
        /// Label of the tensor.
        tensor: String,
        /// What it lacks.
        reason: String,
    },
    /// A call that waits was made where waiting is impossible (in a browser).
    #[error("this platform cannot wait for its device: await the async form instead")]
    CannotWait,
    /// Shader or pipeline creation failed.
    #[error("pipeline '{kernel}' could not be created: {reason}\n(joined from {origin})")]
    Pipeline {
        /// Shader, entry point and the alternatives that it was joined from.
        kernel: String,
        /// The files that its text was joined from, each with the line at which it begins.
        origin: String,
        /// The driver's or validator's words.
        reason: String,
    },
    /// Allocation failed.
    #[error("the device could not allocate {bytes} bytes for '{what}': {reason}")]
    OutOfMemory {
        /// What was to be allocated.
        what: String,
        /// How much.
        bytes: u64,
        /// The device's words.
        reason: String,
    },
    /// The device or its driver refused something that no call had asked about.
    #[error("the device failed while {doing}: {reason}")]
    Device {
        /// What was being done when it became known.
        doing: String,
        /// The device's words.
        reason: String,
    },
    /// The device was lost, or a buffer could not be mapped.
    #[error(
        "the device was lost while {doing}: {reason}. Open another one and go on from the last \
         checkpoint or snapshot"
    )]
    DeviceLost {
        /// What was being done.
        doing: String,
        /// The device's words.
        reason: String,
    },
}
