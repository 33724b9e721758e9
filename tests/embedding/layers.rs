//! Weights from the inputs and output gradients of another engine's layers.

use l2rw::gpu::{
    Context, DeviceTensors, Executable, Lifetime, Recording, ShaderChecks, TensorId, Tuning,
};
use l2rw::layer_weights::{LayerBatch, LayerShape, LayerTensors, LayerWeights, LayerWeightsError};
use l2rw::nn::{LayerKind, Network};
use l2rw::ops::{NormKind, Step, Window};
use l2rw::plan::{Input, Optimizer, Route, TrainingOptions, training};
use l2rw::weighting::L2rw;

use super::levels::{M, N, floats, network, storage_only};
use crate::common::device::{self, context};
use crate::common::values;

/// One iteration on fixed data whose tensors can all be read afterwards.
struct Traced {
    executable: Executable,
    similarities: TensorId,
    weights: TensorId,
}

impl Traced {
    fn run(context: &Context, network: &Network) -> Self {
        let plan = training(
            network,
            &TrainingOptions {
                batch: N,
                clean_batch: M,
                weighting: L2rw { route: Some(Route::PerLayer), ..L2rw::default() }.into(),
                optimizer: Optimizer::ADAMW,
                tuning: Tuning::of(context),
                input: Input::Buffers,
            },
        )
        .unwrap();
        let mut recording: Recording = plan.recording.clone();
        for tensor in &mut recording.tensors {
            if tensor.lifetime == Lifetime::Transient {
                tensor.lifetime = Lifetime::Output;
            }
        }
        let mut externals = DeviceTensors::new();
        let external = |t: &&l2rw::gpu::Tensor| t.lifetime == Lifetime::External;
        for (tag, tensor) in (7u32..).zip(recording.tensors.iter().filter(external)) {
            let words: Vec<u32> = match tensor.label.as_str() {
                "parameters" => {
                    network.initial_parameters(3).into_iter().map(f32::to_bits).collect()
                }
                "uniform/clean" => vec![(1.0 / M as f32).to_bits(); M],
                label if label.ends_with("labels") => {
                    (0..tensor.len as u32).map(|i| (i + tag) % 5).collect()
                }
                label if label.ends_with("images") => {
                    let values = values::values(tag, tensor.len);
                    values.into_iter().map(|v| (v as f32).to_bits()).collect()
                }
                _ => vec![0; tensor.len],
            };
            let buffer = device::upload(context, &words, Lifetime::External);
            externals.insert(tensor.label.clone(), buffer);
        }
        let step = [Step { first_correction: 0.1, second_correction: 0.001, ..Step::default() }];
        let step = device::upload(context, bytemuck::cast_slice(&step), Lifetime::ExternalUniform);
        externals.insert("step", step);
        let executable = Executable::new(context, recording, &externals).unwrap();
        let mut encoder = context.device.create_command_encoder(&Default::default());
        executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context.queue.submit([encoder.finish()]);
        Self { executable, similarities: plan.similarities.unwrap(), weights: plan.weights }
    }

    /// The buffer at a binding of the `nth` dispatch of these kernels in a stage of a layer.
    fn bound(
        &self,
        stage: &str,
        layer: &str,
        kernels: &[&str],
        nth: usize,
        binding: usize,
    ) -> Option<wgpu::Buffer> {
        let dispatches = self.executable.recording().dispatches.iter();
        let wanted = |kernel: String| kernels.contains(&kernel.as_str());
        let mut found = dispatches
            .filter(|d| d.stage == stage && d.label == layer && wanted(d.kernel.to_string()));
        found.nth(nth).and_then(|d| self.executable.buffer(d.bindings[binding].tensor).cloned())
    }

    /// Input and output gradient of the training and the clean batch, from wherever the form of the
    /// similarity that the plan chose binds them.
    fn conv_batches(&self, layer: &str) -> [Owned; 2] {
        // Where loads are shared, a product may be a linear layer's input gradient.
        let products = ["matmul::nt", "conv::transposed"];
        let product = |nth, place| self.bound("similarity", layer, &products, nth, place);
        if let (Some(train), Some(clean)) = (product(1, 0), product(1, 1)) {
            return [(product(0, 0), train), (product(0, 1), clean)];
        }
        let pixels = |place| self.bound("similarity", layer, &["gram::pixel_dots"], 0, place);
        if let (Some(train), Some(clean)) = (pixels(1), pixels(3)) {
            return [(pixels(0), train), (pixels(2), clean)];
        }
        let train = |place| self.bound("similarity", layer, &["conv::similarity"], 0, place);
        let kernels = ["conv_weight_gradient::split_sums"];
        let clean = |place| self.bound("clean", layer, &kernels, 0, place);
        [(train(0), train(2).unwrap()), (clean(0), clean(1).unwrap())]
    }
}

