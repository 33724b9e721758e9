//! One training iteration under construction: what weighting methods record with.

use super::backward::Delta;
use super::externals::{dataset_tensors, running_tensor, step_tensor};
use super::forward::{Activations, Pass, Statistics};
use super::{
    BatchOutputs, ExchangePoint, Facts, Input, Optimizer, Plan, PlanError, Similarity, StateTensor,
    TrainingOptions,
};
use crate::gpu::{ElementType, Recorder, TensorId};
use crate::nn::{LayerKind, Network};
use crate::ops::batch::{self, Batch, DeviceDataset, Gather, Stream};
use crate::ops::softmax_cross_entropy::{self as loss, Losses};
use crate::ops::{self, View, adamw, sample, sgd};
use crate::weighting::Sampling;

/// A training iteration under construction. A [`Method`](crate::weighting::Method) records what
/// it needs of it, in order: batches, passes, weights, the gradient of the weighted loss.
#[derive(Debug)]
pub struct Iteration<'a> {
    network: &'a Network,
    options: &'a TrainingOptions,
    facts: &'a Facts<'a>,
    rec: Recorder,
    step: TensorId,
    vectors: sgd::State,
    second_moment: Option<TensorId>,
    gradient: TensorId,
    clean_gradient: TensorId,
    running: Option<TensorId>,
    exchange_points: Vec<ExchangePoint>,
    state: Vec<StateTensor>,
    pass_len: Option<usize>,
    /// Layers from this one on take part in the similarities.
    first_layer: usize,
}

/// A batch after its forward pass.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Images, labels and indices.
    pub batch: Batch,
    /// Losses, their gradients by the scores, predictions.
    pub losses: Losses,
    activations: Activations,
}

impl Scored {
    /// Class scores, `[n, classes]`.
    pub fn scores(&self) -> TensorId {
        self.activations.scores()
    }
}

/// What a method found out, for the reports.
#[derive(Debug)]
pub struct Weighed {
    /// The training batch.
    pub train: Scored,
    /// The clean batch, of methods that look at it.
    pub clean: Option<Scored>,
    /// w, `[n]`.
    pub weights: TensorId,
    /// u, `[n]`, of methods that compute it.
    pub similarities: Option<TensorId>,
    /// The route taken to u.
    pub route: Option<Similarity>,
}

impl Weighed {
    /// Weights found without clean examples.
    pub fn new(train: Scored, weights: TensorId) -> Self {
        Self { train, clean: None, weights, similarities: None, route: None }
    }
}

/// The results of one backward pass, layer by layer.
#[derive(Debug, Default)]
pub struct Layerwise(Vec<Delta>);

impl<'a> Iteration<'a> {
    pub(super) fn new(
        network: &'a Network,
        options: &'a TrainingOptions,
        facts: &'a Facts<'a>,
    ) -> Self {
        let mut rec = Recorder::new();
        rec.tune(options.tuning);
        let step = step_tensor(&mut rec);
        let len = network.parameters_len;
        let mut vector = |label| rec.external(label, ElementType::F32, len);
        let vectors = sgd::State {
            parameters: vector("parameters"),
            velocity: vector("velocity"),
            decay_mask: vector("decay_mask"),
        };
        let (gradient, clean_gradient) = (vector("gradient"), vector("clean_gradient"));
        let has_second_moment = matches!(options.optimizer, Optimizer::AdamW { .. });
        let second_moment = has_second_moment.then(|| vector("second_moment"));
        let running = running_tensor(&mut rec, network);
        Self {
            network,
            options,
            facts,
            rec,
            step,
            vectors,
            second_moment,
            gradient,
            clean_gradient,
            running,
            exchange_points: Vec::new(),
            state: Vec::new(),
            pass_len: None,
            first_layer: 0,
        }
    }

