//! Runs recordings on the two devices of a test process.

use std::sync::OnceLock;

use l2rw::gpu::{
    Context, DeviceTensors, ElementType, Executable, Lifetime, Matrices, Readback, Recorder,
    ShaderChecks, TensorId, Tuning,
};

struct Opened {
    contexts: [Context; 2],
    matrices: Option<Matrices>,
}

/// The devices, opened once: software adapters leak memory with every new one.
fn opened() -> &'static Opened {
    static OPENED: OnceLock<Opened> = OnceLock::new();
    OPENED.get_or_init(|| pollster::block_on(open()))
}

/// The adapter that the library opens, or that of the interface which `WGPU_BACKEND` names.
async fn adapter() -> wgpu::Adapter {
    let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
    instance.backends = wgpu::Backends::PRIMARY.with_env();
    let power_preference = wgpu::PowerPreference::HighPerformance;
    let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
    let adapter = wgpu::Instance::new(instance).request_adapter(&options).await;
    adapter.expect("an adapter: `make test` installs one")
}

/// A device of its own with these limits and no features.
pub fn limited(required_limits: wgpu::Limits) -> Context {
    pollster::block_on(async {
        let adapter = adapter().await;
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
        Context::from_device(device, queue, adapter.get_info(), ShaderChecks::Trusted)
    })
}

/// Opens the adapter with its cooperative matrices, once for each way to make shaders: Mesa's
/// software driver compiles them when they first run, in one thread a device, and the two ways have
/// no pipeline in common.
async fn open() -> Opened {
    let adapter = adapter().await;
    let matrices = Matrices::of(&adapter);
    let mut descriptor = Context::device_descriptor(&adapter);
    if matrices.is_some() {
        descriptor.required_features |= Matrices::FEATURES;
        descriptor.required_limits.max_compute_workgroup_storage_size = Matrices::WORKGROUP_MEMORY;
        // SAFETY: what is undefined in wgpu's cooperative matrices these tests are to find out.
        descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let context = async |checks| {
        let (device, queue) = adapter.request_device(&descriptor).await.expect("a device");
        Context::from_device(device, queue, adapter.get_info(), checks)
    };
    let contexts = [context(ShaderChecks::Trusted).await, context(ShaderChecks::Checked).await];
    Opened { contexts, matrices }
}

/// The context of the device for these checks.
pub fn context(checks: ShaderChecks) -> &'static Context {
    &opened().contexts[usize::from(checks == ShaderChecks::Checked)]
}

/// A context on the same device that no other test submits through or changes.
pub fn own_context() -> Context {
    let shared = context(ShaderChecks::Trusted);
    let (device, queue) = (shared.device.clone(), shared.queue.clone());
    Context::from_device(device, queue, shared.adapter.clone(), ShaderChecks::Trusted)
}

/// No cooperative matrices, and those of the device, if it has any.
pub fn matrices() -> Vec<Option<Matrices>> {
    let mut all = vec![None, opened().matrices];
    all.dedup();
    all
}

/// Whether the device has 16-bit floats, which Mesa's software driver always has. SwiftShader has
/// none.
pub fn has_f16() -> bool {
    let context = context(ShaderChecks::Trusted);
    let has = context.device.features().contains(wgpu::Features::SHADER_F16);
    let is_mesa = context.adapter.name.contains("llvmpipe");
    assert!(has || !is_mesa, "{} has no SHADER_F16", context.describe());
    has
}

/// A tuning as far as the device of [`context`] offers it.
pub fn offered(tuning: Tuning) -> Tuning {
    let context = context(ShaderChecks::Trusted);
    let plain = Tuning { wide_loads: false, shared_loads: false, ..tuning };
    let wide = Tuning { wide_loads: true, ..plain };
    let shared = Tuning { shared_loads: true, ..plain };
    Tuning {
        wide_loads: tuning.wide_loads && wide.is_offered(context),
        shared_loads: tuning.shared_loads && shared.is_offered(context),
        ..tuning
    }
}

/// A recording under construction together with the content of its external tensors.
#[derive(Default)]
pub struct Bench {
    pub rec: Recorder,
    inputs: Vec<(String, Vec<u32>, Lifetime)>,
}

impl Bench {
    pub fn new() -> Self {
        let mut bench = Self::default();
        bench.rec.stage("test");
        bench
    }

    /// An input tensor of floats, rounded from f64.
    pub fn floats(&mut self, values: &[f64]) -> TensorId {
        let words = values.iter().map(|v| (*v as f32).to_bits()).collect();
        self.input(ElementType::F32, words)
    }

