use super::backward::Delta;
use super::forward::{Activations, Pass, Statistics};
use super::{
    BatchOutputs, DatasetShape, ExchangePoint, Input, Optimizer, Plan, PlanError, Similarity,
    TrainingOptions, Weighting,
};
use crate::gpu::{ElementType, Lifetime, Recorder, Tensor, TensorId};
use crate::nn::{Network, Shape};
use crate::ops::batch::{self, Batch, DeviceDataset, Gather, Stream};
use crate::ops::softmax_cross_entropy::{self as loss, Losses};
use crate::ops::{self, Step, View, adamw, sgd};

/// Plans one training iteration: draw batches, find the weights, take a step.
///
/// The caller supplies the external tensors of the recording, all zero-initialised where not said
/// otherwise: `step` ([`Step`], a uniform buffer), `parameters`, `velocity`, `decay_mask`,
/// with AdamW `second_moment`, `gradient`, `clean_gradient` (flat vectors of the network), `running` (running statistics),
/// `uniform/train` and `uniform/clean` (1/n and 1/m, `[n]` and `[m]`), and the batches or data
/// sets: see [`Input`].
///
/// # Errors
/// When a batch size or image size does not fit.
pub fn training(network: &Network, options: &TrainingOptions) -> Result<Plan, PlanError> {
    check(network, options)?;
    let planner = Planner::new(network, options);
    match options.weighting {
        Weighting::Uniform => planner.uniform(),
        Weighting::L2rw { similarity, decay_in_clean_gradient } => {
            let mixes = network.mixes_examples();
            let default = if mixes { Similarity::Tangent } else { Similarity::PerLayer };
            match similarity.unwrap_or(default) {
                Similarity::Tangent => planner.tangent_route(decay_in_clean_gradient),
                Similarity::PerLayer => planner.per_layer_route(decay_in_clean_gradient),
            }
        }
    }
}

fn check(network: &Network, options: &TrainingOptions) -> Result<(), PlanError> {
    let batches = match &options.input {
        Input::Buffers => vec![
            ("training", options.batch, u32::MAX as usize),
            ("clean", options.clean_batch, u32::MAX as usize),
        ],
        Input::Datasets { train, clean, gather } => {
            let dataset = Shape::new(gather.height, gather.width, gather.channels);
            if dataset != network.input() {
                return Err(PlanError::InputShape { network: network.input(), dataset });
            }
            vec![("training", options.batch, train.len), ("clean", options.clean_batch, clean.len)]
        }
    };
    let used = if options.weighting == Weighting::Uniform { 1 } else { 2 };
    for (which, batch, available) in batches.into_iter().take(used) {
        if batch == 0 || batch > available {
            return Err(PlanError::Batch { which, batch, available });
        }
    }
    Ok(())
}

/// What an iteration under construction refers to.
struct Planner<'a> {
    network: &'a Network,
    options: &'a TrainingOptions,
    rec: Recorder,
    step: TensorId,
    state: sgd::State,
    second_moment: Option<TensorId>,
    gradient: TensorId,
    clean_gradient: TensorId,
    running: Option<TensorId>,
    exchange_points: Vec<ExchangePoint>,
}

/// A batch after its forward pass.
struct Scored {
    batch: Batch,
    activations: Activations,
    losses: Losses,
}

impl<'a> Planner<'a> {
    fn new(network: &'a Network, options: &'a TrainingOptions) -> Self {
        let mut rec = Recorder::new();
        let step = step_tensor(&mut rec);
        let len = network.parameters_len;
        let mut vector = |label| rec.external(label, ElementType::F32, len);
        let state = sgd::State {
            parameters: vector("parameters"),
            velocity: vector("velocity"),
            decay_mask: vector("decay_mask"),
        };
        let (gradient, clean_gradient) = (vector("gradient"), vector("clean_gradient"));
        let has_second_moment = matches!(options.optimizer, Optimizer::AdamW { .. });
        let second_moment = has_second_moment.then(|| vector("second_moment"));
        let running = running_tensor(&mut rec, network);
        let exchange_points = Vec::new();
        Self {
            network,
            options,
            rec,
            step,
            state,
            second_moment,
            gradient,
            clean_gradient,
            running,
            exchange_points,
        }
    }

    /// Plain training.
    fn uniform(mut self) -> Result<Plan, PlanError> {
        let batch = self.batch(Stream::Train);
        self.rec.stage("forward");
        let scored = self.forward(Stream::Train, batch);
        let n = self.options.batch;
        let weights = self.rec.external("uniform/train", ElementType::F32, n);
        self.rec.stage("backward");
        self.weighted_backward(&scored, weights);
        self.update();
        self.finish(scored, None, None, weights, None)
    }

