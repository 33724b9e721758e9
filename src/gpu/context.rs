//! A device and its queue, what is known of the adapter, and the pipelines made so far.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::faults::Faults;
use super::pace::{Pace, suited_limit};
use super::pipeline_cache::PipelineCache;
use super::pipelines::{Pipeline, Pipelines};
use super::poller::Poller;
use super::signal::Signal;
use super::{Dispatch, GpuError, Recording, Tuning};

/// Whether the runtime checks that naga writes into shaders (index clamps, loop bounds) stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShaderChecks {
    /// Without: the crate's kernels index within their bindings, which the tests show by running
    /// them in both modes.
    #[default]
    Trusted,
    /// With.
    Checked,
}

/// A device and queue, the facts about their adapter, and the pipelines made so far.
///
/// Cheap to clone; clones share the pipelines.
#[derive(Clone, Debug)]
pub struct Context {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// What the adapter says of itself.
    pub adapter: wgpu::AdapterInfo,
    checks: ShaderChecks,
    tuning: Tuning,
    limit: Option<Duration>,
    pace: Pace,
    pipelines: Arc<Pipelines>,
    submissions: Arc<AtomicU64>,
    pub(super) faults: Faults,
    poller: Poller,
}

impl Context {
    /// Opens the fastest adapter of the machine, or the fastest of those whose name contains
    /// `name` (ignoring case).
    ///
    /// Blocks until the device is there: not for browsers, which have [`Context::new_async`].
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] when there is none, [`GpuError::NoDevice`] when it refuses.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(name: Option<&str>) -> Result<Self, GpuError> {
        pollster::block_on(Self::new_async(name, ShaderChecks::Trusted))
    }

    /// The same, without blocking, with a choice of shader checks.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub async fn new_async(name: Option<&str>, checks: ShaderChecks) -> Result<Self, GpuError> {
        let instance = instance()?;
        let adapter = match name {
            Some(name) => named_adapter(&instance, name).await?,
            None => fastest_adapter(&instance).await?,
        };
        Self::open(&adapter, checks).await
    }

    /// Opens one of several adapters: of those whose name contains `name`, or of those that are as
    /// fast as the fastest by their kind, the one of this number, which may be any. For processes
    /// that share a machine, each with a number of its own.
    ///
    /// # Errors
    /// As [`Context::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn numbered(name: Option<&str>, number: usize) -> Result<Self, GpuError> {
        pollster::block_on(async {
            let adapter = numbered_adapter(&instance()?, name, number).await?;
            Self::open(&adapter, ShaderChecks::Trusted).await
        })
    }

    async fn open(adapter: &wgpu::Adapter, checks: ShaderChecks) -> Result<Self, GpuError> {
        let info = adapter.get_info();
        let (device, queue) =
            adapter.request_device(&Self::device_descriptor(adapter)).await.map_err(|e| {
                GpuError::NoDevice { adapter: info.name.clone(), reason: e.to_string() }
            })?;
        let context = Self::from_device(device, queue, info, checks);
        context.faults.watch(&context.device);
        Ok(context)
    }

    /// The features and limits that this crate asks of an adapter: an application that makes its
    /// own device adds its own to them.
    ///
    /// Limits are WebGPU's defaults, except the sizes of buffers and bindings, which follow the
    /// adapter: large activations need them. Of features it takes timestamps, caches of pipelines
    /// ([`Context::with_pipeline_cache`]), 64-bit integers
    /// ([`Tuning::wide_loads`](super::Tuning::wide_loads)), subgroups
    /// ([`Tuning::shared_loads`](super::Tuning::shared_loads)) and 16-bit floats
    /// ([`Precision::F16`](super::Precision::F16)) where they are to be had, and needs none. A
    /// device with less works as long as every tensor fits; one that does not is an error with its
    /// name ([`GpuError::TensorTooLarge`]).
    ///
    /// ```no_run
    /// # async fn open(
    /// #     adapter: wgpu::Adapter,
    /// # ) -> Result<l2rw::gpu::Context, wgpu::RequestDeviceError> {
    /// use l2rw::gpu::{Context, ShaderChecks};
    ///
    /// let mut descriptor = Context::device_descriptor(&adapter);
    /// descriptor.required_features |= wgpu::Features::FLOAT32_FILTERABLE; // the application's own
    /// let (device, queue) = adapter.request_device(&descriptor).await?;
    /// Ok(Context::from_device(device, queue, adapter.get_info(), ShaderChecks::default()))
    /// # }
    /// ```
    pub fn device_descriptor(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
        let offered = adapter.limits();
        let limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        wgpu::DeviceDescriptor {
            label: Some("l2rw"),
            required_features: adapter.features()
                & (wgpu::Features::TIMESTAMP_QUERY
                    | wgpu::Features::SHADER_INT64
                    | wgpu::Features::SHADER_F16
                    | wgpu::Features::PIPELINE_CACHE
                    | wgpu::Features::SUBGROUP),
            required_limits: limits,
            ..Default::default()
        }
    }

    /// Uses a device that the caller already has, with the queue and the facts that its adapter
    /// gives (`Adapter::get_info`). See [`Context::device_descriptor`] for what to ask of it.
    ///
    /// The device's callbacks remain the caller's. One for lost devices should call
    /// [`Context::device_lost`]: without it, the loss becomes known when results are read back.
    /// Where no handler of uncaptured errors is set, wgpu's own one ends the program.
    pub fn from_device(
        device: wgpu::Device,
        queue: wgpu::Queue,
        adapter: wgpu::AdapterInfo,
        checks: ShaderChecks,
    ) -> Self {
        let is_software = adapter.device_type == wgpu::DeviceType::Cpu;
        let tuning = Tuning::suited(is_software, &device, &adapter);
        Self {
            limit: suited_limit(adapter.device_type),
            pace: Pace::guessed(adapter.device_type),
            device,
            queue,
            adapter,
            checks,
            tuning,
            pipelines: Arc::default(),
            submissions: Arc::default(),
            faults: Faults::default(),
            poller: Poller::default(),
        }
    }

    /// Tells the context that its device was lost: for applications that made the device, from
    /// their callback. From then on calls answer [`GpuError::DeviceLost`].
    pub fn device_lost(&self, reason: impl Into<String>) {
        self.faults.lose(reason.into());
    }

    /// Whether the device is known to be lost.
    pub fn is_lost(&self) -> bool {
        self.faults.is_lost()
    }

    /// The error of what has happened to the device since the last time.
    pub(crate) fn check(&self, doing: &str) -> Result<(), GpuError> {
        self.faults.check(doing)
    }

    /// The error of a device that does not answer: with the reason for its loss, where one is
    /// known.
    pub(crate) fn lost(&self, doing: &str, reason: &dyn Display) -> GpuError {
        // The device's callback may not have run yet.
        let reason = match self.poll(wgpu::PollType::Poll, doing) {
            Err(known @ GpuError::DeviceLost { .. }) => return known,
            // Whatever is made on a lost device is invalid, which becomes an error of its own.
            Err(other) => other.to_string(),
            Ok(()) => reason.to_string(),
        };
        // The callback waits for submissions that a lost device may never end: until then, calls
        // would take what follows from the loss for errors of other kinds.
        self.faults.lose(reason.clone());
        GpuError::DeviceLost { doing: doing.to_owned(), reason }
    }

    /// Polls the device, whose callbacks then run.
    pub(super) fn poll(&self, poll: wgpu::PollType, doing: &str) -> Result<(), GpuError> {
        self.faults.poll(&self.device, poll, doing)
    }

    /// Waits for a submission on a thread of the context's own, where `done` runs; in browsers
    /// `done` is a callback of theirs.
    pub(super) fn wait_behind(
        &self,
        submission: wgpu::SubmissionIndex,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        self.poller.wait(self, submission, Box::new(done));
    }

    /// The same with kernels written otherwise than what suits adapters of this kind in general.
    /// A tuning that the device does not offer makes pipelines fail.
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// The same with the tuning that was measured on this adapter and
    /// [kept](super::Tuning::keep) in a folder. One that cannot be used, because the driver is
    /// another one now, is a warning in the log, and the tuning stays as it is.
    #[must_use]
    pub fn tuned_by(self, folder: &Path) -> Self {
        match Tuning::find(folder, &self) {
            Ok(Some(tuning)) => self.with_tuning(tuning),
            Ok(None) => self,
            Err(error) => {
                log::warn!(
                    "{error}; until then the tuning that suits this kind of adapter is taken"
                );
                self
            }
        }
    }

    /// The same with the pipelines that [`Context::keep_pipelines`] kept in a folder, so that a
    /// program that was run before starts sooner. Many drivers do this by themselves; some leave it
    /// to the program. Only Vulkan has it; elsewhere nothing changes. To be called before anything
    /// is compiled.
    ///
    /// # Errors
    /// [`GpuError::File`] when the file is there and cannot be read. One that is broken, or of
    /// another driver, is not taken.
    pub fn with_pipeline_cache(self, folder: &Path) -> Result<Self, GpuError> {
        if let Some(cache) = PipelineCache::open(&self.device, &self.adapter, folder)? {
            self.pipelines.keep_in(cache);
        }
        Ok(self)
    }

    /// Writes the pipelines made so far into the folder of [`Context::with_pipeline_cache`], which
    /// is made if need be. Returns the file; `None` where there is nothing to keep.
    ///
    /// # Errors
    /// [`GpuError::File`] when the file cannot be written.
    pub fn keep_pipelines(&self) -> Result<Option<PathBuf>, GpuError> {
        let Some(kept) = self.pipelines.kept() else { return Ok(None) };
        Ok(kept.keep()?.map(Path::to_owned))
    }

    /// The same with another limit to the time that one submission is estimated to run, `None` for
    /// none. A longer step is cut into several submissions, with the same bits.
    ///
    /// By default 200 ms on a discrete GPU, none on a software adapter, and 50 ms on all others.
    /// How fast the device is, trainers learn from their first steps.
    #[must_use]
    pub fn with_submission_limit(self, limit: Option<Duration>) -> Self {
        Self { limit, ..self }
    }

    /// How long one submission is estimated to run at most.
    pub fn submission_limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Ranges of a recording's dispatches, a submission each, that are estimated to run no longer
    /// than `limit`: see [`Context::with_submission_limit`].
    pub fn cut(&self, recording: &Recording, limit: Option<Duration>) -> Vec<Range<usize>> {
        recording.cut(&self.pace, limit)
    }

    /// Takes into account how many seconds a recording took.
    pub(crate) fn learn_pace(&self, recording: &Recording, measured: f64) {
        self.pace.learn(self.pace.seconds(&recording.dispatches), measured);
    }

    /// How kernels are written for this device.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// Whether the adapter computes on the CPU (lavapipe, SwiftShader, WARP).
    pub fn is_software(&self) -> bool {
        self.adapter.device_type == wgpu::DeviceType::Cpu
    }

    /// Name and driver of the adapter in one line.
    pub fn describe(&self) -> String {
        let a = &self.adapter;
        let driver = [a.driver.as_str(), a.driver_info.as_str()].join(" ");
        format!("{} ({}, {})", a.name, a.backend, driver.trim())
    }

    /// Submits one command buffer; the index is for waiting until it has run.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.submissions.fetch_add(1, Ordering::Relaxed);
        self.queue.submit([encoder.finish()])
    }

    /// Command buffers submitted so far by this context and its clones.
    pub fn submissions(&self) -> u64 {
        self.submissions.load(Ordering::Relaxed)
    }

    /// Makes a buffer of at least `size` bytes, rounded up to whole words, that can be copied from
    /// and to.
    ///
    /// # Errors
    /// [`GpuError::TensorTooLarge`] when no buffer of the device holds it,
    /// [`GpuError::OutOfMemory`] when the device has no room for it.
    pub async fn allocate(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let size = size.next_multiple_of(4).max(4);
        check_buffer_size(&self.device.limits(), label, size)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: usage | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        match scope.pop().await {
            None => {
                // A lost device answers with a buffer that is none.
                self.check(&format!("allocating '{label}'"))?;
                Ok(buffer)
            }
            Some(error) => {
                let (what, reason) = (label.to_owned(), error.to_string());
                Err(GpuError::OutOfMemory { what, bytes: size, reason })
            }
        }
    }

    /// Makes a buffer and fills it.
    ///
    /// # Errors
    /// As [`Context::allocate`].
    pub async fn upload(
        &self,
        label: &str,
        content: &[u8],
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let buffer = self.allocate(label, content.len() as u64, usage).await?;
        for (piece, first) in content.chunks(PIECE).zip((0..).step_by(PIECE)) {
            self.write_at(&buffer, first, piece);
            if content.len() > PIECE {
                // The copy that the queue holds is freed once the device has read it.
                let nothing = self.device.create_command_encoder(&Default::default());
                let submission = self.submit(nothing);
                self.wait(submission, &format!("uploading '{label}'")).await?;
            }
        }
        Ok(buffer)
    }

    /// Overwrites the first bytes of a buffer with `content`, which it has room for when rounded up
    /// to whole words, before the next submission.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, content: &[u8]) {
        self.write_at(buffer, 0, content);
    }

    /// The same from byte `first` on, a multiple of 4.
    fn write_at(&self, buffer: &wgpu::Buffer, first: u64, content: &[u8]) {
        let whole = content.len() / 4 * 4;
        self.queue.write_buffer(buffer, first, &content[..whole]);
        if whole < content.len() {
            let mut last = [0; 4];
            last[..content.len() - whole].copy_from_slice(&content[whole..]);
            self.queue.write_buffer(buffer, first + whole as u64, &last);
        }
    }

    /// Whether the device answers at all: on a lost one everything can be made, and nothing works.
    pub(super) async fn probe(&self, doing: &str) -> Result<(), GpuError> {
        self.check(doing)?;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("l2rw probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let signal = Signal::default();
        let callback = signal.clone();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| callback.set(result.is_ok()));
        while cfg!(not(target_arch = "wasm32")) && signal.get().is_none() {
            let polled = self.poll(wgpu::PollType::Poll, doing);
            if signal.get().is_none() {
                polled?;
            }
        }
        match signal.wait().await {
            true => self.check(doing),
            false => Err(self.lost(doing, &"it maps no buffers")),
        }
    }

    /// Until a submission has run.
    async fn wait(&self, submission: wgpu::SubmissionIndex, doing: &str) -> Result<(), GpuError> {
        let signal = Signal::default();
        let done = signal.clone();
        self.wait_behind(submission, move |answered| done.set(answered));
        match signal.wait().await {
            true => self.check(doing),
            false => Err(self.lost(doing, &"it did not answer")),
        }
    }

    /// Refuses devices of OpenGL, which an application may bring.
    pub(super) fn check_backend(&self) -> Result<(), GpuError> {
        match self.adapter.backend {
            wgpu::Backend::Gl => Err(GpuError::UnsupportedBackend {
                adapter: self.adapter.name.clone(),
                backend: self.adapter.backend,
            }),
            _ => Ok(()),
        }
    }

    /// Makes the pipelines of all dispatches that do not exist yet, on all cores where there are
    /// threads.
    pub(crate) async fn prepare<'a>(
        &self,
        dispatches: impl Iterator<Item = &'a Dispatch>,
    ) -> Result<(), GpuError> {
        self.pipelines.prepare(&self.device, self.checks, dispatches).await
    }

    /// The pipeline of a dispatch that was [prepared](Self::prepare).
    pub(super) fn pipeline(&self, dispatch: &Dispatch) -> Result<Pipeline, GpuError> {
        self.pipelines.get(dispatch, self.checks)
    }

    /// Shader modules and pipelines made so far by this context and its clones.
    pub fn compiled(&self) -> (usize, usize) {
        self.pipelines.counts()
    }
}

