//! The engine: forward, backward and update of a small perceptron.

use anyhow::Result;
use l2rw::gpu::{Context, read_back};
use wgpu::util::DeviceExt;

pub const FEATURES: usize = 2;
pub const HIDDEN: usize = 32;
pub const CLASSES: usize = 3;
const LEARNING_RATE: f32 = 0.5;

/// Parameters and pipelines.
pub struct Engine {
    forward: wgpu::ComputePipeline,
    loss_gradient: wgpu::ComputePipeline,
    backward: wgpu::ComputePipeline,
    update_weight: wgpu::ComputePipeline,
    update_bias: wgpu::ComputePipeline,
    first: [wgpu::Buffer; 2],
    second: [wgpu::Buffer; 2],
}

/// A batch and what the passes over it leave behind.
pub struct Activations {
    examples: usize,
    pub points: wgpu::Buffer,
    labels: wgpu::Buffer,
    pub hidden: wgpu::Buffer,
    scores: wgpu::Buffer,
    pub score_gradient: wgpu::Buffer,
    pub hidden_gradient: wgpu::Buffer,
}

impl Engine {
    pub fn new(context: &Context) -> Self {
        let source = wgpu::include_wgsl!("engine.wgsl");
        let module = context.device.create_shader_module(source);
        let pipeline = |entry| {
            context.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: None,
                module: &module,
                entry_point: Some(entry),
                compilation_options: Default::default(),
                cache: None,
            })
        };
        let initial = |len: usize, scale: f32, seed: u32| -> Vec<f32> {
            (0..len as u32).map(|i| scale * (2.0 * super::random(i, seed) - 1.0)).collect()
        };
        Self {
            forward: pipeline("forward"),
            loss_gradient: pipeline("loss_gradient"),
            backward: pipeline("backward"),
            update_weight: pipeline("update_weight"),
            update_bias: pipeline("update_bias"),
            first: [initial(FEATURES * HIDDEN, 1.0, 7), initial(HIDDEN, 0.5, 8)]
                .map(|values| upload(context, &values)),
            second: [initial(HIDDEN * CLASSES, 0.3, 9), vec![0.0; CLASSES]]
                .map(|values| upload(context, &values)),
        }
    }

    pub fn upload(&self, context: &Context, values: &[f32]) -> wgpu::Buffer {
        upload(context, values)
    }

    pub fn batch(&self, context: &Context, points: &[f32], labels: &[u32]) -> Activations {
        let examples = labels.len();
        let empty = |len: usize| upload(context, &vec![0.0f32; examples * len]);
        Activations {
            examples,
            points: upload(context, points),
            labels: upload(context, labels),
            hidden: empty(HIDDEN),
            scores: empty(CLASSES),
            score_gradient: empty(CLASSES),
            hidden_gradient: empty(HIDDEN),
        }
    }

    /// Both passes over a batch, gradients multiplied by `factor`.
    pub fn forward_backward(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        batch: &Activations,
        factor: f32,
    ) {
        let n = batch.examples;
        let [weight, bias] = &self.first;
        let mut run = |pipeline, layer, buffers: &[&wgpu::Buffer], invocations| {
            dispatch(context, encoder, pipeline, layer, buffers, invocations);
        };
        let first =
            LayerShape { examples: n, inputs: FEATURES, outputs: HIDDEN, relu: true, factor };
        run(&self.forward, first, &[&batch.points, weight, bias, &batch.hidden], n * HIDDEN);
        let second =
            LayerShape { examples: n, inputs: HIDDEN, outputs: CLASSES, relu: false, factor };
        let [weight, bias] = &self.second;
        run(&self.forward, second, &[&batch.hidden, weight, bias, &batch.scores], n * CLASSES);
        let loss = [&batch.scores, &batch.labels, &batch.score_gradient];
        run(&self.loss_gradient, second, &loss, n);
        let gradients = [&batch.hidden, weight, &batch.score_gradient, &batch.hidden_gradient];
        run(&self.backward, second, &gradients, n * HIDDEN);
    }

    /// A step along the gradient of the weighted loss.
    pub fn update(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        batch: &Activations,
        weights: &wgpu::Buffer,
    ) {
        let layers = [
            (&self.first, &batch.points, &batch.hidden_gradient, FEATURES, HIDDEN),
            (&self.second, &batch.hidden, &batch.score_gradient, HIDDEN, CLASSES),
        ];
        for ([weight, bias], x, gradient, inputs, outputs) in layers {
            let factor = LEARNING_RATE;
            let layer =
                LayerShape { examples: batch.examples, inputs, outputs, relu: false, factor };
            let buffers = [x, gradient, weights, weight];
            dispatch(context, encoder, &self.update_weight, layer, &buffers, inputs * outputs);
            let buffers = [gradient, weights, bias];
            dispatch(context, encoder, &self.update_bias, layer, &buffers, outputs);
        }
    }

    /// The class with the largest score of each example at its last forward pass.
    pub fn predictions(&self, context: &Context, batch: &Activations) -> Result<Vec<u32>> {
        let words = read_back(context, &batch.scores, batch.scores.size())?;
        let scores: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
        let best = |row: &[f32]| {
            (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as u32
        };
        Ok(scores.chunks(CLASSES).map(best).collect())
    }
}

/// `LayerShape` in `examples/own_engine/engine.wgsl`.
#[derive(Clone, Copy)]
struct LayerShape {
    examples: usize,
    inputs: usize,
    outputs: usize,
    relu: bool,
    factor: f32,
}

fn dispatch(
    context: &Context,
    encoder: &mut wgpu::CommandEncoder,
    pipeline: &wgpu::ComputePipeline,
    layer: LayerShape,
    buffers: &[&wgpu::Buffer],
    invocations: usize,
) {
    let words = [layer.examples as u32, layer.inputs as u32, layer.outputs as u32];
    let words =
        [words.as_slice(), &[u32::from(layer.relu), layer.factor.to_bits(), 0, 0, 0]].concat();
    let uniform = context.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(&words),
        usage: wgpu::BufferUsages::UNIFORM,
    });
    let bound = std::iter::once(&uniform).chain(buffers.iter().copied());
    let entries: Vec<_> = (0u32..)
        .zip(bound)
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(invocations.div_ceil(64) as u32, 1, 1);
}

fn upload<T: bytemuck::Pod>(context: &Context, values: &[T]) -> wgpu::Buffer {
    context.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(values),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
    })
}