    /// One dual-number forward pass along G gives all u_i.
    fn tangent_route(mut self, decay: bool) -> Result<Plan, PlanError> {
        let (train, clean) = (self.batch(Stream::Train), self.batch(Stream::Clean));
        let clean = self.clean_pass(clean, decay, |_| false).0;

        self.rec.stage("tangent");
        let pass = self.pass(Stream::Train);
        let (activations, tangent) =
            pass.dual_forward(&mut self.rec, train.images, self.clean_gradient);
        let scored = self.scored(train, activations);
        self.rec.stage("weights");
        let u = self.rec.transient("u", self.options.batch);
        let out = View::whole(&self.rec, u);
        let classes = self.network.classes();
        loss::tangent(&mut self.rec, classes, scored.losses.residual, tangent, out);
        let weights = self.weights(u);

        self.rec.stage("backward");
        self.weighted_backward(&scored, weights);
        self.update();
        self.finish(scored, Some(clean), Some(u), weights, Some(Similarity::Tangent))
    }

    /// One unweighted backward pass gives each layer's share of u_i; where examples do not mix,
    /// its results also give the weighted gradient.
    fn per_layer_route(mut self, decay: bool) -> Result<Plan, PlanError> {
        let (n, m) = (self.options.batch, self.options.clean_batch);
        let (train, clean) = (self.batch(Stream::Train), self.batch(Stream::Clean));
        // Decay in G is a term of its own, which only the gradient form has.
        let by_gram = |delta: &Delta| !decay && gram_is_cheaper(delta, n, m);
        let (clean, gram) = self.clean_pass(clean, decay, by_gram);

        self.rec.stage("forward");
        let scored = self.forward(Stream::Train, train);
        self.rec.stage("backward");
        let pass = self.pass(Stream::Train);
        let mut deltas = Vec::new();
        let seed = scored.losses.residual;
        pass.backward(&mut self.rec, &scored.activations, seed, |_, delta| deltas.push(delta));

        self.rec.stage("similarity");
        let u = self.summed_similarities(&deltas, &gram);
        self.rec.stage("weights");
        let weights = self.weights(u);
        if self.network.mixes_examples() {
            self.rec.stage("backward");
            self.weighted_backward(&scored, weights);
        } else {
            self.rec.stage("gradient");
            let pass = self.pass(Stream::Train);
            for delta in &deltas {
                pass.parameter_gradient(&mut self.rec, delta, Some(weights), self.gradient);
            }
        }
        self.update();
        self.finish(scored, Some(clean), Some(u), weights, Some(Similarity::PerLayer))
    }

    fn summed_similarities(&mut self, deltas: &[Delta], gram: &[Delta]) -> TensorId {
        let n = self.options.batch;
        let pitch = n.next_multiple_of(64);
        // At most two rows a layer: weights and bias.
        let tensors = deltas.iter().map(|d| if d.has_bias() { 2 } else { 1 }).sum::<usize>();
        self.rec.label("");
        let parts = self.rec.transient("similarities", tensors * pitch);
        let mut row = 0;
        let mut rows = || {
            row += 1;
            View { tensor: parts, offset: (row - 1) * pitch, len: n }
        };
        let pass = self.pass(Stream::Train);
        for delta in deltas {
            let clean = gram.iter().find(|clean| clean.layer() == delta.layer());
            let clean = clean.map(|clean| (self.options.clean_batch, clean));
            pass.similarity(&mut self.rec, delta, self.clean_gradient, clean, &mut rows);
        }
        self.rec.label("");
        ops::weights::sum_parts(&mut self.rec, n, pitch, parts)
    }

