//! Passes over a batch, and what they yield.

use super::{IterationBuilder, LayerDeltas, ScoredBatch};
use crate::gpu::TensorId;
use crate::ops::batch::{Batch, Stream};
use crate::ops::softmax_cross_entropy::{self as loss, Losses};
use crate::ops::{self, View, sgd};
use crate::plan::backward::Delta;
use crate::plan::forward::{Activations, Pass, Statistics};
use crate::plan::{Exchange, PlanError};

impl<'a> IterationBuilder<'a> {
    /// Forward pass of the training batch, with the method's losses.
    ///
    /// # Errors
    /// When the method cannot record its losses.
    pub fn forward(&mut self, batch: Batch) -> Result<ScoredBatch, PlanError> {
        self.rec.stage("forward");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        let activations = pass.forward(&mut self.rec, batch.images);
        self.scored(Stream::Train, batch, activations)
    }

    /// Forward pass of the training batch in dual numbers along `direction`, a vector like the
    /// parameters: also the directional derivative of every loss, `[n]`.
    ///
    /// # Errors
    /// When the method cannot record its losses.
    pub fn dual_forward(
        &mut self,
        batch: Batch,
        direction: TensorId,
    ) -> Result<(ScoredBatch, TensorId), PlanError> {
        self.rec.stage("tangent");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        let (activations, tangent) = pass.dual_forward(&mut self.rec, batch.images, direction);
        let scored = self.scored(Stream::Train, batch, activations)?;
        let derivatives = self.loss_derivatives(&scored, tangent);
        Ok((scored, derivatives))
    }

    /// The directional derivative of every loss of a batch that went through its forward pass
    /// before, `[n]`: the tangent half of [`IterationBuilder::dual_forward`].
    pub fn tangent(&mut self, scored: &ScoredBatch, direction: TensorId) -> TensorId {
        self.rec.stage("tangent");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        let tangent = pass.tangent(&mut self.rec, &scored.activations, direction);
        self.loss_derivatives(scored, tangent)
    }

    fn loss_derivatives(&mut self, scored: &ScoredBatch, tangent: TensorId) -> TensorId {
        self.rec.stage("weights");
        let u = self.rec.transient("u", self.options.batch);
        let out = View::whole(&self.rec, u);
        loss::tangent(&mut self.rec, self.network.classes(), scored.losses.residual, tangent, out);
        u
    }

    /// Clean forward and backward pass at `parameters`: G, the gradient of the mean clean loss.
    /// With `decay`, of that loss with weight decay.
    ///
    /// # Errors
    /// When the clean set cannot be planned for.
    pub fn clean_pass(
        &mut self,
        batch: Batch,
        parameters: TensorId,
        decay: bool,
    ) -> Result<ScoredBatch, PlanError> {
        Ok(self.clean_pass_by(batch, parameters, decay, |_| false)?.0)
    }

    /// The same for the per-layer route: for layers whose similarity is cheaper in the Gram form,
    /// inputs and output gradients instead of their part of G.
    ///
    /// # Errors
    /// As [`IterationBuilder::clean_pass`].
    pub fn layerwise_clean_pass(
        &mut self,
        batch: Batch,
        parameters: TensorId,
        decay: bool,
    ) -> Result<(ScoredBatch, LayerDeltas), PlanError> {
        let (n, m) = (self.options.batch, self.options.clean_batch);
        // Decay in G is a term of its own, which only the gradient form has. The Gram form has
        // nothing that ranks could sum.
        let possible = !decay && self.share.is_whole();
        let by_gram = |delta: &Delta| possible && gram_is_cheaper(delta, n, m);
        self.clean_pass_by(batch, parameters, decay, by_gram)
    }

    fn clean_pass_by(
        &mut self,
        batch: Batch,
        parameters: TensorId,
        decay: bool,
        by_gram: impl Fn(&Delta) -> bool,
    ) -> Result<(ScoredBatch, LayerDeltas), PlanError> {
        self.rec.stage("clean");
        let pass = self.pass(Stream::Clean, parameters);
        let activations = pass.forward(&mut self.rec, batch.images);
        let scored = self.scored(Stream::Clean, batch, activations)?;
        let uniform = self.uniform_of("clean", self.options.clean_batch);
        let classes = self.network.classes();
        let seed = loss::backward(&mut self.rec, classes, scored.losses.residual, uniform);
        let into = self.clean_gradient;
        let mut gram = Vec::new();
        pass.backward(&mut self.rec, &scored.activations, seed, |rec, delta| {
            if by_gram(delta) {
                pass.bias_gradient(rec, delta, into);
                gram.push(delta.clone());
            } else {
                pass.parameter_gradient(rec, delta, None, into);
            }
        });
        self.exchange(into, Exchange::Sum);
        if decay {
            self.rec.label("");
            let vectors = sgd::State { parameters, ..self.vectors };
            sgd::decay_clean_gradient(&mut self.rec, self.step, vectors, into);
        }
        Ok((scored, LayerDeltas(gram)))
    }

