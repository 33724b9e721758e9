//! A network as data: its layers, their shapes, and where each parameter lies.

use std::fmt;

use super::Init;
use super::storage::Channels;
use crate::ops::{NormKind, Window};

/// Height, width and channels of one example at some point of a network. Activations are stored
/// `[n, height, width, channels]`; a vector is a 1×1 image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, or features of a vector.
    pub channels: usize,
}

impl Shape {
    /// An image.
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Elements of one example.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A layer of a network, in topological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub usize);

/// A parameter tensor of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub usize);

/// A parameter tensor: a range of the network's one flat parameter vector.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Layer and role, e.g. `stage1.block1.conv1.weight`.
    pub name: String,
    /// `[kernel_h, kernel_w, in, out]` for convolutions, `[in, out]` for linear layers, `[c]`.
    pub shape: Vec<usize>,
    /// First element in the flat vector.
    pub offset: usize,
    /// Elements of its range in the flat vector: [`Parameter::count`] and the zeros between them,
    /// which pad input and output channels to multiples of four.
    pub len: usize,
    pub(super) inputs: Channels,
    pub(super) outputs: Channels,
    /// Whether weight decay applies: weights yes; biases and norm parameters no.
    pub decays: bool,
    /// Initial values.
    pub init: Init,
}

impl Parameter {
    /// Number of learned values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where element `index` of the tensor, counted in the order of `shape`, lies in the flat
    /// vector.
    pub fn position(&self, index: usize) -> usize {
        let (row, output) = (index / self.outputs.count, index % self.outputs.count);
        let (position, input) = (row / self.inputs.count, row % self.inputs.count);
        let row = position * self.inputs.stored + input;
        self.offset + row * self.outputs.stored + output
    }
}

/// Where the running mean and variance of a BatchNorm layer lie in the network's flat vector of
/// running statistics: `stored` means, then `stored` variances, of which `channels` count.
#[derive(Clone, Debug)]
pub struct RunningStatistics {
    /// Name of the layer.
    pub name: String,
    /// First element.
    pub offset: usize,
    /// Channels.
    pub channels: usize,
    /// Channels with those of zeros behind them.
    pub stored: usize,
}

/// Options of a normalisation layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// What is normalised together.
    pub kind: NormKind,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the new statistics in the running ones at each step (BatchNorm only).
    pub momentum: f32,
    /// Whether there is a learned scale besides the learned shift.
    pub scale: bool,
}

impl Normalisation {
    /// BatchNorm with PyTorch's defaults.
    pub fn batch() -> Self {
        Self { kind: NormKind::Batch, epsilon: 1e-5, momentum: 0.1, scale: true }
    }

    /// BatchNorm as in the official L2RW code: no scale, ε = 0.001, slow running statistics.
    pub fn batch_paper() -> Self {
        Self { epsilon: 1e-3, momentum: 0.001, scale: false, ..Self::batch() }
    }

    /// GroupNorm (Wu and He, 2018) with `groups` groups.
    pub fn group(groups: usize) -> Self {
        Self { kind: NormKind::Group { groups }, ..Self::batch() }
    }
}