    /// Clean forward and backward pass: G, except for layers that `by_gram` picks, whose inputs and
    /// output gradients are returned instead.
    fn clean_pass(
        &mut self,
        batch: Batch,
        decay: bool,
        by_gram: impl Fn(&Delta) -> bool,
    ) -> (Scored, Vec<Delta>) {
        self.rec.stage("clean");
        let scored = self.forward(Stream::Clean, batch);
        let m = self.options.clean_batch;
        let uniform = self.rec.external("uniform/clean", ElementType::F32, m);
        let classes = self.network.classes();
        let seed = loss::backward(&mut self.rec, classes, scored.losses.residual, uniform);
        let pass = self.pass(Stream::Clean);
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
            sgd::decay_clean_gradient(&mut self.rec, self.step, self.state, into);
        }
        self.exchange(into);
        (scored, gram)
    }

    fn weights(&mut self, u: TensorId) -> TensorId {
        self.rec.label("");
        let total = ops::weights::sum_rectified(&mut self.rec, u);
        self.exchange(total);
        ops::weights::normalise(&mut self.rec, u, total)
    }

    fn weighted_backward(&mut self, scored: &Scored, weights: TensorId) {
        let classes = self.network.classes();
        self.rec.label("loss");
        let seed = loss::backward(&mut self.rec, classes, scored.losses.residual, weights);
        let pass = self.pass(Stream::Train);
        let into = self.gradient;
        pass.backward(&mut self.rec, &scored.activations, seed, |rec, delta| {
            pass.parameter_gradient(rec, &delta, None, into);
        });
    }

    fn update(&mut self) {
        self.exchange(self.gradient);
        self.rec.stage("update");
        self.rec.label("");
        let (rec, step, state) = (&mut self.rec, self.step, self.state);
        match (self.options.optimizer, self.second_moment) {
            (Optimizer::AdamW { beta1, beta2, epsilon }, Some(second_moment)) => {
                let options = adamw::Options { beta1, beta2, epsilon };
                adamw::update(rec, step, state, second_moment, self.gradient, options);
            }
            (optimizer, _) => {
                let nesterov = matches!(optimizer, Optimizer::Sgd { nesterov: true, .. });
                sgd::update(rec, step, state, self.gradient, nesterov);
            }
        }
    }

    fn exchange(&mut self, tensor: TensorId) {
        let before_dispatch = self.rec.dispatch_count();
        self.exchange_points.push(ExchangePoint { tensor, before_dispatch });
    }

    fn pass(&self, stream: Stream) -> Pass<'a> {
        let (n, statistics, stream) = match (stream, self.running) {
            (Stream::Clean, _) => (self.options.clean_batch, Statistics::Batch, 1),
            (_, Some(running)) => (self.options.batch, Statistics::BatchAndRun(running), 0),
            (_, None) => (self.options.batch, Statistics::Batch, 0),
        };
        Pass {
            network: self.network,
            n,
            parameters: self.state.parameters,
            step: self.step,
            statistics,
            stream,
            form: self.options.form,
        }
    }

    fn forward(&mut self, stream: Stream, batch: Batch) -> Scored {
        let activations = self.pass(stream).forward(&mut self.rec, batch.images);
        self.scored(batch, activations)
    }

    fn scored(&mut self, batch: Batch, activations: Activations) -> Scored {
        self.rec.label("loss");
        let classes = self.network.classes();
        let losses = loss::forward(&mut self.rec, classes, activations.scores(), batch.labels);
        Scored { batch, activations, losses }
    }

    fn batch(&mut self, stream: Stream) -> Batch {
        self.rec.stage("batch");
        let (name, n) = match stream {
            Stream::Clean => ("clean", self.options.clean_batch),
            _ => ("train", self.options.batch),
        };
        self.rec.label(name);
        match &self.options.input {
            Input::Buffers => {
                let len = n * self.network.input().len();
                let images = self.rec.external(format!("{name}/images"), ElementType::F32, len);
                let labels = self.rec.external(format!("{name}/labels"), ElementType::U32, n);
                Batch { images, labels, indices: None }
            }
            Input::Datasets { train, clean, gather } => {
                let shape = if stream == Stream::Clean { clean } else { train };
                let data = dataset_tensors(&mut self.rec, name, shape, gather);
                batch::draw(&mut self.rec, self.step, &data, n, gather, stream)
            }
        }
    }

    fn finish(
        mut self,
        train: Scored,
        clean: Option<Scored>,
        similarities: Option<TensorId>,
        weights: TensorId,
        similarity: Option<Similarity>,
    ) -> Result<Plan, PlanError> {
        let train = keep_outputs(&mut self.rec, "train", &train);
        let clean = clean.map(|clean| keep_outputs(&mut self.rec, "clean", &clean));
        self.rec.keep(weights, "weights");
        if let Some(u) = similarities {
            self.rec.keep(u, "similarities");
        }
        let exact = similarity != Some(Similarity::PerLayer) || !self.network.mixes_examples();
        Ok(Plan {
            recording: self.rec.finish()?,
            train,
            clean,
            similarities,
            weights,
            similarity,
            exact,
            exchange_points: self.exchange_points,
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

pub(crate) fn step_tensor(rec: &mut Recorder) -> TensorId {
    rec.tensor(Tensor {
        label: "step".into(),
        len: Step::WORDS,
        element: ElementType::U32,
        lifetime: Lifetime::ExternalUniform,
    })
}

pub(super) fn running_tensor(rec: &mut Recorder, network: &Network) -> Option<TensorId> {
    let len = network.running_len;
    (len > 0).then(|| rec.external("running", ElementType::F32, len))
}

/// External tensors of a data set: `<name>/dataset0`, … , `<name>/dataset_labels`, and the
/// `normalisation` that all sets share.
pub(super) fn dataset_tensors(
    rec: &mut Recorder,
    name: &str,
    shape: &DatasetShape,
    gather: &Gather,
) -> DeviceDataset {
    let image = gather.height * gather.width * gather.channels;
    let pieces = (0..shape.len.div_ceil(shape.images_per_piece.max(1)))
        .map(|piece| {
            let left = shape.len - piece * shape.images_per_piece;
            let words = (left.min(shape.images_per_piece) * image).div_ceil(4);
            rec.external(format!("{name}/dataset{piece}"), ElementType::U32, words)
        })
        .collect();
    DeviceDataset {
        len: shape.len,
        pieces,
        images_per_piece: shape.images_per_piece,
        labels: rec.external(format!("{name}/dataset_labels"), ElementType::U32, shape.len),
        normalisation: normalisation_tensor(rec, gather.channels),
    }
}

fn normalisation_tensor(rec: &mut Recorder, channels: usize) -> TensorId {
    rec.find("normalisation")
        .unwrap_or_else(|| rec.external("normalisation", ElementType::F32, 2 * channels))
}
