//! Texts from outside the crate keep to their bindings, whatever they index.

use l2rw::gpu::{Context, Lifetime};
use l2rw::gpu::{
    DeviceTensors, ElementType, Executable, Kernel, Part, Recorder, Shader, ShaderChecks, Tensor,
    TensorId, read_back,
};

use crate::common::device::context;

/// Reads and writes a binding's length behind where it is told.
const TEXT: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> seen: array<f32>;
@group(0) @binding(2) var<storage, read_write> spoilt: array<f32>;

@compute @workgroup_size(64)
fn reach(@builtin(global_invocation_id) id: vec3<u32>) {
    seen[id.x] = x[id.x + 64u];
    spoilt[id.x + 64u] = 7.0;
}

@compute @workgroup_size(1)
fn never_ends(@builtin(global_invocation_id) id: vec3<u32>) {
    loop {
        spoilt[0] = x[0] + seen[0];
    }
}
";

const GUARD: f32 = 12_345.0;

fn kernel(entry: &'static str) -> Kernel {
    Kernel::new(Shader::joined("reach", [Part::new("tests/kernels/trust.rs", TEXT)]), entry)
}

/// 64 zeros and as many guards behind them.
fn guarded(context: &Context) -> wgpu::Buffer {
    let content: Vec<f32> = (0..128).map(|i| if i < 64 { 0.0 } else { GUARD }).collect();
    let upload =
        context.upload("guarded", bytemuck::cast_slice(&content), wgpu::BufferUsages::STORAGE);
    pollster::block_on(upload).unwrap()
}

#[test]
fn a_foreign_text_neither_reads_nor_writes_behind_its_bindings() {
    let context = context(ShaderChecks::Trusted);
    let mut rec = Recorder::new();
    let mut tensors = DeviceTensors::new();
    let buffers = ["x", "seen", "spoilt"].map(|label| {
        let buffer = guarded(context);
        tensors.insert(label, buffer.clone());
        buffer
    });
    let external = |label: &str| Tensor {
        label: label.into(),
        len: 64,
        element: ElementType::F32,
        lifetime: Lifetime::External,
    };
    let ids: Vec<TensorId> = ["x", "seen", "spoilt"].map(|l| rec.tensor(external(l))).into();
    let bindings = vec![rec.read(ids[0]), rec.write(ids[1]), rec.write(ids[2])];
    rec.dispatch(kernel("reach"), bindings, [1, 1, 1], 0);
    let executable = Executable::new(context, rec.finish().unwrap(), &tensors).unwrap();
    let mut encoder = context.device.create_command_encoder(&Default::default());
    executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.submit(encoder);
    let read = |buffer| {
        let words = read_back(context, buffer, 4 * 128).unwrap();
        words.into_iter().map(f32::from_bits).collect::<Vec<f32>>()
    };
    let (seen, spoilt) = (read(&buffers[1]), read(&buffers[2]));
    assert!(seen[..64].iter().all(|value| *value != GUARD), "read: {seen:?}");
    assert!(spoilt[64..].iter().all(|value| *value == GUARD), "written: {spoilt:?}");
}

/// An endless loop must not let a compiler assume that what follows is never reached: naga counts
/// the rounds where checks are on.
#[test]
fn loops_of_a_foreign_text_are_bounded() {
    let source = kernel("never_ends").source();
    let module = naga::front::wgsl::parse_str(&source).unwrap();
    let mut validator = naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::all(),
    );
    let info = validator.validate(&module).unwrap();
    let words = |force_loop_bounding| {
        let options = naga::back::spv::Options { force_loop_bounding, ..Default::default() };
        let pipeline = naga::back::spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: "never_ends".into(),
        };
        naga::back::spv::write_vec(&module, &info, &options, Some(&pipeline)).unwrap().len()
    };
    assert!(wgpu::ShaderRuntimeChecks::checked().force_loop_bounding);
    assert!(words(true) > words(false));
}
