//! The twin of a whole step in plain `f64` loops: what [`reference`](crate::reference) has for each
//! kernel, put together as a plan puts the kernels together.

use std::sync::Arc;

use super::PlanError;
use crate::nn::{
    Layer, LayerKind, Network, Normalisation, Parameter, ParameterId, Shape, parameters_of,
};
use crate::ops::NormKind;
use crate::ops::shortcut::Shortcut;
use crate::reference::norm::{self, Affine, NormShape};
use crate::reference::step::{Memory, MethodTwin, TwinInput, TwinNetwork};
use crate::reference::{bias, conv, gelu, pool, relu, shortcut};

/// What a step does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinStep {
    /// Of the training batch before the step, `[n]`.
    pub losses: Vec<f64>,
    /// u, `[n]`; empty where the method computes none.
    pub similarities: Vec<f64>,
    /// w, `[n]`.
    pub weights: Vec<f64>,
    /// The flat parameter vector after the step.
    pub parameters: Vec<f64>,
}

/// A network for the twins of methods: inputs `[n, height, width, channels]` are as its first layer
/// sees them, parameters as they lie on the device, running statistics are still 0 and 1.
///
/// # Errors
/// [`PlanError::Network`] for a network with dropout, whose masks only the device draws.
pub fn classifier(network: &Network) -> Result<Arc<dyn TwinNetwork>, PlanError> {
    let draws = |layer: &&Layer| matches!(layer.kind, LayerKind::Dropout { .. });
    if let Some(layer) = network.layers.iter().find(draws) {
        let (layer, reason) = (layer.name.clone(), "only the device draws its masks".to_owned());
        return Err(PlanError::Network { layer, reason });
    }
    Ok(Arc::new(Classifier(network.clone())))
}

/// One step without weight decay, by the twins of the method and of the optimizer.
pub fn step(seen: &TwinInput, method: &mut MethodTwin, memory: &mut Memory) -> TwinStep {
    let told = method(seen);
    let gradient = seen.gradient(&told.residual, &told.weights);
    let mut parameters = seen.parameters.clone();
    memory.descend(seen, &mut parameters, &gradient);
    let (losses, similarities, weights) = (told.losses, told.similarities, told.weights);
    TwinStep { losses, similarities, weights, parameters }
}

#[derive(Debug)]
struct Classifier(Network);

impl Classifier {
    fn with<'a>(&'a self, theta: &'a [f64]) -> Twin<'a> {
        Twin { network: &self.0, theta }
    }

    fn count(&self, inputs: &[f64]) -> usize {
        inputs.len() / self.0.input().len().max(1)
    }
}

impl TwinNetwork for Classifier {
    fn scores(&self, parameters: &[f64], inputs: &[f64]) -> Vec<f64> {
        let values = self.with(parameters).forward(self.count(inputs), inputs);
        values.into_iter().last().map_or(Vec::new(), |value| value.out)
    }

    fn gradient(&self, parameters: &[f64], inputs: &[f64], at_scores: &[f64]) -> Vec<f64> {
        let (twin, n) = (self.with(parameters), self.count(inputs));
        twin.gradient(n, &twin.forward(n, inputs), at_scores.to_vec())
    }

    fn tangent(&self, parameters: &[f64], inputs: &[f64], direction: &[f64]) -> Vec<f64> {
        let (twin, n) = (self.with(parameters), self.count(inputs));
        twin.tangent(n, &twin.forward(n, inputs), direction)
    }

    fn keep_last(&self, layers: usize, direction: &mut [f64]) {
        let before = &self.0.layers[..self.0.first_of_last(layers)];
        for id in before.iter().flat_map(|layer| parameters_of(&layer.kind)) {
            let Parameter { offset, len, .. } = *self.0.parameter(id);
            direction[offset..offset + len].fill(0.0);
        }
    }
}

impl TwinStep {
    /// The largest difference from another step as a share of the largest value, part by part; NaN
    /// where either has one, or where lengths differ.
    pub fn distance(&self, other: &Self) -> [(&'static str, f64); 4] {
        [
            ("losses", apart(&self.losses, &other.losses, LEAST_LOSS)),
            ("u", apart(&self.similarities, &other.similarities, LEAST)),
            ("w", apart(&self.weights, &other.weights, LEAST)),
            ("parameters", apart(&self.parameters, &other.parameters, LEAST)),
        ]
    }
}

/// What the largest value counts as at least.
const LEAST: f64 = 1e-6;

/// Of losses: the logarithm of a number near 1 is good to 6e-8, not to a share of it.
const LEAST_LOSS: f64 = 1e-3;

fn apart(a: &[f64], b: &[f64], least: f64) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    let largest = a.iter().fold(least, |most: f64, v| most.max(v.abs()));
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // A comparison with a NaN is false.
    let worse = |most: f64, v: f64| if v <= most || most.is_nan() { most } else { v };
    differences.fold(0.0, worse) / largest
}

