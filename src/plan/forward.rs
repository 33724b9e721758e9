//! Forward passes: plain, in dual numbers, and for evaluation.

use crate::gpu::{Recorder, TensorId};
use crate::nn::{LayerKind, Network, Normalisation, ParameterId, Shape};
use crate::ops::norm::{Norm, Running};
use crate::ops::{self, NormKind, View, shortcut::Shortcut};

/// The flat vectors that a pass reads, and the ones that change from pass to pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<'a> {
    pub network: &'a Network,
    /// Examples.
    pub n: usize,
    /// Examples of the whole batch, where BatchNorm takes its statistics over others' parts of it.
    pub whole: Option<usize>,
    /// Slot of the first one in the step's batch.
    pub first_slot: usize,
    pub parameters: TensorId,
    /// The step's uniform; only dropout reads it.
    pub step: TensorId,
    pub statistics: Statistics,
    /// BatchNorm's running statistics, of networks that have any.
    pub running: Option<TensorId>,
    /// Tells the dropout masks of passes apart.
    pub stream: u32,
    /// Parameters of earlier layers count as constants: no gradient, no tangent.
    pub first_layer: usize,
}

/// Where BatchNorm takes its statistics from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistics {
    /// The batch.
    Batch,
    /// The batch, and the running statistics follow.
    BatchAndRun,
    /// The running statistics; dropout is off.
    Running,
}

/// What a forward pass leaves behind for the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Activations {
    /// Output of each layer.
    pub values: Vec<TensorId>,
    /// Moments of normalisations, winners of maxima.
    pub extras: Vec<Option<TensorId>>,
}

/// A layer's output with its tangent.
struct Dual {
    value: TensorId,
    tangent: TensorId,
    /// What its backward pass needs, as in [`Activations`].
    extra: Option<TensorId>,
}

impl Activations {
    fn push(&mut self, value: TensorId, extra: Option<TensorId>) {
        self.values.push(value);
        self.extras.push(extra);
    }

    /// Class scores.
    pub fn scores(&self) -> TensorId {
        self.values[self.values.len() - 1]
    }
}

