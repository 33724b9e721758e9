//! Where a network's tensors lie in its flat vectors.
//!
//! Kernels load channels by fours. Channels whose number is no multiple of four are therefore
//! stored with zeros behind them wherever these stay zeros: in front of a convolution, whose
//! weights for them are zeros, and through whatever treats each channel for itself. Weights of zero
//! from and to channels of zero have gradients of zero, so that training leaves them as they are.

use super::{Layer, LayerKind, Network, Parameter, ParameterId, Shape};
use crate::ops::Window;

/// Bindings start at multiples of 256 bytes, so parameter tensors start at multiples of 64.
const ALIGNMENT: usize = 64;

/// Channels that a kernel loads at once.
const BLOCK: usize = 4;

/// Channels of a tensor: those that the network has, and those that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    pub count: usize,
    pub stored: usize,
}

impl Channels {
    pub fn unpadded(count: usize) -> Self {
        Self { count, stored: count }
    }

    pub(super) fn of(layer: &Layer) -> Self {
        Self { count: layer.shape.channels, stored: layer.stored.channels }
    }
}

/// Decides which layers' channels are padded, and gives every tensor its place.
pub(super) fn lay_out(network: &mut Network) {
    let padded = padded_layers(&network.layers);
    let mut place = Place { parameters: std::mem::take(&mut network.parameters), end: 0 };
    network.running_len = 0;
    for (index, padded) in padded.into_iter().enumerate() {
        let from =
            network.layers[index].inputs.first().map(|input| network.layers[input.0].clone());
        let layer = &mut network.layers[index];
        let stored = match (&layer.kind, &from) {
            (LayerKind::Conv { .. }, _) if padded => layer.shape.channels.next_multiple_of(BLOCK),
            (LayerKind::Conv { .. } | LayerKind::Residual { .. }, _) | (_, None) => {
                layer.shape.channels
            }
            (_, Some(from)) => from.stored.channels,
        };
        layer.stored = Shape { channels: stored, ..layer.shape };
        let outputs = Channels::of(layer);
        match (&mut layer.kind, &from) {
            (LayerKind::Conv { window, weight, bias }, Some(from)) => {
                // A linear layer's input is a whole image.
                let whole = place.parameters[weight.0].shape.len() == 2;
                let from_len = if whole { from.stored.len() } else { from.stored.channels };
                *window = Window { in_channels: from_len, out_channels: stored, ..*window };
                place.tensor(*weight, Channels::of(from), outputs, true);
                bias.iter().for_each(|bias| place.vector(*bias, outputs, true));
            }
            (LayerKind::Norm { scale, shift, running, .. }, _) => {
                scale.iter().for_each(|scale| place.vector(*scale, outputs, true));
                place.vector(*shift, outputs, scale.is_none());
                if let Some(running) = running.map(|index| &mut network.running[index]) {
                    running.offset = network.running_len.next_multiple_of(ALIGNMENT);
                    running.stored = stored;
                    network.running_len = running.offset + 2 * stored;
                }
            }
            (LayerKind::MaxPool(window) | LayerKind::AveragePool(window), _) => {
                *window = Window { in_channels: stored, out_channels: stored, ..*window };
            }
            _ => {}
        }
    }
    network.parameters_len = place.end.next_multiple_of(ALIGNMENT);
    network.parameters = place.parameters;
}

/// The layers behind which nothing but convolutions sees whether there are further channels.
/// Groups of GroupNorm and the shifted channels of a shortcut do, and so do class scores.
fn padded_layers(layers: &[Layer]) -> Vec<bool> {
    let mut padded = vec![true; layers.len()];
    padded[0] = false;
    padded[layers.len() - 1] = false;
    for (index, layer) in layers.iter().enumerate().rev() {
        let hides = match &layer.kind {
            LayerKind::Conv { .. } => true,
            LayerKind::Input | LayerKind::Residual { .. } => false,
            // Without ε, the deviation of channels of zeros would divide by zero.
            LayerKind::Norm { options, .. } => {
                options.kind.is_per_channel() && options.epsilon > 0.0 && padded[index]
            }
            _ => padded[index],
        };
        layer.inputs.iter().for_each(|input| padded[input.0] &= hides);
    }
    padded
}

/// The parameters, of which those in front of `end` have their place.
struct Place {
    parameters: Vec<Parameter>,
    end: usize,
}

impl Place {
    fn vector(&mut self, id: ParameterId, channels: Channels, aligned: bool) {
        self.tensor(id, Channels::unpadded(1), channels, aligned);
    }

    fn tensor(&mut self, id: ParameterId, inputs: Channels, outputs: Channels, aligned: bool) {
        let parameter = &mut self.parameters[id.0];
        let positions = parameter.count() / (inputs.count * outputs.count);
        parameter.offset = if aligned { self.end.next_multiple_of(ALIGNMENT) } else { self.end };
        parameter.len = positions * inputs.stored * outputs.stored;
        (parameter.inputs, parameter.outputs) = (inputs, outputs);
        self.end = parameter.offset + parameter.len;
    }
}
