//! Weights for another engine's training: activations and output gradients of its layers in, the
//! similarities u and the weights w out. No model of this crate is involved.
//!
//! An engine that has run forward and backward over a training batch of n examples and a clean
//! batch of m has, for every layer with parameters, the layer's input a and the gradient g of its
//! output. From these alone follow
//!
//! ```text
//! u_i = Σ_l ⟨∂f_i/∂θ_l, G_l⟩      w_i = max(u_i, 0) / Σ_k max(u_k, 0)      (0 where the sum is 0)
//! ```
//!
//! (Ren et al., ICML 2018, equations 7 to 9 and 25), where f_i is the loss of training example i
//! and G the gradient of the mean clean loss. u is exact where no layer mixes examples, and an
//! approximation where a [`LayerShape::Norm`] uses the batch's statistics.
//!
//! The output gradients of the training batch are those of Σ f_i, *not* divided by n and not
//! weighted; those of the clean batch are of the mean, so they carry 1/m. A common factor of either
//! changes u by that factor and leaves w as it is.
//!
//! All tensors are f32 and lie as `[batch, height, width, channels]`, channels last.

use std::collections::HashSet;

use thiserror::Error;

use crate::gpu::{
    Context, DeviceTensors, ElementType, Executable, GpuError, Recorder, Recording, TensorId,
    Tuning,
};
use crate::ops::norm::{GradientSums, Norm};
use crate::ops::{self, NormKind, View, Window};

const INPUT: &str = "input";
const OUTPUT_GRADIENT: &str = "output gradient";

/// What a layer with parameters computes: decides what its tensors look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerShape {
    /// y = W·x, without its bias. Input `[batch, inputs]`, output gradient `[batch, outputs]`.
    Linear {
        /// Features of the input.
        inputs: usize,
        /// Features of the output.
        outputs: usize,
    },
    /// Convolution, without its bias. Input `[batch, h, w, in]`, output gradient
    /// `[batch, h', w', out]`. A linear layer at each of p positions is one of a 1×1 kernel over a
    /// 1×p image: `Window::padded(1, p, inputs, outputs, 1, 1, 0)`.
    Conv(Window),
    /// Bias of a linear layer (1 position) or convolution (h'·w' positions). No input, output
    /// gradient `[batch, positions, channels]`.
    Bias {
        /// Positions of an example.
        positions: usize,
        /// Channels.
        channels: usize,
    },
    /// Scales and shifts of a normalisation. Input `[batch, positions, channels]` *before* the
    /// normalisation, and the gradient of the output (before any ReLU), of the same shape.
    Norm {
        /// BatchNorm by the batch's own statistics, or GroupNorm; LayerNorm over positions and
        /// channels is GroupNorm with one group.
        kind: NormKind,
        /// Positions of an example.
        positions: usize,
        /// Channels.
        channels: usize,
        /// Added to the variance.
        epsilon: f32,
        /// Whether there are learned scales besides the shifts.
        scale: bool,
    },
}

impl LayerShape {
    /// Elements of one example's input and output; `None` where no input is needed.
    fn lens(&self) -> (Option<usize>, usize) {
        match self {
            Self::Linear { inputs, outputs } => (Some(*inputs), *outputs),
            Self::Conv(window) => (Some(window.input_len()), window.output_len()),
            Self::Bias { positions, channels } => (None, positions * channels),
            Self::Norm { positions, channels, .. } => {
                (Some(positions * channels), positions * channels)
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let (input, output) = self.lens();
        if input == Some(0) || output == 0 {
            return Err("it has a dimension of 0".into());
        }
        match self {
            Self::Conv(w) if w.kernel_h * w.kernel_w * w.stride == 0 => {
                Err("kernel and stride must be at least 1".into())
            }
            Self::Norm { kind: NormKind::Group { groups }, channels, .. }
                if *groups == 0 || !channels.is_multiple_of(*groups) =>
            {
                Err(format!("{channels} channels do not split into {groups} groups"))
            }
            _ => Ok(()),
        }
    }
}

/// One layer's tensors of one batch. Offsets are multiples of the device's
/// `min_storage_buffer_offset_alignment` (256 bytes hold everywhere), the buffers have the usage
/// `STORAGE`.
#[derive(Clone, Copy, Debug)]
pub struct LayerBatch<'a> {
    /// What the layer was given; `None` for a bias.
    pub input: Option<wgpu::BufferSlice<'a>>,
    /// Gradient of what it gave.
    pub output_gradient: wgpu::BufferSlice<'a>,
}

/// A layer with its tensors of both batches.
#[derive(Clone, Debug)]
pub struct LayerTensors<'a> {
    /// For errors, printed plans and debuggers; unique.
    pub name: &'a str,
    /// What it computes.
    pub layer: LayerShape,
    /// Of the n training examples.
    pub train: LayerBatch<'a>,
    /// Of the m clean examples.
    pub clean: LayerBatch<'a>,
}

