//! Puts a network together layer by layer.

use thiserror::Error;

use super::storage::{self, Channels};
use super::{
    Init, Layer, LayerId, LayerKind, Network, Normalisation, Parameter, ParameterId,
    RunningStatistics, Shape,
};
use crate::ops::{NormKind, Window};

/// Why a network cannot be built.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("layer '{layer}': {reason}")]
pub struct BuildError {
    /// The layer at fault.
    pub layer: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Padding of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's SAME: as many outputs as inputs, divided by the stride, rounded up.
    Same,
    /// No padding.
    Valid,
    /// This many zeros on every side.
    Zeros(usize),
}

/// Builds a [`Network`] layer by layer. A mistake is remembered and reported by
/// [`NetworkBuilder::build`] with the name of the layer, so that calls can be chained.
#[derive(Debug)]
pub struct NetworkBuilder {
    network: Network,
    error: Option<BuildError>,
    weight_init: Init,
}

impl NetworkBuilder {
    pub(super) fn new(name: &str, input: Shape) -> Self {
        let first = Layer {
            name: "input".into(),
            kind: LayerKind::Input,
            inputs: vec![],
            shape: input,
            frozen: false,
            stored: input,
        };
        let network = Network {
            name: name.into(),
            layers: vec![first],
            parameters: vec![],
            parameters_len: 0,
            running: vec![],
            running_len: 0,
        };
        let mut builder = Self { network, error: None, weight_init: Init::HeFanOut };
        if input.is_empty() {
            builder.fail("input", format!("shape {input} is empty"));
        }
        builder
    }

    /// The images.
    pub fn input(&self) -> LayerId {
        LayerId(0)
    }

    /// Initial values of the convolution weights to come ([`Init::HeFanOut`] unless set).
    pub fn weight_init(&mut self, init: Init) {
        self.weight_init = init;
    }

    /// Convolution with a square kernel, `[n, h, w, c]` → `[n, h', w', filters]`.
    #[allow(clippy::too_many_arguments, reason = "a layer's name, its input and five properties")]
    pub fn conv(
        &mut self,
        name: &str,
        from: LayerId,
        filters: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
        bias: bool,
    ) -> LayerId {
        let Some(window) = self.window(name, from, filters, kernel, stride, padding) else {
            return from;
        };
        let shape = vec![kernel, kernel, window.in_channels, filters];
        self.conv_layer(name, from, window, shape, self.weight_init, bias)
    }

    /// Linear layer with bias on all features of an example, `[n, h, w, c]` → `[n, 1, 1, outputs]`.
    pub fn linear(&mut self, name: &str, from: LayerId, outputs: usize) -> LayerId {
        self.linear_init(name, from, outputs, Init::UniformFanIn)
    }

    /// The same with other initial weights.
    pub fn linear_init(
        &mut self,
        name: &str,
        from: LayerId,
        outputs: usize,
        init: Init,
    ) -> LayerId {
        let inputs = self.shape(from).len();
        if outputs == 0 {
            return self.fail(name, "0 outputs".into());
        }
        let window = Window::linear(inputs, outputs);
        self.conv_layer(name, from, window, vec![inputs, outputs], init, true)
    }

    /// BatchNorm, also with statistics that stay as they are, or GroupNorm.
    pub fn norm(&mut self, name: &str, from: LayerId, options: Normalisation) -> LayerId {
        let shape = self.shape(from);
        let channels = shape.channels;
        if let NormKind::Group { groups } = options.kind
            && (groups == 0 || !channels.is_multiple_of(groups))
        {
            return self
                .fail(name, format!("{channels} channels do not split into {groups} groups"));
        }
        let scale = options.scale.then(|| {
            self.parameter(format!("{name}.scale"), vec![channels], false, Init::Constant(1.0))
        });
        let shift =
            self.parameter(format!("{name}.shift"), vec![channels], false, Init::Constant(0.0));
        let running = options.kind.is_per_channel().then(|| {
            let (name, stored) = (name.to_owned(), channels);
            self.network.running.push(RunningStatistics { name, offset: 0, channels, stored });
            self.network.running.len() - 1
        });
        self.push(
            name,
            LayerKind::Norm { options, scale, shift, running, relu: false },
            vec![from],
            shape,
        )
    }