/// What a layer computes.
#[derive(Clone, Debug)]
pub enum LayerKind {
    /// The images.
    Input,
    /// Convolution or linear layer.
    Conv {
        /// Geometry.
        window: Window,
        /// `[kernel_h, kernel_w, in, out]`.
        weight: ParameterId,
        /// `[out]`.
        bias: Option<ParameterId>,
    },
    /// Normalisation, with a ReLU behind it where the network has one.
    Norm {
        /// Options.
        options: Normalisation,
        /// `[c]`; the shift follows it in the flat parameter vector.
        scale: Option<ParameterId>,
        /// `[c]`.
        shift: ParameterId,
        /// Index into [`Network::running`] for BatchNorm.
        running: Option<usize>,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// max(x, 0).
    Relu,
    /// x·Φ(x), Φ the distribution function of the standard normal distribution.
    Gelu,
    /// Maximum over a window.
    MaxPool(Window),
    /// Mean over the part of a window that lies in the image.
    AveragePool(Window),
    /// First input + shortcut(second input): average pooling over `stride`×`stride` and zero
    /// channels on both sides, or the identity where shapes agree.
    Residual {
        /// Ratio of the sizes.
        stride: usize,
    },
    /// Inverted dropout.
    Dropout {
        /// Share of elements set to zero.
        rate: f32,
    },
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Name, unique within the network.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Where its inputs come from; all earlier layers.
    pub inputs: Vec<LayerId>,
    /// Shape of its output for one example.
    pub shape: Shape,
    /// Whether its parameters stay as they are: [`Network::freeze`].
    pub frozen: bool,
    /// The shape as it lies on the device: where the layers behind allow it, channels of zeros make
    /// their number a multiple of four.
    pub stored: Shape,
}

/// A network that ends in class scores: a small directed acyclic graph of layers.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name for people and files.
    pub name: String,
    /// Layers in topological order; the first is the input, the last gives the class scores.
    pub layers: Vec<Layer>,
    /// Parameter tensors in the order of the layers.
    pub parameters: Vec<Parameter>,
    /// Length of the flat parameter vector, gaps for alignment included.
    pub parameters_len: usize,
    /// BatchNorm's running statistics.
    pub running: Vec<RunningStatistics>,
    /// Length of the flat vector of running statistics.
    pub running_len: usize,
}

impl Network {
    /// Starts a network for images of the given shape.
    pub fn builder(name: &str, input: Shape) -> super::NetworkBuilder {
        super::NetworkBuilder::new(name, input)
    }

    /// Shape of the input images.
    pub fn input(&self) -> Shape {
        self.layers[0].shape
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.output().shape.channels
    }

    /// The layer that gives the class scores.
    pub fn output(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// The parameter behind an id.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0]
    }

    /// Number of learned values, gaps excluded.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::count).sum()
    }

    /// Whether the output for one example depends on the others of its batch, as with BatchNorm's
    /// batch statistics. Decides which of the two routes to the weights is exact.
    pub fn mixes_examples(&self) -> bool {
        let mixes = |layer: &Layer| {
            matches!(
                &layer.kind,
                LayerKind::Norm { options, .. } if options.kind == NormKind::Batch
            )
        };
        self.layers.iter().any(mixes)
    }

    /// The flat parameter vector at the start of training; zero in the gaps.
    pub fn initial_parameters(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.parameters_len];
        for (index, parameter) in self.parameters.iter().enumerate() {
            let drawn = parameter.init.draw(&parameter.shape, seed, index as u64);
            drawn.into_iter().enumerate().for_each(|(i, v)| values[parameter.position(i)] = v);
        }
        values
    }

    /// The flat vector of running statistics at the start of training: means 0, variances 1.
    pub fn initial_running(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.running_len];
        for running in &self.running {
            values[running.offset + running.stored..][..running.stored].fill(1.0);
        }
        values
    }

    /// 1 for elements of the flat parameter vector to which weight decay applies, 0 for others,
    /// those of frozen layers among them.
    pub fn decay_mask(&self) -> Vec<f32> {
        let mut mask = vec![0.0; self.parameters_len];
        for parameter in self.learned_parameters().filter(|p| p.decays) {
            mask[parameter.offset..][..parameter.len].fill(1.0);
        }
        mask
    }

    /// Floating point operations of one forward pass of one example, convolutions and linear
    /// layers only, with those on channels of zeros.
    pub fn forward_flops(&self) -> u64 {
        let flops = |layer: &Layer| match &layer.kind {
            LayerKind::Conv { window, .. } => window.flops(),
            _ => 0,
        };
        self.layers.iter().map(flops).sum()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} parameters, {:.1} MFLOP a forward pass",
            self.name,
            self.parameter_count(),
            self.forward_flops() as f64 * 1e-6
        )?;
        for layer in &self.layers {
            writeln!(f, "  {:<28} {}", layer.name, layer.shape)?;
        }
        Ok(())
    }
}