/// Why weights cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayerWeightsError {
    /// No layers, or a batch of 0 examples.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A layer that makes no sense, or a tensor that does not fit it.
    #[error("layer '{layer}': {reason}")]
    LayerShape {
        /// Its name.
        layer: String,
        /// What is wrong.
        reason: String,
    },
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl<'a> LayerTensors<'a> {
    /// The entry for the bias that is added to what this layer computes: the same output
    /// gradients, without input.
    #[must_use]
    pub fn bias(&self, name: &'a str) -> Self {
        let (positions, channels) = match self.layer {
            LayerShape::Linear { outputs, .. } => (1, outputs),
            LayerShape::Conv(window) => (window.out_positions(), window.out_channels),
            LayerShape::Bias { positions, channels }
            | LayerShape::Norm { positions, channels, .. } => (positions, channels),
        };
        let without_input = |batch: LayerBatch<'a>| LayerBatch { input: None, ..batch };
        Self {
            name,
            layer: LayerShape::Bias { positions, channels },
            train: without_input(self.train),
            clean: without_input(self.clean),
        }
    }
}

/// The computation from layers' tensors to weights, bound to buffers and encoded every step.
#[derive(Debug)]
pub struct LayerWeights {
    executable: Executable,
    n: usize,
    m: usize,
    layers: Vec<(String, LayerShape)>,
    similarities: wgpu::Buffer,
    weights: wgpu::Buffer,
}

