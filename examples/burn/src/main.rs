//! L2RW inside burn, on one device: `LayerWeights` reads burn's activations and gradients where
//! they lie. Beside it burn alone: plain training, and weights by a gradient for each example.
//!
//! cd examples/burn && cargo run --release

mod alone;
mod data;
mod model;

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use burn::backend::Cube;
use burn::backend::wgpu::WgpuResource;
use burn::cubecl::wgpu::{AutoCompiler, WgpuServer};
use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use cubecl_runtime::storage::ManagedResource;
use l2rw::gpu::{Context, ShaderChecks};
use l2rw::layer_weights::{LayerBatch, LayerShape, LayerTensors, LayerWeights};

use data::{Batch, Data};
use model::{Mlp, losses};

const N: usize = 100;
const M: usize = 100;
const STEPS: usize = 500;
/// Not timed: these steps compile.
const FIRST: usize = 20;

fn main() -> Result<()> {
    // burn opens the device, since it asks more of it than the crate does.
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    let adapter = setup.adapter.get_info();
    let context = Context::from_device(setup.device, setup.queue, adapter, ShaderChecks::default());
    println!("{}", context.describe());
    device.seed(1);
    let tracked = device.clone().autodiff();
    let (data, initial) = (Data::new(M, &tracked), Mlp::new(&tracked));
    let uniform = Tensor::full([N], 1.0 / N as f32, &device);
    let plain = train(&device, &data, initial.clone(), |_, _| Ok(uniform.clone()))?;
    report("burn's plain training", &plain, &data);
    let mut weights: Option<LayerWeights> = None;
    let mut learned = |model: &Mlp, batch: &Batch| {
        let traces = [trace(model, batch)?, trace(model, &data.clean)?];
        let layers = layers(model, &traces);
        let weights = match &mut weights {
            // burn's allocator places tensors anew at every step.
            Some(weights) => weights.rebind(&context, &layers).map(|()| weights)?,
            none => none.insert(LayerWeights::new(&context, N, M, &layers)?),
        };
        let result = Tensor::empty([N], &device);
        let place = view(result.clone())?;
        // What burn has recorded so far has to run before what reads it.
        device.flush()?;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        weights.encode(&mut encoder.begin_compute_pass(&Default::default()));
        let (to, size) = (place.resource(), 4 * N as u64);
        encoder.copy_buffer_to_buffer(weights.weights(), 0, &to.buffer, to.offset, size);
        context.submit(encoder);
        Ok(result)
    };
    let trained = train(&device, &data, initial.clone(), &mut learned)?;
    report("with learned weights", &trained, &data);
    for model in [&initial, &plain.0, &trained.0] {
        let batch = data.batch(N);
        alone::compare(learned(model, &batch)?, model, &batch, &data.clean)?;
    }
    Ok(())
}

/// A model after all steps, and the seconds of one. `weights` gives those of a batch, `[N]`.
fn train(
    device: &Device,
    data: &Data,
    mut model: Mlp,
    mut weights: impl FnMut(&Mlp, &Batch) -> Result<Tensor<1>>,
) -> Result<(Mlp, f64)> {
    device.seed(2);
    let mut optimizer = SgdConfig::new().init();
    let mut start = Instant::now();
    for step in 0..STEPS {
        if step == FIRST {
            device.sync()?;
            start = Instant::now();
        }
        let batch = data.batch(N);
        let weights = weights(&model, &batch)?.autodiff();
        let loss = (losses(model.forward(batch.examples), &batch.labels) * weights).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.1, model, gradients);
    }
    device.sync()?;
    Ok((model, start.elapsed().as_secs_f64() / (STEPS - FIRST) as f64))
}

fn report(how: &str, (model, seconds): &(Mlp, f64), data: &Data) {
    let error = 100.0 * model.error(&data.test);
    println!("{how}: test error {error:.1} %, {seconds:.4} s a step");
}

/// Where a tensor lies, which stays there as long as this is held.
type View = ManagedResource<WgpuResource>;

fn view<const D: usize>(tensor: Tensor<D>) -> Result<View> {
    let tensor = tensor.try_into_primitive::<Cube>().map_err(|error| anyhow!("{error:?}"))?;
    ensure!(tensor.is_contiguous(), "{tensor:?} is not contiguous");
    Ok(tensor.client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle)?)
}

/// Each layer's input and the gradient of its output, of the sum of the losses.
fn trace(model: &Mlp, batch: &Batch) -> Result<Vec<[View; 2]>> {
    let mut seen = Vec::new();
    let model = model.clone().no_grad();
    let scores = model.forward_through(batch.examples.clone(), |input, output| {
        // burn keeps the gradients of leaves. This one's is that of the output it is added to.
        let leaf = output.zeros_like().require_grad();
        seen.push((input, leaf.clone()));
        output + leaf
    });
    let mut gradients = losses(scores, &batch.labels).sum().backward();
    let views = seen.into_iter().map(|(input, leaf)| {
        let gradient = leaf.grad_remove(&mut gradients).context("a layer without gradient")?;
        Ok([view(input.inner())?, view(gradient)?])
    });
    views.collect()
}

fn layers<'a>(model: &Mlp, [train, clean]: &'a [Vec<[View; 2]>; 2]) -> Vec<LayerTensors<'a>> {
    let names = [["first", "first bias"], ["second", "second bias"], ["third", "third bias"]];
    let slice = |view: &'a View| {
        let part = view.resource();
        part.buffer.slice(part.offset..part.offset + part.size)
    };
    let batch = |[input, gradient]: &'a [View; 2]| LayerBatch {
        input: Some(slice(input)),
        output_gradient: slice(gradient),
    };
    let mut layers = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let [inputs, outputs] = model.layers[at].weight.dims();
        let layer = LayerShape::Linear { inputs, outputs };
        let (train, clean) = (batch(&train[at]), batch(&clean[at]));
        let weights = LayerTensors { name: name[0], layer, train, clean };
        layers.extend([weights.bias(name[1]), weights]);
    }
    layers
}