/// What a layer gives, and what its other passes need of it.
#[derive(Default)]
struct Value {
    out: Vec<f64>,
    statistics: Vec<(f64, f64)>,
    argmax: Vec<u32>,
}

/// Mean and 1 / deviation of running statistics that no step has moved yet: 0 and 1.
fn fixed_statistics(options: &Normalisation) -> (f64, f64) {
    (0.0, 1.0 / (1.0 + f64::from(options.epsilon)).sqrt())
}

/// A network with parameters, or with anything of their shape, as it lies on the device.
struct Twin<'a> {
    network: &'a Network,
    theta: &'a [f64],
}

/// A parameter's part of a flat vector.
fn part<'a>(network: &Network, flat: &'a [f64], id: ParameterId) -> &'a [f64] {
    let Parameter { offset, len, .. } = *network.parameter(id);
    &flat[offset..offset + len]
}

fn add(to: &mut Vec<f64>, from: &[f64]) {
    to.resize(from.len(), 0.0);
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

impl Twin<'_> {
    fn norm_shape(&self, layer: usize, kind: NormKind, n: usize) -> NormShape {
        let Shape { height, width, channels } = self.network.layers[layer].stored;
        NormShape { kind, n, positions: height * width, channels }
    }

    fn shortcut(&self, layer: usize, stride: usize) -> Shortcut {
        let layer = &self.network.layers[layer];
        let Shape { height, width, channels } = self.network.layers[layer.inputs[1].0].stored;
        let out_channels = layer.stored.channels;
        Shortcut { height, width, in_channels: channels, out_channels, stride }
    }

    fn affine<'b>(
        &'b self,
        scale: Option<ParameterId>,
        shift: ParameterId,
        relu: bool,
    ) -> Affine<'b> {
        let of = |id| part(self.network, self.theta, id);
        Affine { scale: scale.map(of), shift: of(shift), relu }
    }

    fn forward(&self, n: usize, x: &[f64]) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            let positions = layer.stored.height * layer.stored.width;
            let input = |i: usize| values[layer.inputs[i].0].out.as_slice();
            let of = |id| part(self.network, self.theta, id);
            let mut value = Value::default();
            match layer.kind {
                LayerKind::Input => value.out = x.to_vec(),
                LayerKind::Conv { window, weight, bias: shift } => {
                    value.out = conv::forward(&window, n, input(0), of(weight));
                    if let Some(shift) = shift {
                        let channels = layer.stored.channels;
                        value.out = bias::add(n, positions, channels, &value.out, of(shift));
                    }
                }
                LayerKind::Norm { options, scale, shift, relu, .. } => {
                    let shape = self.norm_shape(index, options.kind, n);
                    value.statistics = match options.kind {
                        NormKind::Fixed => vec![fixed_statistics(&options); shape.channels],
                        _ => norm::statistics(&shape, input(0), options.epsilon.into()),
                    };
                    let affine = self.affine(scale, shift, relu);
                    value.out = norm::forward(&shape, input(0), &value.statistics, affine);
                }
                LayerKind::Relu => value.out = relu::forward(input(0)),
                LayerKind::Gelu => value.out = gelu::forward(input(0)),
                LayerKind::MaxPool(window) => {
                    (value.out, value.argmax) = pool::max_forward(&window, n, input(0));
                }
                LayerKind::AveragePool(window) => {
                    value.out = pool::average_forward(&window, n, input(0));
                }
                LayerKind::Residual { stride } => {
                    let shortcut = self.shortcut(index, stride);
                    value.out = shortcut::forward(&shortcut, n, input(0), input(1));
                }
                // Its masks are the device's: see `step`.
                LayerKind::Dropout { .. } => {}
            }
            values.push(value);
        }
        values
    }

    /// `∇θ Σ f_i` of losses whose gradients at the scores are `at_scores`.
    fn gradient(&self, n: usize, values: &[Value], at_scores: Vec<f64>) -> Vec<f64> {
        let mut gradient = vec![0.0; self.theta.len()];
        let mut at: Vec<Vec<f64>> = values.iter().map(|v| vec![0.0; v.out.len()]).collect();
        if let Some(last) = at.last_mut() {
            *last = at_scores;
        }
        for (index, layer) in self.network.layers.iter().enumerate().skip(1).rev() {
            let dy = std::mem::take(&mut at[index]);
            let input = values[layer.inputs[0].0].out.as_slice();
            let positions = layer.stored.height * layer.stored.width;
            let mut put = |id: ParameterId, values: &[f64]| {
                if layer.frozen {
                    return;
                }
                let offset = self.network.parameter(id).offset;
                gradient[offset..offset + values.len()].copy_from_slice(values);
            };
            let dx = match layer.kind {
                LayerKind::Conv { window, weight, bias: shift } => {
                    put(weight, &conv::weight_gradient(&window, n, input, &dy, None));
                    if let Some(shift) = shift {
                        let channels = layer.stored.channels;
                        put(shift, &bias::gradient(n, positions, channels, &dy, None));
                    }
                    conv::input_gradient(&window, n, &dy, part(self.network, self.theta, weight))
                }
                LayerKind::Norm { options, scale, shift, relu, .. } => {
                    let shape = self.norm_shape(index, options.kind, n);
                    let (affine, statistics) =
                        (self.affine(scale, shift, relu), &values[index].statistics);
                    let (dscale, dshift) =
                        norm::parameter_gradient(&shape, input, &dy, statistics, affine, None);
                    scale.into_iter().for_each(|scale| put(scale, &dscale));
                    put(shift, &dshift);
                    norm::backward(&shape, input, &dy, statistics, affine)
                }
                LayerKind::Relu => relu::apply_mask(&values[index].out, &dy),
                LayerKind::Gelu => gelu::times_derivative(input, &dy),
                LayerKind::MaxPool(window) => {
                    pool::max_backward(&window, n, &values[index].argmax, &dy)
                }
                LayerKind::AveragePool(window) => pool::average_backward(&window, n, &dy),
                LayerKind::Residual { stride } => {
                    let dx = shortcut::backward(&self.shortcut(index, stride), n, &dy);
                    add(&mut at[layer.inputs[1].0], &dx);
                    dy
                }
                LayerKind::Input | LayerKind::Dropout { .. } => Vec::new(),
            };
            add(&mut at[layer.inputs[0].0], &dx);
        }
        gradient
    }

    /// Derivatives of the scores as the parameters move along `direction`.
    fn tangent(&self, n: usize, values: &[Value], direction: &[f64]) -> Vec<f64> {
        let mut tangents: Vec<Vec<f64>> = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            let positions = layer.stored.height * layer.stored.width;
            let moves = |id| part(self.network, direction, id);
            let dx = |i: usize| tangents[layer.inputs[i].0].as_slice();
            let tangent = match layer.kind {
                LayerKind::Input => vec![0.0; values[0].out.len()],
                LayerKind::Conv { window, weight, bias: shift } => {
                    let (x, w) = (&values[layer.inputs[0].0].out, moves(weight));
                    let of = part(self.network, self.theta, weight);
                    let (_, dy) = conv::dual(&window, n, x, Some(dx(0)), of, w);
                    match shift {
                        Some(shift) => {
                            bias::add(n, positions, layer.stored.channels, &dy, moves(shift))
                        }
                        None => dy,
                    }
                }
                LayerKind::Norm { options, scale, shift, relu, .. } => {
                    let shape = self.norm_shape(index, options.kind, n);
                    let (x, statistics) =
                        (&values[layer.inputs[0].0].out, &values[index].statistics);
                    let affine = self.affine(scale, shift, relu);
                    let dscale = scale.map(moves);
                    norm::tangent(&shape, x, dx(0), statistics, affine, dscale, moves(shift))
                }
                LayerKind::Relu => relu::apply_mask(&values[index].out, dx(0)),
                LayerKind::Gelu => gelu::times_derivative(&values[layer.inputs[0].0].out, dx(0)),
                LayerKind::MaxPool(window) => {
                    pool::max_tangent(&window, n, &values[index].argmax, dx(0))
                }
                LayerKind::AveragePool(window) => pool::average_forward(&window, n, dx(0)),
                LayerKind::Residual { stride } => {
                    shortcut::forward(&self.shortcut(index, stride), n, dx(0), dx(1))
                }
                LayerKind::Dropout { .. } => Vec::new(),
            };
            tangents.push(tangent);
        }
        tangents.pop().unwrap_or_default()
    }
}