impl LayerWeights {
    /// Prepares the computation for n training and m clean examples. The buffers are read whenever
    /// it runs.
    ///
    /// # Errors
    /// [`LayerWeightsError`] where a layer or its tensors do not fit, by name; the device's errors.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        context: &Context,
        n: usize,
        m: usize,
        layers: &[LayerTensors<'_>],
    ) -> Result<Self, LayerWeightsError> {
        pollster::block_on(Self::new_async(context, n, m, layers))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`LayerWeights::new`].
    pub async fn new_async(
        context: &Context,
        n: usize,
        m: usize,
        layers: &[LayerTensors<'_>],
    ) -> Result<Self, LayerWeightsError> {
        check(n, m, layers)?;
        let mut rec = Recorder::new();
        rec.trust(true);
        // G, the weights of the convolutions here, is transient: no buffer for uniforms.
        rec.tune(Tuning { uniform_weights: false, ..Tuning::of(context) });
        let mut planner = Planner { rec, tensors: device_tensors(layers), n, m };
        // Only its place counts where no ReLU follows; its content does not.
        let channels = layers.iter().map(|l| l.layer.lens().1).max().unwrap_or(1);
        let affine = context
            .allocate("affine parameters", 8 * channels as u64, wgpu::BufferUsages::STORAGE)
            .await?;
        let (u, weights) = planner.record(layers, &affine);
        planner.rec.keep(u, "similarities");
        planner.rec.keep(weights, "weights");
        let recording = planner.rec.finish()?;
        let executable = Executable::of(context, recording, &planner.tensors).await?;
        let buffer = |id: TensorId, label: &str| {
            let buffer = executable.buffer(id).cloned();
            buffer.ok_or_else(|| GpuError::MissingTensor(label.to_owned()))
        };
        let (similarities, weights) = (buffer(u, "similarities")?, buffer(weights, "weights")?);
        let layers = layers.iter().map(|l| (l.name.to_owned(), l.layer)).collect();
        Ok(Self { executable, n, m, layers, similarities, weights })
    }

    /// Reads other tensors from now on, of the same layers: for an engine whose allocator places
    /// them anew at every step. Nothing is copied; a layer whose tensors have not moved costs
    /// nothing. What is encoded already reads those that were bound then.
    ///
    /// # Errors
    /// [`LayerWeightsError`] where these are not the layers of [`LayerWeights::new`] or their
    /// tensors do not fit. The former tensors stay bound then.
    pub fn rebind(
        &mut self,
        context: &Context,
        layers: &[LayerTensors<'_>],
    ) -> Result<(), LayerWeightsError> {
        check(self.n, self.m, layers)?;
        self.check_same(layers)?;
        Ok(self.executable.rebind(context, &device_tensors(layers))?)
    }

    fn check_same(&self, layers: &[LayerTensors<'_>]) -> Result<(), LayerWeightsError> {
        let is_same = |(name, layer): &(String, LayerShape), l: &LayerTensors<'_>| {
            name == l.name && *layer == l.layer
        };
        let fail = |name: &str, reason: &str| {
            let (layer, reason) = (name.to_owned(), reason.to_owned());
            Err(LayerWeightsError::LayerShape { layer, reason })
        };
        if let Some(new) = layers.iter().find(|l| !self.layers.iter().any(|own| is_same(own, l))) {
            return fail(new.name, "no layer of this name and shape was bound before");
        }
        match self.layers.iter().find(|own| !layers.iter().any(|l| is_same(own, l))) {
            Some((name, _)) => fail(name, "its tensors are missing"),
            None => Ok(()),
        }
    }

    /// Encodes the computation into the engine's own pass, after those that write the tensors.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.executable.encode(pass);
    }

    /// u, `[n]` f32: ⟨∇f_i, G⟩ of the last run.
    pub fn similarities(&self) -> &wgpu::Buffer {
        &self.similarities
    }

    /// w, `[n]` f32, of the last run. Sums to 1, or is all 0 where no example helps.
    pub fn weights(&self) -> &wgpu::Buffer {
        &self.weights
    }

    /// Device memory in bytes that was allocated for the computation, the engine's tensors not
    /// counted.
    pub fn memory_bytes(&self) -> u64 {
        self.executable.allocated_bytes()
    }

    /// The computation as plain data.
    pub fn recording(&self) -> &Recording {
        self.executable.recording()
    }
}

fn check(n: usize, m: usize, layers: &[LayerTensors<'_>]) -> Result<(), LayerWeightsError> {
    let sizes = [("the training batch", n), ("the clean batch", m), ("the list", layers.len())];
    if let Some((what, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
        return Err(LayerWeightsError::Empty(what));
    }
    let mut names = HashSet::new();
    for tensors in layers {
        let fail =
            |reason| Err(LayerWeightsError::LayerShape { layer: tensors.name.to_owned(), reason });
        if !names.insert(tensors.name) {
            return fail("two layers have this name".into());
        }
        if let Err(reason) = tensors.layer.check() {
            return fail(reason);
        }
        let (input, output) = tensors.layer.lens();
        for (which, batch, examples) in
            [("training", tensors.train, n), ("clean", tensors.clean, m)]
        {
            if batch.input.is_some() != input.is_some() {
                let wanted = if input.is_some() { "needs" } else { "takes no" };
                return fail(format!("it {wanted} input in the {which} batch"));
            }
            let parts = [
                (INPUT, batch.input, input.unwrap_or(0)),
                (OUTPUT_GRADIENT, Some(batch.output_gradient), output),
            ];
            for (what, slice, len) in parts {
                let needed = 4 * (examples * len) as u64;
                if let Some(found) = slice.map(|s| s.size()).filter(|size| *size < needed) {
                    let reason = format!("{needed} bytes are needed, the slice has {found}");
                    return fail(format!("{what} of the {which} batch: {reason}"));
                }
            }
        }
    }
    Ok(())
}

/// The layers' tensors by the labels that they have in the recording.
fn device_tensors(layers: &[LayerTensors<'_>]) -> DeviceTensors {
    let mut tensors = DeviceTensors::new();
    for layer in layers {
        for (which, batch) in [("train", layer.train), ("clean", layer.clean)] {
            tensors.insert_slice(label(layer, which, OUTPUT_GRADIENT), batch.output_gradient);
            if let Some(input) = batch.input {
                tensors.insert_slice(label(layer, which, INPUT), input);
            }
        }
    }
    tensors
}

fn label(layer: &LayerTensors<'_>, which: &str, what: &str) -> String {
    format!("{}/{which}/{what}", layer.name)
}

struct Planner {
    rec: Recorder,
    tensors: DeviceTensors,
    n: usize,
    m: usize,
}

/// A layer's tensors of one batch in the recording.
#[derive(Clone, Copy)]
struct Bound {
    examples: usize,
    /// The output gradient where there is no input.
    x: TensorId,
    dy: TensorId,
}

impl Planner {
    /// u and w.
    fn record(
        &mut self,
        layers: &[LayerTensors<'_>],
        affine: &wgpu::Buffer,
    ) -> (TensorId, TensorId) {
        self.rec.stage("similarity");
        let pitch = self.n.next_multiple_of(64);
        let parts = self.rec.transient("similarities", layers.len() * pitch);
        for (row, tensors) in layers.iter().enumerate() {
            self.rec.label(tensors.name);
            let train = self.bind(tensors, "train", self.n);
            let clean = self.bind(tensors, "clean", self.m);
            let out = View { tensor: parts, offset: row * pitch, len: self.n };
            match tensors.layer {
                LayerShape::Linear { inputs, outputs } => {
                    self.conv(&Window::linear(inputs, outputs), train, clean, out);
                }
                LayerShape::Conv(window) => self.conv(&window, train, clean, out),
                LayerShape::Bias { positions, channels } => {
                    self.bias(positions, channels, train, clean, out);
                }
                LayerShape::Norm { channels, .. } => {
                    let label = format!("{}/affine", tensors.name);
                    self.tensors.insert(label.clone(), affine.clone());
                    let affine = self.rec.external(label, ElementType::F32, 2 * channels);
                    self.norm(&tensors.layer, affine, train, clean, out);
                }
            }
        }
        self.rec.stage("weights");
        self.rec.label("");
        let u = ops::example_weights::sum_parts(&mut self.rec, self.n, pitch, parts);
        let largest = ops::example_weights::largest(&mut self.rec, u);
        let total = ops::example_weights::sum_scaled(&mut self.rec, u, largest);
        (u, ops::example_weights::normalise(&mut self.rec, u, largest, total))
    }

    fn bind(&mut self, tensors: &LayerTensors<'_>, which: &str, examples: usize) -> Bound {
        let (input, output) = tensors.layer.lens();
        let mut external = |what: &str, len: usize| {
            self.rec.external(label(tensors, which, what), ElementType::F32, examples * len)
        };
        let dy = external(OUTPUT_GRADIENT, output);
        let x = input.map_or(dy, |len| external(INPUT, len));
        Bound { examples, x, dy }
    }

    fn conv(&mut self, window: &Window, train: Bound, clean: Bound, out: View) {
        let (rec, n, m) = (&mut self.rec, self.n, self.m);
        if ops::gram::is_cheaper(window, n, m) {
            let clean = ops::gram::Clean { m, x: clean.x, dy: clean.dy };
            return ops::gram::similarity(rec, window, n, train.x, train.dy, clean, out);
        }
        let gradient = rec.transient("clean gradient", window.weight_len());
        let g = View::whole(rec, gradient);
        ops::conv::weight_gradient(rec, window, m, clean.x, clean.dy, None, g);
        ops::conv::similarity(rec, window, n, train.x, train.dy, g, out);
    }

    fn bias(&mut self, positions: usize, channels: usize, train: Bound, clean: Bound, out: View) {
        let rec = &mut self.rec;
        let gradient = rec.transient("clean gradient", channels);
        let g = View::whole(rec, gradient);
        let sums = ops::bias::position_sums(rec, clean.dy, positions, channels);
        ops::bias::gradient(rec, sums, None, g);
        let sums = ops::bias::position_sums(rec, train.dy, positions, channels);
        ops::bias::similarity(rec, sums, g, out);
    }

    fn norm(
        &mut self,
        layer: &LayerShape,
        affine: TensorId,
        train: Bound,
        clean: Bound,
        out: View,
    ) {
        let LayerShape::Norm { kind, positions, channels, epsilon, scale } = *layer else { return };
        let rec = &mut self.rec;
        let len = if scale { 2 * channels } else { channels };
        let affine = View { tensor: affine, offset: 0, len };
        let mut sums = |bound: Bound| -> GradientSums {
            let n = bound.examples;
            let norm = Norm {
                kind,
                n,
                whole: None,
                positions,
                channels,
                epsilon,
                has_scale: scale,
                relu: false,
            };
            let moments = ops::norm::statistics(rec, &norm, bound.x, None);
            ops::norm::gradient_sums(rec, &norm, bound.x, moments, affine, bound.dy)
        };
        let (train, mut clean) = (sums(train), sums(clean));
        let gradient = rec.transient("clean gradient", len);
        let g = View::whole(rec, gradient);
        ops::norm::parameter_gradient(rec, &mut clean, affine, None, g);
        ops::norm::similarity(rec, &train, g, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_weights_move_between_threads() {
        fn assert_send<T: Send>() {}
        assert_send::<LayerWeights>();
    }
}