/// Bytes of data that are copied into the queue's memory at a time.
const PIECE: usize = 64 << 20;

/// Refuses a tensor that no buffer of the device holds.
pub(super) fn check_buffer_size(
    limits: &wgpu::Limits,
    tensor: &str,
    bytes: u64,
) -> Result<(), GpuError> {
    let limit = limits.max_buffer_size;
    if bytes > limit {
        let (tensor, limit_name) = (tensor.to_owned(), "max_buffer_size");
        return Err(GpuError::TensorTooLarge { tensor, bytes, limit, limit_name });
    }
    Ok(())
}

/// The adapters of the machine, as [`Context::new`] can open them by a part of their name.
///
/// # Errors
/// [`GpuError::NoBackend`] when the crate was built without a graphics interface.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Result<Vec<wgpu::AdapterInfo>, GpuError> {
    let found = pollster::block_on(instance()?.enumerate_adapters(wgpu::Backends::PRIMARY));
    Ok(found.iter().map(wgpu::Adapter::get_info).collect())
}

/// The way to the adapters of all interfaces that the crate was built with.
fn instance() -> Result<wgpu::Instance, GpuError> {
    if (wgpu::Instance::enabled_backend_features() & wgpu::Backends::PRIMARY).is_empty() {
        return Err(GpuError::NoBackend);
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    Ok(wgpu::Instance::new(descriptor))
}

async fn fastest_adapter(instance: &wgpu::Instance) -> Result<wgpu::Adapter, GpuError> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = instance.request_adapter(&options).await;
    adapter.map_err(|e| GpuError::NoAdapter(e.to_string()))
}

#[cfg(not(target_arch = "wasm32"))]
async fn numbered_adapter(
    instance: &wgpu::Instance,
    name: Option<&str>,
    number: usize,
) -> Result<wgpu::Adapter, GpuError> {
    let first = match name {
        Some(name) => named_adapter(instance, name).await?,
        None => fastest_adapter(instance).await?,
    };
    let (first_info, wanted) = (first.get_info(), name.unwrap_or_default().to_lowercase());
    let mut alike = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    alike.retain(|adapter| {
        let info = adapter.get_info();
        // The same device is there once for each interface.
        info.backend == first_info.backend
            && info.device_type == first_info.device_type
            && info.name.to_lowercase().contains(&wanted)
    });
    let place = number.checked_rem(alike.len()).unwrap_or_default();
    Ok(alike.into_iter().nth(place).unwrap_or(first))
}

async fn named_adapter(instance: &wgpu::Instance, name: &str) -> Result<wgpu::Adapter, GpuError> {
    let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let wanted = name.to_lowercase();
    let found = adapters.into_iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted));
    found.ok_or_else(|| {
        GpuError::NoAdapter(format!(
            "none has '{name}' in its name; there are: {}",
            names.join(", ")
        ))
    })
}
