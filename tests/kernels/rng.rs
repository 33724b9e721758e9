//! `shaders/common/rng.wgsl` gives the same bits as its host twin.

use l2rw::data::sampling::{pcg_hash, permuted_index};
use l2rw::gpu::{Context, ShaderChecks};
use wgpu::util::DeviceExt;

use crate::common::device::context;

const ENTRY: &str = "
@group(0) @binding(0) var<storage, read> cases: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&cases) {
        let c = cases[id.x];
        results[id.x] = vec2(permuted_index(c.x, c.y, c.z, c.w), pcg_hash(c.z));
    }
}
";

/// `[seed, epoch, position, len]`: all positions of odd sizes, and extremes.
fn cases() -> Vec<[u32; 4]> {
    let mut cases = vec![
        [0, 0, 0, 0],
        [1, 2, 9, 5],
        [u32::MAX; 4],
        [3, 4, 5, u32::MAX],
        [3, 4, 5, (1 << 30) + 1],
    ];
    for (seed, epoch, len) in [(7, 0, 1), (7, 1, 2), (8, 2, 5), (9, 3, 37), (u32::MAX, 4, 1_000)] {
        cases.extend((0..len).map(|position| [seed, epoch, position, len]));
    }
    cases
}

fn run_on_gpu(cases: &[[u32; 4]]) -> Vec<[u32; 2]> {
    let Context { device, queue, .. } = context(ShaderChecks::Checked);
    let source = [include_str!("../../shaders/common/rng.wgsl"), ENTRY].concat();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("rng"),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("rng"),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let input = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("cases"),
        contents: bytemuck::cast_slice(cases),
        usage: wgpu::BufferUsages::STORAGE,
    });
    let buffer = |usage| {
        let size = size_of_val(cases) as u64 / 2;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let output = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: input.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: output.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(cases.len().div_ceil(64) as u32, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&output, 0, &staging, 0, staging.size());
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = staging.get_mapped_range(..).unwrap();
    bytemuck::cast_slice(&view).to_vec()
}

#[test]
fn the_shader_and_the_host_visit_examples_in_the_same_order() {
    let cases = cases();
    let results = run_on_gpu(&cases);
    assert_eq!(results.len(), cases.len());
    for (&[seed, epoch, position, len], found) in cases.iter().zip(results) {
        let expected = [permuted_index(seed, epoch, position, len), pcg_hash(position)];
        assert_eq!(found, expected, "seed {seed}, epoch {epoch}, position {position}, len {len}");
    }
}