/// Input and output gradient of a layer.
type Owned = (Option<wgpu::Buffer>, wgpu::Buffer);

fn layer_batch((input, gradient): &Owned) -> LayerBatch<'_> {
    LayerBatch {
        input: input.as_ref().map(|buffer| buffer.slice(..)),
        output_gradient: gradient.slice(..),
    }
}

#[test]
fn weights_from_another_engines_layers_equal_those_of_the_whole_iteration() {
    let context = context(ShaderChecks::Trusted);
    let network = network();
    let traced = Traced::run(context, &network);
    let mut layers: Vec<(String, LayerShape, [Owned; 2])> = Vec::new();
    for layer in &network.layers {
        let name = layer.name.as_str();
        match &layer.kind {
            LayerKind::Conv { window, bias, .. } => {
                let batches = traced.conv_batches(name);
                if bias.is_some() {
                    let (positions, channels) = (window.out_positions(), window.out_channels);
                    let gradients = batches.clone().map(|(_, gradient)| (None, gradient));
                    let kind = LayerShape::Bias { positions, channels };
                    layers.push((format!("{name} bias"), kind, gradients));
                }
                layers.push((name.to_owned(), LayerShape::Conv(*window), batches));
            }
            LayerKind::Norm { options, .. } => {
                let kind = LayerShape::Norm {
                    kind: options.kind,
                    positions: layer.shape.height * layer.shape.width,
                    channels: layer.stored.channels,
                    epsilon: options.epsilon,
                    scale: options.scale,
                };
                let batch = |stage| {
                    let at = |place| {
                        traced.bound(stage, name, &["norm_chunks::backward_sums"], 0, place)
                    };
                    (at(0), at(3).unwrap())
                };
                layers.push((name.to_owned(), kind, ["backward", "clean"].map(batch)));
            }
            _ => {}
        }
    }
    assert_eq!(layers.len(), 6, "two convolutions, a linear layer, two biases, a norm");
    let tensors: Vec<LayerTensors<'_>> = layers
        .iter()
        .map(|(name, layer, [train, clean])| LayerTensors {
            name,
            layer: *layer,
            train: layer_batch(train),
            clean: layer_batch(clean),
        })
        .collect();
    let primitive = LayerWeights::new(context, N, M, &tensors).unwrap();
    let mut encoder = context.device.create_command_encoder(&Default::default());
    primitive.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue.submit([encoder.finish()]);
    let expected = |id| floats(context, traced.executable.buffer(id).unwrap(), N);
    for (found, expected) in [
        (floats(context, primitive.similarities(), N), expected(traced.similarities)),
        (floats(context, primitive.weights(), N), expected(traced.weights)),
    ] {
        let largest = expected.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(largest > 1e-4, "{expected:?}");
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() <= 2e-6 * largest, "{found:?}, expected {expected:?}");
        }
    }
}

#[test]
fn layers_that_do_not_fit_are_refused_by_name() {
    let context = context(ShaderChecks::Trusted);
    let buffer = storage_only(context, &[0; 1024]);
    let batch = LayerBatch { input: Some(buffer.slice(..)), output_gradient: buffer.slice(..) };
    let linear = LayerShape::Linear { inputs: 8, outputs: 3 };
    let tensors = LayerTensors { name: "fc", layer: linear, train: batch, clean: batch };
    let refused = |layers: &[LayerTensors<'_>], n| {
        LayerWeights::new(context, n, 2, layers).unwrap_err().to_string()
    };
    assert!(LayerWeights::new(context, 4, 2, std::slice::from_ref(&tensors)).is_ok());
    assert!(matches!(LayerWeights::new(context, 4, 2, &[]), Err(LayerWeightsError::Empty(_))));
    let message = refused(std::slice::from_ref(&tensors), 40);
    assert!(message.contains("'fc'") && message.contains("1280"), "{message}");
    let message = refused(&[tensors.clone(), tensors.clone()], 4);
    assert!(message.contains("two layers"), "{message}");
    let inputless = LayerBatch { input: None, ..batch };
    let message = refused(&[LayerTensors { train: inputless, ..tensors.clone() }], 4);
    assert!(message.contains("'fc'") && message.contains("input"), "{message}");
    let kind = NormKind::Group { groups: 3 };
    let norm = LayerShape::Norm { kind, positions: 2, channels: 4, epsilon: 1e-5, scale: true };
    let message = refused(&[LayerTensors { layer: norm, ..tensors.clone() }], 4);
    assert!(message.contains('3') && message.contains('4'), "{message}");
    let unaligned = LayerBatch { output_gradient: buffer.slice(4..), ..batch };
    let message = refused(&[LayerTensors { train: unaligned, ..tensors }], 4);
    assert!(
        message.contains("fc/train/output gradient") && message.contains("multiple"),
        "{message}"
    );
}