    /// Unweighted backward pass of the training batch.
    pub fn layerwise_backward(&mut self, scored: &ScoredBatch) -> LayerDeltas {
        self.rec.stage("backward");
        let pass = Pass { first_layer: 0, ..self.pass(Stream::Train, self.vectors.parameters) };
        let mut deltas = Vec::new();
        let seed = scored.losses.residual;
        pass.backward(&mut self.rec, &scored.activations, seed, |_, delta| {
            deltas.push(delta.clone());
        });
        LayerDeltas(deltas)
    }

    /// u from the layer-wise results of the training batch and, where `gram` has them, of the
    /// clean batch; from G elsewhere.
    pub fn layerwise_similarities(&mut self, layers: &LayerDeltas, gram: &LayerDeltas) -> TensorId {
        self.rec.stage("similarity");
        let n = self.options.batch;
        let pitch = n.next_multiple_of(64);
        let taking_part = || layers.0.iter().filter(|delta| delta.layer() >= self.first_layer);
        // At most two rows a layer: weights and bias.
        let tensors = taking_part().map(|d| if d.has_bias() { 2 } else { 1 }).sum::<usize>();
        let deltas: Vec<&Delta> = taking_part().collect();
        self.rec.label("");
        let parts = self.rec.transient("similarities", tensors * pitch);
        let mut row = 0;
        let mut rows = || {
            row += 1;
            View { tensor: parts, offset: (row - 1) * pitch, len: n }
        };
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        for delta in deltas {
            let clean = gram.0.iter().find(|clean| clean.layer() == delta.layer());
            let clean = clean.map(|clean| (self.options.clean_batch, clean));
            pass.similarity(&mut self.rec, delta, self.clean_gradient, clean, &mut rows);
        }
        self.rec.label("");
        let u = ops::example_weights::sum_parts(&mut self.rec, n, pitch, parts);
        self.rec.stage("weights");
        u
    }

    /// Gradient of Σ w_i f_i by the parameters into [`IterationBuilder::gradient`].
    pub fn weighted_backward(&mut self, scored: &ScoredBatch, weights: TensorId) {
        self.rec.stage("backward");
        let classes = self.network.classes();
        self.rec.label("loss");
        let seed = loss::backward(&mut self.rec, classes, scored.losses.residual, weights);
        let pass = Pass { first_layer: 0, ..self.pass(Stream::Train, self.vectors.parameters) };
        let into = self.gradient;
        pass.backward(&mut self.rec, &scored.activations, seed, |rec, delta| {
            pass.parameter_gradient(rec, delta, None, into);
        });
        self.exchange(into, Exchange::Sum);
    }

    /// The same from the results of an unweighted backward pass; exact where examples do not mix.
    pub fn layerwise_gradient(&mut self, layers: &LayerDeltas, weights: TensorId) {
        self.rec.stage("gradient");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        for delta in &layers.0 {
            let mut delta = delta.clone();
            pass.parameter_gradient(&mut self.rec, &mut delta, Some(weights), self.gradient);
        }
        self.exchange(self.gradient, Exchange::Sum);
    }

    /// θ − η·gradient, a vector like the parameters: a plain step that is not taken.
    pub fn virtual_step(&mut self) -> TensorId {
        self.rec.label("virtual step");
        let len = self.network.parameters_len;
        let stepped = self.table("virtual parameters", || vec![0.0; len]);
        let (from, gradient) = (self.vectors.parameters, self.gradient);
        sgd::virtual_step(&mut self.rec, self.step, from, gradient, stepped);
        stepped
    }

    fn pass(&self, stream: Stream, parameters: TensorId) -> Pass<'a> {
        let slots = self.slots(stream);
        let whole = if stream == Stream::Clean { self.whole.1 } else { self.whole.0 };
        let (statistics, stream) = match stream {
            Stream::Clean => (Statistics::Batch, 1),
            _ => (Statistics::BatchAndRun, 0),
        };
        Pass {
            network: self.network,
            n: slots.len(),
            whole: self.share.is_synchronised().then_some(whole),
            first_slot: slots.start,
            parameters,
            step: self.step,
            statistics,
            running: self.running,
            stream,
            first_layer: self.first_layer,
        }
    }

    fn scored(
        &mut self,
        of: Stream,
        batch: Batch,
        activations: Activations,
    ) -> Result<ScoredBatch, PlanError> {
        self.rec.label("loss");
        let (scores, labels) = (activations.scores(), batch.labels);
        let losses = match of {
            Stream::Train => self.options.weighting.losses(self, scores, labels)?,
            _ => self.cross_entropy(scores, labels),
        };
        Ok(ScoredBatch { batch, activations, losses })
    }

    /// Softmax cross-entropy of scores `[n, classes]` against labels `[n]`.
    pub fn cross_entropy(&mut self, scores: TensorId, labels: TensorId) -> Losses {
        loss::forward(&mut self.rec, self.network.classes(), scores, labels)
    }
}

/// Whether a layer's share of u is found without G.
fn gram_is_cheaper(delta: &Delta, n: usize, m: usize) -> bool {
    match delta {
        Delta::Conv { window, .. } => ops::gram::is_cheaper(window, n, m),
        Delta::Norm { .. } => false,
    }
}
