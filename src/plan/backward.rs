//! Backward passes, and what follows from their layer-wise results.

use super::forward::{Activations, Pass};
use crate::gpu::{Recorder, TensorId};
use crate::nn::{LayerKind, ParameterId};
use crate::ops::{self, Rows, View, Window, norm::GradientSums};

/// What a backward pass leaves at a layer with parameters: enough for the gradient of its
/// parameters, of all examples together or of each.
#[derive(Clone, Debug)]
pub(super) enum Delta {
    Conv {
        layer: usize,
        window: Window,
        weight: ParameterId,
        /// The layer's input.
        x: TensorId,
        /// Gradient of its output.
        dy: TensorId,
        bias: Option<(ParameterId, Rows)>,
    },
    Norm {
        layer: usize,
        scale: Option<ParameterId>,
        shift: ParameterId,
        sums: GradientSums,
    },
}

impl Delta {
    /// Whether the layer has a bias besides its weights.
    pub fn has_bias(&self) -> bool {
        matches!(self, Self::Conv { bias: Some(_), .. })
    }

    /// Index of the layer.
    pub fn layer(&self) -> usize {
        match self {
            Self::Conv { layer, .. } | Self::Norm { layer, .. } => *layer,
        }
    }
}

/// Which layers lie behind parameters that learn, so that a gradient has to reach their output.
fn needs_gradient(pass: &Pass<'_>) -> Vec<bool> {
    let mut needs: Vec<bool> = Vec::new();
    for (index, layer) in pass.network.layers.iter().enumerate() {
        needs.push(pass.learns(index) || layer.inputs.iter().any(|input| needs[input.0]));
    }
    needs
}

/// Gradients on their way down: one a layer, summed where paths meet.
struct Flow {
    needs: Vec<bool>,
    gradients: Vec<Option<TensorId>>,
}

impl Flow {
    /// Adds `gradient` to what reaches the output of layer `to`.
    fn add(&mut self, rec: &mut Recorder, to: usize, gradient: TensorId) {
        self.gradients[to] = Some(match self.gradients[to] {
            None => gradient,
            Some(earlier) => ops::add::forward(rec, earlier, gradient),
        });
    }
}

