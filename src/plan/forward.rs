//! Forward passes: plain, in dual numbers, and for evaluation.

use crate::gpu::{Recorder, TensorId};
use crate::nn::{LayerKind, Network, Normalisation, ParameterId, Shape};
use crate::ops::{self, View, norm::Norm, residual::Shortcut};

/// The flat vectors that a pass reads, and the ones that change from pass to pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<'a> {
    pub network: &'a Network,
    /// Examples.
    pub n: usize,
    pub parameters: TensorId,
    /// The step's uniform; only dropout reads it.
    pub step: TensorId,
    pub statistics: Statistics,
    /// Tells the dropout masks of passes apart.
    pub stream: u32,
}

/// Where BatchNorm takes its statistics from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistics {
    /// The batch.
    Batch,
    /// The batch, and the running statistics follow.
    BatchAndRun(TensorId),
    /// The running statistics; dropout is off.
    Running(TensorId),
}

/// What a forward pass leaves behind for the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Activations {
    /// Output of each layer.
    pub values: Vec<TensorId>,
    /// Moments of normalisations, winners of maxima.
    pub extras: Vec<Option<TensorId>>,
}

impl Activations {
    /// Class scores.
    pub fn scores(&self) -> TensorId {
        self.values[self.values.len() - 1]
    }
}

impl Pass<'_> {
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

    pub fn dropout_stream(&self, layer: usize) -> u32 {
        2 * layer as u32 + self.stream
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
        // A network without parameters cannot be built, so the scores have a tangent.
        let tangent = tangents.last().copied().flatten().unwrap_or(activations.scores());
        (activations, tangent)
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
            let from = |input: usize| layer.inputs[input].0;
            let (value, extra, tangent) = match &layer.kind {
                LayerKind::Input => (images, None, None),
                _ => {
                    let inputs: Vec<_> = (0..layer.inputs.len())
                        .map(|i| (done.values[from(i)], tangents[from(i)]))
                        .collect();
                    self.layer(rec, index, &inputs, direction)
                }
            };
            done.values.push(value);
            done.extras.push(extra);
            tangents.push(tangent);
        }
        (done, tangents)
    }

    /// One layer: value, what its backward pass needs, tangent.
    fn layer(
        &self,
        rec: &mut Recorder,
        index: usize,
        inputs: &[(TensorId, Option<TensorId>)],
        direction: Option<TensorId>,
    ) -> (TensorId, Option<TensorId>, Option<TensorId>) {
        let layer = &self.network.layers[index];
        let shape_of = |input: usize| self.network.layers[layer.inputs[input].0].shape;
        let (x, dx) = inputs[0];
        let n = self.n;
        match &layer.kind {
            LayerKind::Input => (x, None, None),
            LayerKind::Conv { window, weight, bias } => {
                let weights = self.parameter(self.parameters, *weight);
                let (z, dz) = match direction {
                    None => (ops::conv::forward(rec, window, n, x, weights), None),
                    Some(g) => {
                        let tangent = self.parameter(g, *weight);
                        let (z, dz) = ops::conv::dual(rec, window, n, x, dx, weights, tangent);
                        (z, Some(dz))
                    }
                };
                if let Some(bias) = bias {
                    ops::bias::forward(rec, z, self.parameter(self.parameters, *bias));
                    if let (Some(dz), Some(g)) = (dz, direction) {
                        ops::bias::forward(rec, dz, self.parameter(g, *bias));
                    }
                }
                (z, None, dz)
            }
            LayerKind::Norm { options, scale, shift, running, relu } => {
                let norm = self.norm(options, layer.shape, *relu);
                let affine = self.affine(self.parameters, *scale, *shift);
                let moments = self.moments(rec, &norm, options, *running, x);
                let y = ops::norm::forward(rec, &norm, x, moments, affine);
                let dy = direction.map(|g| {
                    // Behind the images themselves there is no tangent yet.
                    let along = self.affine(g, *scale, *shift);
                    let dx = dx.unwrap_or_else(|| ops::add::zeros_like(rec, x));
                    ops::norm::tangent(rec, &norm, x, dx, moments, affine, along)
                });
                (y, Some(moments), dy)
            }
            LayerKind::Relu => {
                let y = ops::relu::forward(rec, x);
                (y, None, dx.map(|dx| ops::relu::mask(rec, y, dx)))
            }
            LayerKind::MaxPool(window) => {
                let (y, winner) = ops::pool::max_forward(rec, window, n, x);
                let dy = dx.map(|dx| ops::pool::max_tangent(rec, window, n, dx, winner));
                (y, Some(winner), dy)
            }
            LayerKind::AveragePool(window) => {
                let y = ops::pool::average_forward(rec, window, n, x);
                (y, None, dx.map(|dx| ops::pool::average_forward(rec, window, n, dx)))
            }
            LayerKind::Residual { stride } => {
                let shortcut = self.shortcut(shape_of(1), layer.shape, *stride);
                let (side, dside) = inputs[1];
                let y = ops::residual::forward(rec, &shortcut, n, x, side);
                let dy = match (dx, dside) {
                    (Some(dx), Some(dside)) => {
                        Some(ops::residual::forward(rec, &shortcut, n, dx, dside))
                    }
                    (dx, None) => dx,
                    (None, Some(dside)) => {
                        let zero = ops::add::zeros_like(rec, x);
                        Some(ops::residual::forward(rec, &shortcut, n, zero, dside))
                    }
                };
                (y, None, dy)
            }
            LayerKind::Dropout { .. } if matches!(self.statistics, Statistics::Running(_)) => {
                (x, None, dx)
            }
            LayerKind::Dropout { rate } => {
                let stream = self.dropout_stream(index);
                let mut apply = |x| ops::dropout::apply(rec, self.step, *rate, stream, x);
                (apply(x), None, dx.map(apply))
            }
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
        let view = |of: TensorId| {
            running.map(|index| {
                let r = &self.network.running[index];
                View { tensor: of, offset: r.offset, len: 2 * r.channels }
            })
        };
        match self.statistics {
            Statistics::Running(of) if let Some(statistics) = view(of) => {
                ops::norm::running_statistics(rec, norm, statistics)
            }
            Statistics::BatchAndRun(of) if let Some(statistics) = view(of) => {
                let running = ops::norm::Running { statistics, momentum: options.momentum };
                ops::norm::statistics(rec, norm, x, Some(running))
            }
            _ => ops::norm::statistics(rec, norm, x, None),
        }
    }
}