    /// The recorder, for kernels of the method's own.
    pub fn rec(&mut self) -> &mut Recorder {
        &mut self.rec
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// What is known of the training set.
    pub fn facts(&self) -> &'a Facts<'a> {
        self.facts
    }

    /// n, the training examples of a step.
    pub fn batch_len(&self) -> usize {
        self.options.batch
    }

    /// The step's uniform ([`Step`](crate::ops::Step)).
    pub fn step(&self) -> TensorId {
        self.step
    }

    /// θ, the flat vector of parameters.
    pub fn parameters(&self) -> TensorId {
        self.vectors.parameters
    }

    /// G, a flat vector like the parameters: what [`Iteration::clean_pass`] writes.
    pub fn clean_gradient(&self) -> TensorId {
        self.clean_gradient
    }

    /// The flat vector that the step at the end of the iteration follows.
    pub fn gradient(&self) -> TensorId {
        self.gradient
    }

    /// The number of examples in the training set; `None` where the caller supplies batches.
    pub fn training_len(&self) -> Option<usize> {
        match &self.options.input {
            Input::Buffers => None,
            Input::Datasets { train, .. } => Some(train.len),
        }
    }

    /// A tensor of the method that lives from step to step and is part of checkpoints, called
    /// `weighting/<name>`. The second call with a name returns the same tensor.
    pub fn state(&mut self, name: &str, initial: impl FnOnce() -> Vec<f32>) -> TensorId {
        let words = || initial().into_iter().map(f32::to_bits).collect();
        self.external(name, ElementType::F32, true, words)
    }

    /// A table of numbers that no step changes; not part of checkpoints.
    pub fn table(&mut self, name: &str, content: impl FnOnce() -> Vec<f32>) -> TensorId {
        let words = || content().into_iter().map(f32::to_bits).collect();
        self.external(name, ElementType::F32, false, words)
    }

    /// A table of integers that no step changes.
    pub fn integers(&mut self, name: &str, content: impl FnOnce() -> Vec<u32>) -> TensorId {
        self.external(name, ElementType::U32, false, content)
    }

    fn external(
        &mut self,
        name: &str,
        element: ElementType,
        saved: bool,
        content: impl FnOnce() -> Vec<u32>,
    ) -> TensorId {
        let label = StateTensor::label_of(name);
        if let Some(known) = self.rec.find(&label) {
            return known;
        }
        let initial = content();
        let tensor = self.rec.external(label, element, initial.len());
        self.state.push(StateTensor { name: name.to_owned(), tensor, initial, saved });
        tensor
    }

    /// 1/n for each training example.
    pub fn uniform(&mut self) -> TensorId {
        self.uniform_of("train", self.options.batch)
    }

    fn uniform_of(&mut self, name: &str, len: usize) -> TensorId {
        let label = format!("uniform/{name}");
        let known = self.rec.find(&label);
        known.unwrap_or_else(|| self.rec.external(label, ElementType::F32, len))
    }

    /// Draws the step's training batch, as the method's sampling says.
    ///
    /// # Errors
    /// When the sampling needs facts that are not known, or a data set.
    pub fn training_batch(&mut self) -> Result<Batch, PlanError> {
        let sampling = self.options.weighting.sampling(self.facts)?;
        self.batch(Stream::Train, &sampling)
    }

    /// Draws the step's clean batch.
    ///
    /// # Errors
    /// When the clean set cannot be planned for.
    pub fn clean_batch(&mut self) -> Result<Batch, PlanError> {
        self.batch(Stream::Clean, &Sampling::Passes)
    }

    /// Forward pass of the training batch, with the method's losses.
    ///
    /// # Errors
    /// When the method cannot record its losses.
    pub fn forward(&mut self, batch: Batch) -> Result<Scored, PlanError> {
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
    ) -> Result<(Scored, TensorId), PlanError> {
        self.rec.stage("tangent");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        let (activations, tangent) = pass.dual_forward(&mut self.rec, batch.images, direction);
        let scored = self.scored(Stream::Train, batch, activations)?;
        let derivatives = self.loss_derivatives(&scored, tangent);
        Ok((scored, derivatives))
    }

    /// The directional derivative of every loss of a batch that went through its forward pass
    /// before, `[n]`: the tangent half of [`Iteration::dual_forward`].
    pub fn tangent(&mut self, scored: &Scored, direction: TensorId) -> TensorId {
        self.rec.stage("tangent");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        let tangent = pass.tangent(&mut self.rec, &scored.activations, direction);
        self.loss_derivatives(scored, tangent)
    }

    fn loss_derivatives(&mut self, scored: &Scored, tangent: TensorId) -> TensorId {
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
    ) -> Result<Scored, PlanError> {
        Ok(self.clean_pass_by(batch, parameters, decay, |_| false)?.0)
    }

    /// The same for the per-layer route: for layers whose similarity is cheaper in the Gram form,
    /// inputs and output gradients instead of their part of G.
    ///
    /// # Errors
    /// As [`Iteration::clean_pass`].
    pub fn layerwise_clean_pass(
        &mut self,
        batch: Batch,
        parameters: TensorId,
        decay: bool,
    ) -> Result<(Scored, Layerwise), PlanError> {
        let (n, m) = (self.options.batch, self.options.clean_batch);
        // Decay in G is a term of its own, which only the gradient form has.
        let by_gram = |delta: &Delta| !decay && gram_is_cheaper(delta, n, m);
        self.clean_pass_by(batch, parameters, decay, by_gram)
    }

    fn clean_pass_by(
        &mut self,
        batch: Batch,
        parameters: TensorId,
        decay: bool,
        by_gram: impl Fn(&Delta) -> bool,
    ) -> Result<(Scored, Layerwise), PlanError> {
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
            if by_gram(&delta) {
                pass.bias_gradient(rec, &delta, into);
                gram.push(delta);
            } else {
                pass.parameter_gradient(rec, &delta, None, into);
            }
        });
        if decay {
            self.rec.label("");
            let vectors = sgd::State { parameters, ..self.vectors };
            sgd::decay_clean_gradient(&mut self.rec, self.step, vectors, into);
        }
        self.exchange(into);
        Ok((scored, Layerwise(gram)))
    }

    /// Unweighted backward pass of the training batch.
    pub fn layerwise_backward(&mut self, scored: &Scored) -> Layerwise {
        self.rec.stage("backward");
        let pass = Pass { first_layer: 0, ..self.pass(Stream::Train, self.vectors.parameters) };
        let mut deltas = Vec::new();
        let seed = scored.losses.residual;
        pass.backward(&mut self.rec, &scored.activations, seed, |_, delta| deltas.push(delta));
        Layerwise(deltas)
    }

    /// u from the layer-wise results of the training batch and, where `gram` has them, of the
    /// clean batch; from G elsewhere.
    pub fn layerwise_similarities(&mut self, layers: &Layerwise, gram: &Layerwise) -> TensorId {
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
        let u = ops::weights::sum_parts(&mut self.rec, n, pitch, parts);
        self.rec.stage("weights");
        u
    }

    /// w = max(u, 0) / Σ max(u, 0), all 0 where the sum is 0.
    pub fn normalise(&mut self, u: TensorId) -> TensorId {
        self.rec.label("");
        let total = ops::weights::sum_rectified(&mut self.rec, u);
        self.exchange(total);
        ops::weights::normalise(&mut self.rec, u, total)
    }

    /// w = max(u, 0) / n: factors of the mean loss.
    pub fn mean(&mut self, u: TensorId) -> TensorId {
        self.rec.label("");
        let n = self.options.batch as f32;
        let total = self.table("batch size", || vec![n]);
        ops::weights::normalise(&mut self.rec, u, total)
    }

    /// Gradient of Σ w_i f_i by the parameters into [`Iteration::gradient`].
    pub fn weighted_backward(&mut self, scored: &Scored, weights: TensorId) {
        self.rec.stage("backward");
        let classes = self.network.classes();
        self.rec.label("loss");
        let seed = loss::backward(&mut self.rec, classes, scored.losses.residual, weights);
        let pass = Pass { first_layer: 0, ..self.pass(Stream::Train, self.vectors.parameters) };
        let into = self.gradient;
        pass.backward(&mut self.rec, &scored.activations, seed, |rec, delta| {
            pass.parameter_gradient(rec, &delta, None, into);
        });
        self.exchange(into);
    }

    /// The same from the results of an unweighted backward pass; exact where examples do not mix.
    pub fn layerwise_gradient(&mut self, layers: &Layerwise, weights: TensorId) {
        self.rec.stage("gradient");
        let pass = self.pass(Stream::Train, self.vectors.parameters);
        for delta in &layers.0 {
            pass.parameter_gradient(&mut self.rec, delta, Some(weights), self.gradient);
        }
        self.exchange(self.gradient);
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

    /// Lets only the last `count` layers with weights take part in G and in the similarities.
    pub fn last_layers(&mut self, count: usize) {
        let layers = self.network.layers.iter().enumerate();
        let weighted = layers.filter(|(_, layer)| matches!(layer.kind, LayerKind::Conv { .. }));
        let indices: Vec<usize> = weighted.map(|(index, _)| index).collect();
        let left_out = indices.len().saturating_sub(count.max(1));
        self.first_layer = if left_out == 0 { 0 } else { indices[left_out] };
    }

    fn exchange(&mut self, tensor: TensorId) {
        let before_dispatch = self.rec.dispatch_count();
        self.exchange_points.push(ExchangePoint { tensor, before_dispatch });
    }

    fn pass(&self, stream: Stream, parameters: TensorId) -> Pass<'a> {
        let (n, statistics, stream) = match (stream, self.running) {
            (Stream::Clean, _) => (self.options.clean_batch, Statistics::Batch, 1),
            (_, Some(running)) => (self.options.batch, Statistics::BatchAndRun(running), 0),
            (_, None) => (self.options.batch, Statistics::Batch, 0),
        };
        Pass {
            network: self.network,
            n,
            parameters,
            step: self.step,
            statistics,
            stream,
            first_layer: self.first_layer,
        }
    }

    fn scored(
        &mut self,
        of: Stream,
        batch: Batch,
        activations: Activations,
    ) -> Result<Scored, PlanError> {
        self.rec.label("loss");
        let (scores, labels) = (activations.scores(), batch.labels);
        let losses = match of {
            Stream::Train => self.options.weighting.losses(self, scores, labels)?,
            _ => self.cross_entropy(scores, labels),
        };
        Ok(Scored { batch, activations, losses })
    }

    /// Softmax cross-entropy of scores `[n, classes]` against labels `[n]`.
    pub fn cross_entropy(&mut self, scores: TensorId, labels: TensorId) -> Losses {
        loss::forward(&mut self.rec, self.network.classes(), scores, labels)
    }

    fn batch(&mut self, stream: Stream, sampling: &Sampling) -> Result<Batch, PlanError> {
        self.rec.stage("batch");
        let (name, n) = match stream {
            Stream::Clean => ("clean", self.options.clean_batch),
            _ => ("train", self.options.batch),
        };
        self.rec.label(name);
        match &self.options.input {
            Input::Buffers if *sampling == Sampling::Passes => {
                let len = n * self.network.input().len();
                let images = self.rec.external(format!("{name}/images"), ElementType::F32, len);
                let labels = self.rec.external(format!("{name}/labels"), ElementType::U32, n);
                Ok(Batch { images, labels, indices: None })
            }
            Input::Buffers => Err(PlanError::Weighting {
                method: self.options.weighting.name().into(),
                reason: "it draws its own batches, so it needs data sets instead of buffers".into(),
            }),
            Input::Datasets { train, clean, gather } => {
                let shape = if stream == Stream::Clean { clean } else { train };
                let data = dataset_tensors(&mut self.rec, name, shape, gather);
                match sampling {
                    Sampling::Passes => {
                        Ok(batch::draw(&mut self.rec, self.step, &data, n, gather, stream))
                    }
                    _ => self.sampled_batch(&data, gather, sampling),
                }
            }
        }
    }

    /// A training batch by a rule of the method.
    fn sampled_batch(
        &mut self,
        data: &DeviceDataset,
        gather: &Gather,
        sampling: &Sampling,
    ) -> Result<Batch, PlanError> {
        let fail = |reason: String| PlanError::Weighting {
            method: self.options.weighting.name().into(),
            reason,
        };
        sampling.check(data.len).map_err(fail)?;
        let n = self.options.batch;
        self.pass_len = sampling.pass_len(data.len);
        if let Some(available) = self.pass_len.filter(|len| *len < n) {
            return Err(PlanError::Batch { which: "training", batch: n, available });
        }
        let (order, starts) = sampling.tables(data.len);
        let order = self.integers("sampling order", || order);
        let starts = self.integers("sampling starts", || starts);
        let (step, rule) = (self.step, sampling.rule());
        let picked = sample::draw(&mut self.rec, step, data, n, order, starts, rule);
        let drawn = picked.drawn;
        let images = batch::gather(&mut self.rec, step, data, drawn, gather, Stream::Train);
        let batch = Batch { images, labels: drawn.labels, indices: Some(drawn.indices) };
        let Some((count, neighbours)) = sampling.neighbours() else { return Ok(batch) };
        let table = self.integers("neighbours", || neighbours.to_vec());
        let partners = sample::partners(&mut self.rec, step, &picked, table, count);
        let others = batch::gather(&mut self.rec, step, data, partners, gather, Stream::Train);
        let images = sample::mix(&mut self.rec, step, &picked, data.len, images, others);
        Ok(Batch { images, ..batch })
    }

    fn update(&mut self) {
        self.rec.stage("update");
        self.rec.label("");
        let (rec, step, vectors) = (&mut self.rec, self.step, self.vectors);
        match (self.options.optimizer, self.second_moment) {
            (Optimizer::AdamW { beta1, beta2, epsilon }, Some(second_moment)) => {
                let options = adamw::Options { beta1, beta2, epsilon };
                adamw::update(rec, step, vectors, second_moment, self.gradient, options);
            }
            (optimizer, _) => {
                let nesterov = matches!(optimizer, Optimizer::Sgd { nesterov: true, .. });
                sgd::update(rec, step, vectors, self.gradient, nesterov);
            }
        }
    }

    pub(super) fn finish(mut self, weighed: Weighed) -> Result<Plan, PlanError> {
        self.update();
        let train = keep_outputs(&mut self.rec, "train", &weighed.train);
        let clean = weighed.clean.map(|clean| keep_outputs(&mut self.rec, "clean", &clean));
        self.rec.keep(weighed.weights, "weights");
        if let Some(u) = weighed.similarities {
            self.rec.keep(u, "similarities");
        }
        let approximates =
            weighed.route == Some(Similarity::PerLayer) && self.network.mixes_examples();
        Ok(Plan {
            recording: self.rec.finish()?,
            train,
            clean,
            similarities: weighed.similarities,
            weights: weighed.weights,
            similarity: weighed.route,
            exact: !approximates && self.first_layer == 0,
            exchange_points: self.exchange_points,
            state: self.state,
            pass_len: self.pass_len,
        })
    }
}

fn keep_outputs(rec: &mut Recorder, name: &str, scored: &Scored) -> BatchOutputs {
    let outputs = BatchOutputs {
        indices: scored.batch.indices,
        losses: scored.losses.losses,
        predictions: scored.losses.predictions,
        scores: scored.activations.scores(),
    };
    if let Some(indices) = outputs.indices {
        rec.keep(indices, &format!("{name}/indices"));
    }
    rec.keep(outputs.losses, &format!("{name}/losses"));
    rec.keep(outputs.predictions, &format!("{name}/predictions"));
    rec.keep(outputs.scores, &format!("{name}/scores"));
    outputs
}

/// Whether a layer's share of u is found without G.
fn gram_is_cheaper(delta: &Delta, n: usize, m: usize) -> bool {
    match delta {
        Delta::Conv { window, .. } => ops::gram::is_cheaper(window, n, m),
        Delta::Norm { .. } => false,
    }
}