impl Pass<'_> {
    /// Backward pass from the gradient of the class scores. `visit` gets the results of every layer
    /// that learns, from the last to the first, as soon as they are recorded; gradients of
    /// parameters that it records may spare the pass a step.
    pub fn backward(
        &self,
        rec: &mut Recorder,
        activations: &Activations,
        score_gradient: TensorId,
        mut visit: impl FnMut(&mut Recorder, &mut Delta),
    ) {
        let layers = &self.network.layers;
        let needs = needs_gradient(self);
        let mut flow = Flow { needs, gradients: vec![None; layers.len()] };
        flow.gradients[layers.len() - 1] = Some(score_gradient);
        for index in (0..layers.len()).rev() {
            let Some(dy) = flow.gradients[index] else { continue };
            rec.label(&layers[index].name);
            match self.delta(rec, activations, index, dy) {
                Some(mut delta) => {
                    if self.learns(index) {
                        visit(rec, &mut delta);
                    }
                    self.through_parameters(rec, activations, &delta, dy, &mut flow);
                }
                None => self.layer_backward(rec, activations, index, dy, &mut flow),
            }
        }
    }

    /// What a layer with parameters leaves.
    fn delta(
        &self,
        rec: &mut Recorder,
        activations: &Activations,
        index: usize,
        dy: TensorId,
    ) -> Option<Delta> {
        let layer = &self.network.layers[index];
        let x = activations.values[layer.inputs.first()?.0];
        match &layer.kind {
            LayerKind::Conv { window, weight, bias } => {
                let (window, weight) = (*window, *weight);
                let bias = bias.filter(|_| self.learns(index)).map(|bias| {
                    let positions = window.out_positions();
                    (bias, ops::bias::position_sums(rec, dy, positions, window.out_channels))
                });
                Some(Delta::Conv { layer: index, window, weight, x, dy, bias })
            }
            LayerKind::Norm { options, scale, shift, relu, .. } => {
                let norm = self.norm(options, layer.stored, *relu);
                let affine = self.affine(self.parameters, *scale, *shift);
                let moments = activations.extras[index]?;
                let sums = ops::norm::gradient_sums(rec, &norm, x, moments, affine, dy);
                Some(Delta::Norm { layer: index, scale: *scale, shift: *shift, sums })
            }
            _ => None,
        }
    }

    /// The gradient of the input of a layer with parameters, if something needs it.
    fn through_parameters(
        &self,
        rec: &mut Recorder,
        activations: &Activations,
        delta: &Delta,
        dy: TensorId,
        flow: &mut Flow,
    ) {
        let index = delta.layer();
        let from = self.network.layers[index].inputs[0].0;
        if !flow.needs[from] {
            return;
        }
        match delta {
            Delta::Conv { window, weight, .. } => {
                let weights = self.parameter(self.parameters, *weight);
                let dx = ops::conv::input_gradient(rec, window, self.n, dy, weights);
                flow.add(rec, from, dx);
            }
            Delta::Norm { scale, shift, sums, .. } => {
                let Some(moments) = activations.extras[index] else { return };
                let affine = self.affine(self.parameters, *scale, *shift);
                let (x, earlier) = (activations.values[from], flow.gradients[from]);
                let dx = ops::norm::backward(rec, sums, x, moments, affine, dy, earlier);
                flow.gradients[from] = Some(dx);
            }
        }
    }

    /// The gradient of the inputs of a layer without parameters.
    fn layer_backward(
        &self,
        rec: &mut Recorder,
        activations: &Activations,
        index: usize,
        dy: TensorId,
        flow: &mut Flow,
    ) {
        let layer = &self.network.layers[index];
        let Some(from) = layer.inputs.first().map(|input| input.0) else { return };
        let n = self.n;
        let dx = match &layer.kind {
            LayerKind::Input | LayerKind::Conv { .. } | LayerKind::Norm { .. } => None,
            _ if !layer.inputs.iter().any(|input| flow.needs[input.0]) => None,
            LayerKind::Relu => Some(ops::relu::mask(rec, activations.values[index], dy)),
            LayerKind::Gelu => Some(ops::gelu::times_derivative(rec, activations.values[from], dy)),
            LayerKind::MaxPool(w) => {
                activations.extras[index].map(|at| ops::pool::max_backward(rec, w, n, dy, at))
            }
            LayerKind::AveragePool(w) => Some(ops::pool::average_backward(rec, w, n, dy)),
            LayerKind::Residual { stride } => {
                let side = layer.inputs[1].0;
                let shape = self.network.layers[side].stored;
                let shortcut = self.shortcut(shape, layer.stored, *stride);
                if flow.needs[side] {
                    let dside = match shortcut.is_identity() {
                        true => dy,
                        false => ops::shortcut::backward(rec, &shortcut, n, dy),
                    };
                    flow.add(rec, side, dside);
                }
                Some(dy)
            }
            LayerKind::Dropout { rate } => Some(self.dropout(rec, index, *rate, dy)),
        };
        if let Some(dx) = dx
            && flow.needs[from]
        {
            flow.add(rec, from, dx);
        }
    }

    /// Gradient of one layer's parameters into the flat vector `into`, each example's share
    /// multiplied by its weight if `weights` `[n]` are given.
    pub fn parameter_gradient(
        &self,
        rec: &mut Recorder,
        delta: &mut Delta,
        weights: Option<TensorId>,
        into: TensorId,
    ) {
        rec.label(&self.network.layers[delta.layer()].name);
        match delta {
            Delta::Conv { window, weight, x, dy, bias, .. } => {
                let out = self.parameter(into, *weight);
                ops::conv::weight_gradient(rec, window, self.n, *x, *dy, weights, out);
                if let Some((bias, sums)) = bias {
                    ops::bias::gradient(rec, *sums, weights, self.parameter(into, *bias));
                }
            }
            Delta::Norm { scale, shift, sums, .. } => {
                let affine = self.affine(self.parameters, *scale, *shift);
                let out = self.affine(into, *scale, *shift);
                ops::norm::parameter_gradient(rec, sums, affine, weights, out);
            }
        }
    }

    /// Gradient of one layer's bias alone, into the flat vector `into`.
    pub fn bias_gradient(&self, rec: &mut Recorder, delta: &Delta, into: TensorId) {
        if let Delta::Conv { bias: Some((bias, sums)), .. } = delta {
            ops::bias::gradient(rec, *sums, None, self.parameter(into, *bias));
        }
    }

    /// ⟨∂f_i/∂θ_l, G_l⟩ of one layer's parameters for each example, each part into a row of its
    /// own from `rows`. `clean` carries the clean pass's results where the Gram form is cheaper.
    pub fn similarity(
        &self,
        rec: &mut Recorder,
        delta: &Delta,
        clean_gradient: TensorId,
        clean: Option<(usize, &Delta)>,
        rows: &mut impl FnMut() -> View,
    ) {
        rec.label(&self.network.layers[delta.layer()].name);
        match delta {
            Delta::Conv { window, weight, x, dy, bias, .. } => {
                match clean {
                    Some((m, Delta::Conv { x: clean_x, dy: clean_dy, .. })) => {
                        let clean = ops::gram::Clean { m, x: *clean_x, dy: *clean_dy };
                        ops::gram::similarity(rec, window, self.n, *x, *dy, clean, rows());
                    }
                    _ => {
                        let g = self.parameter(clean_gradient, *weight);
                        ops::conv::similarity(rec, window, self.n, *x, *dy, g, rows());
                    }
                }
                if let Some((bias, sums)) = bias {
                    let g = self.parameter(clean_gradient, *bias);
                    ops::bias::similarity(rec, *sums, g, rows());
                }
            }
            Delta::Norm { scale, shift, sums, .. } => {
                let g = self.affine(clean_gradient, *scale, *shift);
                ops::norm::similarity(rec, sums, g, rows());
            }
        }
    }
}
