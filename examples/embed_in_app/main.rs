//! A program with a device and shaders of its own, in which learning to reweight runs as one more
//! stage of each frame. The program makes its training data on the GPU, a third of the labels
//! wrong; the iteration is recorded into the program's encoder and reads the program's buffers; the
//! weights colour what the program draws. Inputs and weights never leave the GPU: the buffers of
//! the data lack the usages that a copy would need.
//!
//! cargo run --release --example embed_in_app -- [FILE.png] [FRAMES]

mod drawing;

use anyhow::Result;
use l2rw::files::write_atomic;
use l2rw::gpu::{Context, ShaderChecks, read_back};
use l2rw::nn::{Shape, zoo};
use l2rw::train::{BatchBuffers, Images, Iteration, TrainerOptions};
use wgpu::util::DeviceExt;

const POINTS: u32 = 2048;
const CLEAN_POINTS: u32 = 64;
const FEATURES: usize = 8;
const WRONG_SHARE: f32 = 0.35;

/// What the program has made for itself.
struct App {
    device: wgpu::Device,
    queue: wgpu::Queue,
    shader: wgpu::ShaderModule,
    features: wgpu::Buffer,
    labels: wgpu::Buffer,
    places: wgpu::Buffer,
    smoothed: wgpu::Buffer,
}

fn main() -> Result<()> {
    sigpipe::reset();
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "out/embed_in_app.png".into());
    let frames: u32 = arguments.next().map_or(Ok(400), |text| text.parse())?;

    // The program's own device, with what the crate asks for.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let descriptor = Context::device_descriptor(&adapter);
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let app = App::new(device, queue);

    // The crate's part: a context around that device, a network, an iteration.
    let (device, queue) = (app.device.clone(), app.queue.clone());
    let context = Context::from_device(device, queue, adapter.get_info(), ShaderChecks::default());
    let network = zoo::mlp(Shape::new(1, 1, FEATURES), &[64, 32], 2)?;
    let options = TrainerOptions {
        batch: POINTS as usize,
        clean_batch: CLEAN_POINTS as usize,
        ..TrainerOptions::features(FEATURES)
    };
    let mut iteration = Iteration::new(&context, &network, &options)?;
    println!("{}: {:.1} MB", context.describe(), iteration.memory_bytes() as f64 * 1e-6);

    let generate = app.pipeline("generate");
    let smooth = app.pipeline("smooth_weights");
    let weights = iteration.outputs().weights.clone();
    // Both batches lie in the same buffers: the trusted points behind the others.
    let (features, labels) = (app.features.clone(), app.labels.clone());
    let first_clean = 4 * u64::from(POINTS);
    let train =
        BatchBuffers { images: Images::Floats(features.slice(..)), labels: labels.slice(..) };
    let clean = BatchBuffers {
        images: Images::Floats(features.slice(first_clean * FEATURES as u64..)),
        labels: labels.slice(first_clean..),
    };
    for frame in 0..frames {
        let uniform = app.frame(frame);
        let mut encoder = app.device.create_command_encoder(&Default::default());
        let made = [&uniform, &app.features, &app.labels, &app.places];
        app.compute(&mut encoder, &generate, &made, POINTS + CLEAN_POINTS);
        iteration.encode(&mut encoder, train, Some(clean))?;
        app.compute(&mut encoder, &smooth, &[&uniform, &weights, &app.smoothed], POINTS);
        app.queue.submit([encoder.finish()]);
    }
    let picture = drawing::draw(&app, &app.frame(frames))?;
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    write_atomic(std::path::Path::new(&path), png.get_ref())?;
    report(&app, &context)?;
    println!("drew {path}");
    Ok(())
}

/// How the weights fell out, by the rule that makes labels wrong.
fn report(app: &App, context: &Context) -> Result<()> {
    let words = read_back(context, &app.smoothed, app.smoothed.size())?;
    let mut sums = [(0.0, 0); 2];
    for (i, weight) in (0u32..).zip(words.into_iter().map(f32::from_bits)) {
        let sum = &mut sums[usize::from(is_wrong(i))];
        *sum = (sum.0 + f64::from(weight), sum.1 + 1);
    }
    let [right, wrong] = sums.map(|(sum, count)| sum / f64::from(count));
    println!("mean weight of right labels {right:.2}, of wrong ones {wrong:.2} (uniform: 1)");
    Ok(())
}

/// The application's rule again, on the CPU.
fn is_wrong(i: u32) -> bool {
    let hash = |x: u32| {
        let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        (word >> 22) ^ word
    };
    let random = (hash(5 ^ hash(i * 16 + 3)) >> 8) as f32 / 16_777_216.0;
    random < WRONG_SHARE
}

impl App {
    fn new(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let all = u64::from(POINTS + CLEAN_POINTS);
        let buffer = |label, size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let storage = wgpu::BufferUsages::STORAGE;
        let features = buffer("features", 4 * all * FEATURES as u64, storage);
        let labels = buffer("labels", 4 * all, storage);
        let places = buffer("places", 8 * all, storage);
        let readable = storage | wgpu::BufferUsages::COPY_SRC;
        let smoothed = buffer("smoothed weights", 4 * u64::from(POINTS), readable);
        let shader = device.create_shader_module(wgpu::include_wgsl!("app.wgsl"));
        Self { device, queue, shader, features, labels, places, smoothed }
    }

    fn pipeline(&self, entry: &str) -> wgpu::ComputePipeline {
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &self.shader,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        })
    }

    /// The uniform of one frame.
    fn frame(&self, seed: u32) -> wgpu::Buffer {
        let words = [seed, POINTS, CLEAN_POINTS, WRONG_SHARE.to_bits()];
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("frame"),
            contents: bytemuck::cast_slice(&words),
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }

    fn bind(&self, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        })
    }

    fn compute(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        pipeline: &wgpu::ComputePipeline,
        buffers: &[&wgpu::Buffer],
        invocations: u32,
    ) {
        let group = self.bind(&pipeline.get_bind_group_layout(0), buffers);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(invocations.div_ceil(64), 1, 1);
    }
}
