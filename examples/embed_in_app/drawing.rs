//! Drawing off screen.

use anyhow::{Context as _, Result};

use crate::{App, POINTS};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 640;

/// Draws every point by its label and by its weight, from the buffers where they lie.
pub fn draw(app: &App, frame: &wgpu::Buffer) -> Result<image::RgbaImage> {
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let texture = app.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("picture"),
        size: wgpu::Extent3d { width: WIDTH, height: HEIGHT, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    // WIDTH is a multiple of 64, so rows need no padding.
    let staging = app.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("picture"),
        size: u64::from(4 * WIDTH * HEIGHT),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = app.device.create_command_encoder(&Default::default());
    render(app, &mut encoder, &texture.create_view(&Default::default()), format, frame);
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * WIDTH),
        rows_per_image: None,
    };
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &staging, layout },
        texture.size(),
    );
    app.queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    app.device.poll(wgpu::PollType::wait_indefinitely())?;
    let pixels = staging.get_mapped_range(..)?.to_vec();
    image::RgbaImage::from_raw(WIDTH, HEIGHT, pixels).context("a picture of another size")
}

fn render(
    app: &App,
    encoder: &mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
    format: wgpu::TextureFormat,
    frame: &wgpu::Buffer,
) {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::VERTEX,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = wgpu::BufferBindingType::Storage { read_only: true };
    let uniform = wgpu::BufferBindingType::Uniform;
    let layout = app.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[entry(0, uniform), entry(1, storage), entry(2, storage), entry(3, storage)],
    });
    let pipeline_layout = app.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = app.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("points"),
        layout: Some(&pipeline_layout),
        vertex: wgpu::VertexState {
            module: &app.shader,
            entry_point: Some("draw_point"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..Default::default()
        },
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &app.shader,
            entry_point: Some("fill"),
            compilation_options: Default::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let group = app.bind(&layout, &[frame, &app.places, &app.labels, &app.smoothed]);
    let paper = wgpu::Color { r: 0.97, g: 0.97, b: 0.97, a: 1.0 };
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("points"),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(paper), store: wgpu::StoreOp::Store },
        })],
        ..Default::default()
    });
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.draw(0..4, 0..2 * POINTS);
}