/// Inputs and output gradients of a linear layer of 8 inputs and 3 outputs with a bias, both
/// batches, in one buffer: an engine's memory page.
struct Page {
    buffer: wgpu::Buffer,
    /// Where the page begins to hold tensors, and how far they lie apart, in bytes.
    first: u64,
    pitch: u64,
}

impl Page {
    fn new(context: &Context, tag: u32, first: u64, pitch: u64) -> Self {
        let bytes = (first + 4 * pitch) as usize;
        let content: Vec<f32> =
            values::values(tag, bytes / 4).into_iter().map(|v| v as f32).collect();
        Self { buffer: storage_only(context, bytemuck::cast_slice(&content)), first, pitch }
    }

    fn layers(&self) -> [LayerTensors<'_>; 2] {
        let slice = |at| self.buffer.slice(self.first + at * self.pitch..);
        let batch = |at| LayerBatch { input: Some(slice(at)), output_gradient: slice(at + 1) };
        let layer = LayerShape::Linear { inputs: 8, outputs: 3 };
        let weights = LayerTensors { name: "fc", layer, train: batch(0), clean: batch(2) };
        [weights.bias("fc bias"), weights]
    }
}

fn weights_of(context: &Context, primitive: &LayerWeights) -> Vec<f32> {
    let mut encoder = context.device.create_command_encoder(&Default::default());
    primitive.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue.submit([encoder.finish()]);
    floats(context, primitive.weights(), N)
}

#[test]
fn tensors_that_moved_give_the_weights_of_their_new_place() {
    let context = context(ShaderChecks::Trusted);
    let pages = [(1, 0, 512), (2, 256, 1024), (2, 0, 512)];
    let pages = pages.map(|(tag, first, pitch)| Page::new(context, tag, first, pitch));
    let fresh = pages.each_ref().map(|page| {
        weights_of(context, &LayerWeights::new(context, N, M, &page.layers()).unwrap())
    });
    assert!(fresh[0] != fresh[1] && fresh[1] != fresh[2], "{fresh:?}");
    let mut primitive = LayerWeights::new(context, N, M, &pages[0].layers()).unwrap();
    for at in [0, 1, 2, 1, 0] {
        primitive.rebind(context, &pages[at].layers()).unwrap();
        assert_eq!(weights_of(context, &primitive), fresh[at]);
    }
}

#[test]
fn other_layers_than_those_bound_at_first_are_refused_by_name() {
    let context = context(ShaderChecks::Trusted);
    let page = Page::new(context, 1, 0, 512);
    let mut primitive = LayerWeights::new(context, N, M, &page.layers()).unwrap();
    let expected = weights_of(context, &primitive);
    let [bias, weights] = page.layers();
    let transposed = LayerShape::Linear { inputs: 3, outputs: 8 };
    let unaligned = LayerBatch { output_gradient: page.buffer.slice(4..), ..weights.train };
    for (name, part, layers) in [
        ("fc2", "was bound", vec![bias.clone(), LayerTensors { name: "fc2", ..weights.clone() }]),
        (
            "fc",
            "was bound",
            vec![bias.clone(), LayerTensors { layer: transposed, ..weights.clone() }],
        ),
        ("fc bias", "missing", vec![weights.clone()]),
        ("fc/train", "multiple", vec![bias.clone(), LayerTensors { train: unaligned, ..weights }]),
    ] {
        let message = primitive.rebind(context, &layers).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(part), "{message}");
        assert_eq!(weights_of(context, &primitive), expected, "the former tensors stay bound");
    }
}

#[test]
fn the_bias_of_a_layer_has_its_output_gradients_and_no_input() {
    let context = context(ShaderChecks::Trusted);
    let page = Page::new(context, 1, 0, 512);
    let [_, weights] = page.layers();
    let window = Window::padded(4, 3, 2, 5, 3, 2, 1);
    for (layer, positions, channels) in [
        (LayerShape::Linear { inputs: 8, outputs: 3 }, 1, 3),
        (LayerShape::Conv(window), window.out_positions(), 5),
        (LayerShape::Bias { positions: 6, channels: 2 }, 6, 2),
    ] {
        let bias = LayerTensors { layer, ..weights.clone() }.bias("bias");
        assert_eq!((bias.name, bias.layer), ("bias", LayerShape::Bias { positions, channels }));
        assert!(bias.train.input.is_none() && bias.clean.input.is_none());
        assert_eq!(bias.train.output_gradient.offset(), weights.train.output_gradient.offset());
        assert_eq!(bias.clean.output_gradient.offset(), weights.clean.output_gradient.offset());
    }
}