    /// An input tensor of integers.
    pub fn integers(&mut self, values: &[u32]) -> TensorId {
        self.input(ElementType::U32, values.to_vec())
    }

    fn input(&mut self, element: ElementType, words: Vec<u32>) -> TensorId {
        let label = format!("input {}", self.inputs.len());
        let id = self.rec.external(label.clone(), element, words.len());
        self.inputs.push((label, words, Lifetime::External));
        id
    }

    /// A uniform buffer.
    pub fn uniform(&mut self, words: &[u32]) -> TensorId {
        let label = format!("input {}", self.inputs.len());
        let id = self.rec.tensor(l2rw::gpu::Tensor {
            label: label.clone(),
            len: words.len(),
            element: ElementType::U32,
            lifetime: Lifetime::ExternalUniform,
        });
        self.inputs.push((label, words.to_vec(), Lifetime::ExternalUniform));
        id
    }

    /// Submits the recording with every transient element poisoned.
    pub fn submit(mut self, checks: ShaderChecks, outputs: &[TensorId]) -> Submitted {
        for (index, &id) in outputs.iter().enumerate() {
            self.rec.keep(id, &format!("output {index}"));
        }
        let lens: Vec<usize> = outputs.iter().map(|&id| self.rec.len(id)).collect();
        let context = context(checks);
        let mut externals = DeviceTensors::new();
        for (label, words, lifetime) in &self.inputs {
            externals.insert(label.clone(), upload(context, words, *lifetime));
        }
        let recording = self.rec.finish().unwrap_or_else(|error| panic!("{error}"));
        // SAFETY: in the mode without checks, the tests are what shows that kernels of the crate
        // keep to their bindings.
        let executable = unsafe { Executable::trusted(context, recording, &externals) }
            .unwrap_or_else(|error| panic!("{error}"));
        poison(context, &executable);
        let source = |(&id, &len): (&TensorId, &usize)| {
            let buffer = executable.buffer(id).expect("a kept tensor has a buffer");
            (buffer.clone(), 4 * len as u64)
        };
        let sources = outputs.iter().zip(&lens).map(source).collect();
        let mut copies = Readback::new(context, sources, 1);
        let mut encoder = context.device.create_command_encoder(&Default::default());
        executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
        let pending = copies.encode(&mut encoder).expect("room for one run");
        let submission = context.submit(encoder);
        copies.submitted(pending, submission);
        Submitted { context, copies, lens }
    }

    /// Runs the recording and reads tensors back as bits.
    pub fn run_bits(self, checks: ShaderChecks, outputs: &[TensorId]) -> Vec<Vec<u32>> {
        self.submit(checks, outputs).read()
    }

    /// The same as floats.
    pub fn run(self, checks: ShaderChecks, outputs: &[TensorId]) -> Vec<Vec<f64>> {
        let bits = self.run_bits(checks, outputs);
        let float = |bits: u32| f64::from(f32::from_bits(bits));
        bits.into_iter().map(|words| words.into_iter().map(float).collect()).collect()
    }
}

/// A recording that the device runs while the test goes on.
pub struct Submitted {
    context: &'static Context,
    copies: Readback,
    lens: Vec<usize>,
}

impl Submitted {
    /// Waits for the outputs, as bits.
    pub fn read(mut self) -> Vec<Vec<u32>> {
        let taken = self.copies.take(self.context, true).unwrap_or_else(|error| panic!("{error}"));
        let mut words = taken.expect("one run was submitted").into_iter();
        self.lens.iter().map(|&len| words.by_ref().take(len).collect()).collect()
    }
}

/// Makes a buffer with the given content.
pub fn upload(context: &Context, words: &[u32], lifetime: Lifetime) -> wgpu::Buffer {
    let kind = match lifetime {
        Lifetime::ExternalUniform => wgpu::BufferUsages::UNIFORM,
        _ => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM,
    };
    let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4 * words.len() as u64,
        usage: kind | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    context.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

/// Fills every buffer that the executable owns with NaNs: an element that no kernel writes shows.
pub fn poison(context: &Context, executable: &Executable) {
    let recording = executable.recording();
    for (index, tensor) in recording.tensors.iter().enumerate() {
        let owned = matches!(tensor.lifetime, Lifetime::Transient | Lifetime::Output);
        if let (true, Some(buffer)) = (owned, executable.buffer(TensorId(index))) {
            let nans = vec![f32::NAN.to_bits(); tensor.len];
            context.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&nans));
        }
    }
}