    /// LayerNorm (Ba, Kiros and Hinton, 2016) of a vector `[n, 1, 1, c]` over its features, with
    /// PyTorch's defaults: ε = 1e-5, a learned scale and shift. It is GroupNorm with one group;
    /// over images the two differ, so that images are refused.
    pub fn layer_norm(&mut self, name: &str, from: LayerId) -> LayerId {
        let shape = self.shape(from);
        if shape.height * shape.width != 1 {
            let reason = "LayerNorm is of vectors, 1x1xfeatures: put it behind a linear layer or a \
                          global average pool, or take GroupNorm";
            return self.fail(name, format!("its input is {shape}; {reason}"));
        }
        self.norm(name, from, Normalisation::group(1))
    }

    /// max(x, 0). Behind a normalisation that feeds nothing else it becomes part of that layer.
    pub fn relu(&mut self, name: &str, from: LayerId) -> LayerId {
        self.push(name, LayerKind::Relu, vec![from], self.shape(from))
    }

    /// x·Φ(x), Φ the distribution function of the standard normal distribution: PyTorch's `GELU`
    /// with its default, no approximation by tanh.
    pub fn gelu(&mut self, name: &str, from: LayerId) -> LayerId {
        self.push(name, LayerKind::Gelu, vec![from], self.shape(from))
    }