impl Pass<'_> {
    /// Whether a layer's parameters get a gradient and a tangent.
    pub fn learns(&self, layer: usize) -> bool {
        layer >= self.first_layer && self.network.learns(layer)
    }

    pub fn parameter(&self, of: TensorId, id: ParameterId) -> View {
        let parameter = self.network.parameter(id);
        View { tensor: of, offset: parameter.offset, len: parameter.len }
    }

    /// Scales and shifts of a normalisation lie side by side: one view.
    pub fn affine(&self, of: TensorId, scale: Option<ParameterId>, shift: ParameterId) -> View {
        let shift = self.parameter(of, shift);
        match scale.map(|id| self.parameter(of, id)) {
            Some(scale) => View { len: scale.len + shift.len, ..scale },
            None => shift,
        }
    }

    pub fn norm(&self, options: &Normalisation, shape: Shape, relu: bool) -> Norm {
        Norm {
            kind: options.kind,
            n: self.n,
            whole: self.whole,
            positions: shape.height * shape.width,
            channels: shape.channels,
            epsilon: options.epsilon,
            has_scale: options.scale,
            relu,
        }
    }

    pub fn shortcut(&self, from: Shape, to: Shape, stride: usize) -> Shortcut {
        Shortcut {
            height: from.height,
            width: from.width,
            in_channels: from.channels,
            out_channels: to.channels,
            stride,
        }
    }

    /// Dropout of what layer `layer` gets, its tangent or its gradient, `[n, …]`.
    pub fn dropout(&self, rec: &mut Recorder, layer: usize, rate: f32, x: TensorId) -> TensorId {
        let stream = 2 * layer as u32 + self.stream;
        let first = self.first_slot * (rec.len(x) / self.n);
        ops::dropout::apply(rec, self.step, rate, stream, first, x)
    }

    /// Forward pass over `images` `[n, h, w, c]`.
    pub fn forward(&self, rec: &mut Recorder, images: TensorId) -> Activations {
        self.run(rec, images, None).0
    }

    /// Forward pass in dual numbers along `direction`, a vector like the parameters: also the
    /// tangent of the class scores.
    pub fn dual_forward(
        &self,
        rec: &mut Recorder,
        images: TensorId,
        direction: TensorId,
    ) -> (Activations, TensorId) {
        let (activations, tangents) = self.run(rec, images, Some(direction));
        // A network without parameters that learn cannot be made, so the scores have a tangent.
        let tangent = tangents.last().copied().flatten().unwrap_or(activations.scores());
        (activations, tangent)
    }

    /// Tangent of the class scores along `direction` after a [`Pass::forward`].
    pub fn tangent(
        &self,
        rec: &mut Recorder,
        activations: &Activations,
        direction: TensorId,
    ) -> TensorId {
        let mut tangents: Vec<Option<TensorId>> = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            rec.label(&layer.name);
            let tangent = match &layer.kind {
                LayerKind::Input => None,
                LayerKind::Conv { .. } => {
                    self.conv_tangent(rec, index, activations, &tangents, direction)
                }
                _ => self.layer_tangent(rec, index, activations, &tangents, Some(direction)),
            };
            tangents.push(tangent);
        }
        tangents.last().copied().flatten().unwrap_or(activations.scores())
    }

    fn run(
        &self,
        rec: &mut Recorder,
        images: TensorId,
        direction: Option<TensorId>,
    ) -> (Activations, Vec<Option<TensorId>>) {
        let mut done = Activations::default();
        let mut tangents: Vec<Option<TensorId>> = Vec::new();
        for (index, layer) in self.network.layers.iter().enumerate() {
            rec.label(&layer.name);
            let along = direction.filter(|_| self.learns(index));
            if self.is_absorbed(index) {
                done.push(done.values[index - 1], None);
                tangents.push(tangents[index - 1]);
                continue;
            }
            if let Some(dual) = self.layer_dual(rec, index, &done, &tangents, along) {
                done.push(dual.value, dual.extra);
                tangents.push(Some(dual.tangent));
                continue;
            }
            let (value, extra) = match &layer.kind {
                LayerKind::Input => (images, None),
                _ => self.layer(rec, index, &done),
            };
            done.push(value, extra);
            let tangent = match &layer.kind {
                LayerKind::Input => None,
                LayerKind::Conv { .. } => {
                    let side = self.absorbed(index).and_then(|side| tangents[side]);
                    self.linear_tangent(rec, index, &tangents, side)
                }
                _ => self.layer_tangent(rec, index, &done, &tangents, along),
            };
            tangents.push(tangent);
        }
        (done, tangents)
    }

    /// Value and tangent at once, of layers that have kernels for both and a tangent.
    fn layer_dual(
        &self,
        rec: &mut Recorder,
        index: usize,
        done: &Activations,
        tangents: &[Option<TensorId>],
        direction: Option<TensorId>,
    ) -> Option<Dual> {
        let layer = &self.network.layers[index];
        let from = layer.inputs.first()?.0;
        let (x, dx) = (done.values[from], tangents[from]);
        match &layer.kind {
            LayerKind::Conv { window, weight, bias } => {
                let direction = direction?;
                let weights = self.parameter(self.parameters, *weight);
                let along = self.parameter(direction, *weight);
                let addend = self.absorbed(index);
                let addend = addend.map(|side| (done.values[side], tangents[side]));
                let (value, tangent) =
                    ops::conv::dual(rec, window, self.n, (x, dx), weights, along, addend);
                if let Some(bias) = bias {
                    ops::bias::forward(rec, value, self.parameter(self.parameters, *bias));
                    ops::bias::forward(rec, tangent, self.parameter(direction, *bias));
                }
                Some(Dual { value, tangent, extra: None })
            }
            LayerKind::Norm { options, scale, shift, running, relu } => {
                let dx = dx?;
                let norm = self.norm(options, layer.stored, *relu);
                let affine = self.affine(self.parameters, *scale, *shift);
                let along = direction.map(|direction| self.affine(direction, *scale, *shift));
                let moments = match (self.known_statistics(options, *running), self.statistics) {
                    (Some(known), _) => ops::norm::running_statistics(rec, &norm, known),
                    (None, Statistics::Running) => return None,
                    _ => {
                        let follows = self.following(options, *running);
                        ops::norm::dual_statistics(rec, &norm, x, dx, follows)
                    }
                };
                let (value, tangent) = ops::norm::dual(rec, &norm, x, dx, moments, affine, along);
                Some(Dual { value, tangent, extra: Some(moments) })
            }
            LayerKind::Residual { stride } => {
                let side = layer.inputs[1].0;
                let shortcut =
                    self.shortcut(self.network.layers[side].stored, layer.stored, *stride);
                let (main, side) = ((x, dx?), (done.values[side], tangents[side]?));
                let (value, tangent) = ops::shortcut::dual(rec, &shortcut, self.n, main, side);
                Some(Dual { value, tangent, extra: None })
            }
            _ => None,
        }
    }

    /// ż = W ẋ of a convolution whose parameters are constants, plus `addend`; `None` for 0.
    fn linear_tangent(
        &self,
        rec: &mut Recorder,
        index: usize,
        tangents: &[Option<TensorId>],
        addend: Option<TensorId>,
    ) -> Option<TensorId> {
        let layer = &self.network.layers[index];
        let LayerKind::Conv { window, weight, .. } = &layer.kind else { return None };
        let Some(dx) = tangents[layer.inputs[0].0] else { return addend };
        let weights = self.parameter(self.parameters, *weight);
        Some(ops::conv::forward(rec, window, self.n, dx, weights, addend))
    }

    /// ż = W ẋ + Ẇ x: two convolutions.
    fn conv_tangent(
        &self,
        rec: &mut Recorder,
        index: usize,
        done: &Activations,
        tangents: &[Option<TensorId>],
        direction: TensorId,
    ) -> Option<TensorId> {
        let layer = &self.network.layers[index];
        let LayerKind::Conv { window, weight, bias } = &layer.kind else { return None };
        if !self.learns(index) {
            return self.linear_tangent(rec, index, tangents, None);
        }
        let from = layer.inputs[0].0;
        let weights = self.parameter(self.parameters, *weight);
        let along = self.parameter(direction, *weight);
        let x = (done.values[from], tangents[from]);
        let dz = ops::conv::tangent(rec, window, self.n, x, weights, along, None);
        if let Some(bias) = bias {
            ops::bias::forward(rec, dz, self.parameter(direction, *bias));
        }
        Some(dz)
    }

    /// The layer whose output convolution `index` adds to its own: the other side of a shortcut
    /// right behind it that changes nothing, where nothing else sees the convolution's own output.
    fn absorbed(&self, index: usize) -> Option<usize> {
        let layers = &self.network.layers;
        let LayerKind::Conv { .. } = layers[index].kind else { return None };
        let next = layers.get(index + 1)?;
        let LayerKind::Residual { stride } = next.kind else { return None };
        let [main, side] = [next.inputs[0].0, next.inputs[1].0];
        let is_identity = self.shortcut(layers[side].stored, next.stored, stride).is_identity();
        let uses = layers.iter().flat_map(|layer| &layer.inputs).filter(|from| from.0 == index);
        (main == index && is_identity && uses.count() == 1).then_some(side)
    }

    /// Whether the convolution before shortcut `index` has done its work.
    fn is_absorbed(&self, index: usize) -> bool {
        let is_residual = matches!(self.network.layers[index].kind, LayerKind::Residual { .. });
        is_residual && self.absorbed(index - 1).is_some()
    }

    /// One layer: value, and what its backward pass needs.
    fn layer(
        &self,
        rec: &mut Recorder,
        index: usize,
        done: &Activations,
    ) -> (TensorId, Option<TensorId>) {
        let layer = &self.network.layers[index];
        let input = |i: usize| layer.inputs[i].0;
        let x = done.values[input(0)];
        let n = self.n;
        match &layer.kind {
            LayerKind::Input => (x, None),
            LayerKind::Conv { window, weight, bias } => {
                let weights = self.parameter(self.parameters, *weight);
                let addend = self.absorbed(index).map(|side| done.values[side]);
                let z = ops::conv::forward(rec, window, n, x, weights, addend);
                if let Some(bias) = bias {
                    ops::bias::forward(rec, z, self.parameter(self.parameters, *bias));
                }
                (z, None)
            }
            LayerKind::Norm { options, scale, shift, running, relu } => {
                let norm = self.norm(options, layer.stored, *relu);
                let affine = self.affine(self.parameters, *scale, *shift);
                let moments = self.moments(rec, &norm, options, *running, x);
                (ops::norm::forward(rec, &norm, x, moments, affine), Some(moments))
            }
            LayerKind::Relu => (ops::relu::forward(rec, x), None),
            LayerKind::Gelu => (ops::gelu::forward(rec, x), None),
            LayerKind::MaxPool(window) => {
                let (y, winner) = ops::pool::max_forward(rec, window, n, x);
                (y, Some(winner))
            }
            LayerKind::AveragePool(window) => (ops::pool::average_forward(rec, window, n, x), None),
            LayerKind::Residual { stride } => {
                let from = self.network.layers[input(1)].stored;
                let shortcut = self.shortcut(from, layer.stored, *stride);
                let side = done.values[input(1)];
                (ops::shortcut::forward(rec, &shortcut, n, x, side), None)
            }
            LayerKind::Dropout { .. } if self.statistics == Statistics::Running => (x, None),
            LayerKind::Dropout { rate } => (self.dropout(rec, index, *rate, x), None),
        }
    }

    /// The tangent of one layer other than a convolution, whose value is known. `direction` is
    /// `None` for layers whose parameters count as constants.
    fn layer_tangent(
        &self,
        rec: &mut Recorder,
        index: usize,
        done: &Activations,
        tangents: &[Option<TensorId>],
        direction: Option<TensorId>,
    ) -> Option<TensorId> {
        let layer = &self.network.layers[index];
        let input = |i: usize| layer.inputs[i].0;
        let (x, dx) = (done.values[input(0)], tangents[input(0)]);
        let n = self.n;
        match &layer.kind {
            LayerKind::Input | LayerKind::Conv { .. } => None,
            LayerKind::Norm { options, scale, shift, relu, .. } => {
                let direction = direction.filter(|_| self.learns(index));
                let norm = self.norm(options, layer.stored, *relu);
                let affine = self.affine(self.parameters, *scale, *shift);
                let along = direction.map(|direction| self.affine(direction, *scale, *shift));
                // Behind constants there is no tangent yet.
                let dx = match (dx, along) {
                    (None, None) => return None,
                    (dx, _) => dx.unwrap_or_else(|| ops::add::zeros_like(rec, x)),
                };
                let moments = done.extras[index]?;
                Some(ops::norm::tangent(rec, &norm, x, dx, moments, affine, along))
            }
            LayerKind::Relu => Some(ops::relu::mask(rec, done.values[index], dx?)),
            LayerKind::Gelu => Some(ops::gelu::times_derivative(rec, x, dx?)),
            LayerKind::MaxPool(window) => {
                Some(ops::pool::max_tangent(rec, window, n, dx?, done.extras[index]?))
            }
            LayerKind::AveragePool(window) => Some(ops::pool::average_forward(rec, window, n, dx?)),
            LayerKind::Residual { stride } => {
                let from = self.network.layers[input(1)].stored;
                let shortcut = self.shortcut(from, layer.stored, *stride);
                let Some(dside) = tangents[input(1)] else { return dx };
                let dx = dx.unwrap_or_else(|| ops::add::zeros_like(rec, x));
                Some(ops::shortcut::forward(rec, &shortcut, n, dx, dside))
            }
            LayerKind::Dropout { .. } if self.statistics == Statistics::Running => dx,
            LayerKind::Dropout { rate } => Some(self.dropout(rec, index, *rate, dx?)),
        }
    }

    fn moments(
        &self,
        rec: &mut Recorder,
        norm: &Norm,
        options: &Normalisation,
        running: Option<usize>,
        x: TensorId,
    ) -> TensorId {
        match self.known_statistics(options, running) {
            Some(known) => ops::norm::running_statistics(rec, norm, known),
            None => ops::norm::statistics(rec, norm, x, self.following(options, running)),
        }
    }

    /// The running statistics, if they take the place of the batch's.
    fn known_statistics(&self, options: &Normalisation, running: Option<usize>) -> Option<View> {
        let is_known = self.statistics == Statistics::Running || options.kind == NormKind::Fixed;
        running.filter(|_| is_known).and_then(|running| self.running_view(running))
    }

    /// The running statistics, if they follow the batch's.
    fn following(&self, options: &Normalisation, running: Option<usize>) -> Option<Running> {
        let running = running.filter(|_| self.statistics == Statistics::BatchAndRun)?;
        Some(Running { statistics: self.running_view(running)?, momentum: options.momentum })
    }

    fn running_view(&self, index: usize) -> Option<View> {
        let running = &self.network.running[index];
        Some(View { tensor: self.running?, offset: running.offset, len: 2 * running.stored })
    }
}