    /// Maximum over a square window.
    pub fn max_pool(
        &mut self,
        name: &str,
        from: LayerId,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> LayerId {
        self.pool(name, from, kernel, stride, padding, LayerKind::MaxPool)
    }

    /// Mean over a square window; padding does not count.
    pub fn average_pool(
        &mut self,
        name: &str,
        from: LayerId,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> LayerId {
        self.pool(name, from, kernel, stride, padding, LayerKind::AveragePool)
    }

    /// Mean over all positions, `[n, h, w, c]` → `[n, 1, 1, c]`.
    pub fn global_average_pool(&mut self, name: &str, from: LayerId) -> LayerId {
        let s = self.shape(from);
        let window = Window::global(s.height, s.width, s.channels);
        self.push(name, LayerKind::AveragePool(window), vec![from], Shape::new(1, 1, s.channels))
    }

    /// `main + shortcut`, where a shortcut of another shape is average-pooled and padded with
    /// zero channels (the parameter-free shortcut of He et al., 2016, option A, with pooling).
    pub fn residual(&mut self, name: &str, main: LayerId, shortcut: LayerId) -> LayerId {
        let (to, from) = (self.shape(main), self.shape(shortcut));
        let stride = if to.height == 0 { 0 } else { from.height.div_ceil(to.height) };
        let fits = stride > 0
            && from.height.div_ceil(stride) == to.height
            && from.width.div_ceil(stride) == to.width
            && from.channels <= to.channels;
        if !fits {
            return self.fail(name, format!("a shortcut of shape {from} cannot be added to {to}"));
        }
        self.push(name, LayerKind::Residual { stride }, vec![main, shortcut], to)
    }

    /// Inverted dropout: a share `rate` of elements becomes 0, the others grow by 1 / (1 − rate).
    pub fn dropout(&mut self, name: &str, from: LayerId, rate: f32) -> LayerId {
        if !(0.0..1.0).contains(&rate) {
            return self.fail(name, format!("rate {rate} is not in [0, 1)"));
        }
        if rate == 0.0 {
            return from;
        }
        self.push(name, LayerKind::Dropout { rate }, vec![from], self.shape(from))
    }

    /// Ends the network; the layer added last gives the class scores.
    ///
    /// # Errors
    /// The first mistake, with the name of its layer.
    pub fn build(mut self) -> Result<Network, BuildError> {
        let output = self.network.output();
        let (name, shape) = (output.name.clone(), output.shape);
        if shape.height * shape.width != 1 || shape.channels < 2 {
            self.fail(
                &name,
                format!("class scores must be 1x1xclasses, at least 2; found {shape}"),
            );
        }
        if self.network.parameters.is_empty() {
            self.fail(&name, "the network has nothing to learn".into());
        }
        self.check_names_and_uses();
        match self.error {
            Some(error) => Err(error),
            None => {
                fuse_relus(&mut self.network);
                storage::lay_out(&mut self.network);
                Ok(self.network)
            }
        }
    }

    fn check_names_and_uses(&mut self) {
        let layers = &self.network.layers;
        let mut used = vec![false; layers.len()];
        layers.iter().flat_map(|l| &l.inputs).for_each(|input| used[input.0] = true);
        let unused = layers[..layers.len() - 1].iter().zip(&used).find(|(_, used)| !**used);
        let mut names = std::collections::HashSet::new();
        let twice = layers.iter().find(|l| !names.insert(&l.name));
        let unused = unused.map(|(l, _)| l.name.clone());
        let twice = twice.map(|l| l.name.clone());
        if let Some(name) = twice {
            self.fail(&name, "two layers have this name".into());
        }
        if let Some(name) = unused {
            self.fail(&name, "nothing uses its output".into());
        }
    }

    fn shape(&self, id: LayerId) -> Shape {
        self.network.layers[id.0].shape
    }

    fn fail(&mut self, layer: &str, reason: String) -> LayerId {
        self.error.get_or_insert(BuildError { layer: layer.into(), reason });
        LayerId(self.network.layers.len() - 1)
    }

    fn push(&mut self, name: &str, kind: LayerKind, inputs: Vec<LayerId>, shape: Shape) -> LayerId {
        let (name, frozen, stored) = (name.to_owned(), false, shape);
        self.network.layers.push(Layer { name, kind, inputs, shape, frozen, stored });
        LayerId(self.network.layers.len() - 1)
    }

    fn conv_layer(
        &mut self,
        name: &str,
        from: LayerId,
        window: Window,
        shape: Vec<usize>,
        init: Init,
        bias: bool,
    ) -> LayerId {
        let weight = self.parameter(format!("{name}.weight"), shape, true, init);
        let outputs = vec![window.out_channels];
        let bias = bias
            .then(|| self.parameter(format!("{name}.bias"), outputs, false, Init::Constant(0.0)));
        let shape = Shape::new(window.out_height, window.out_width, window.out_channels);
        self.push(name, LayerKind::Conv { window, weight, bias }, vec![from], shape)
    }

    fn parameter(
        &mut self,
        name: String,
        shape: Vec<usize>,
        decays: bool,
        init: Init,
    ) -> ParameterId {
        let none = Channels::unpadded(1);
        let (offset, len, inputs, outputs) = (0, 0, none, none);
        let parameter = Parameter { name, shape, offset, len, inputs, outputs, decays, init };
        self.network.parameters.push(parameter);
        ParameterId(self.network.parameters.len() - 1)
    }

    fn pool(
        &mut self,
        name: &str,
        from: LayerId,
        kernel: usize,
        stride: usize,
        padding: Padding,
        kind: fn(Window) -> LayerKind,
    ) -> LayerId {
        let channels = self.shape(from).channels;
        let Some(window) = self.window(name, from, channels, kernel, stride, padding) else {
            return from;
        };
        if window.pad_top >= kernel || window.pad_left >= kernel {
            return self.fail(name, "the padding is as large as the window".into());
        }
        let shape = Shape::new(window.out_height, window.out_width, channels);
        self.push(name, kind(window), vec![from], shape)
    }

    fn window(
        &mut self,
        name: &str,
        from: LayerId,
        filters: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Option<Window> {
        if filters == 0 || kernel == 0 || stride == 0 {
            self.fail(name, "filters, kernel and stride must be at least 1".into());
            return None;
        }
        let s = self.shape(from);
        let (h, w, c) = (s.height, s.width, s.channels);
        let window = match padding {
            Padding::Same => Window::same(h, w, c, filters, kernel, stride),
            Padding::Valid => Window::padded(h, w, c, filters, kernel, stride, 0),
            Padding::Zeros(pad) => Window::padded(h, w, c, filters, kernel, stride, pad),
        };
        if window.out_positions() == 0 {
            self.fail(name, format!("a {kernel}x{kernel} kernel does not fit into {s}"));
            return None;
        }
        Some(window)
    }
}

/// Folds every ReLU that is the only use of a normalisation into it: one pass over memory less.
fn fuse_relus(network: &mut Network) {
    let mut uses = vec![0; network.layers.len()];
    network.layers.iter().flat_map(|l| &l.inputs).for_each(|input| uses[input.0] += 1);
    let mut new_id = vec![LayerId(0); network.layers.len()];
    let mut layers: Vec<Layer> = Vec::with_capacity(network.layers.len());
    for (old, mut layer) in std::mem::take(&mut network.layers).into_iter().enumerate() {
        let from = layer.inputs.first().copied();
        layer.inputs.iter_mut().for_each(|input| *input = new_id[input.0]);
        if let (LayerKind::Relu, Some(from)) = (&layer.kind, from)
            && uses[from.0] == 1
            && let LayerKind::Norm { relu, .. } = &mut layers[layer.inputs[0].0].kind
        {
            *relu = true;
            new_id[old] = layer.inputs[0];
            continue;
        }
        new_id[old] = LayerId(layers.len());
        layers.push(layer);
    }
    network.layers = layers;
}
