//! One training iteration under construction: what weighting methods record with.

mod batches;
mod passes;

use std::ops::{Deref, DerefMut};

use super::backward::Delta;
use super::externals::{running_tensor, step_tensor};
use super::forward::Activations;
use super::{
    BatchOutputs, DatasetFacts, Exchange, ExchangePoint, Input, Optimizer, Plan, PlanError, Route,
    Share, StateTensor, TrainingOptions,
};
use crate::gpu::{ElementType, Recorder, TensorId};
use crate::nn::Network;
use crate::ops::batch::Batch;
use crate::ops::not_finite::{self, Quantity};
use crate::ops::softmax_cross_entropy::Losses;
use crate::ops::{self, adamw, sgd};

/// A training iteration under construction. A [`Method`](crate::plan::Method) records what
/// it needs of it, in order: batches, passes, weights, the gradient of the weighted loss.
#[derive(Debug)]
pub struct IterationBuilder<'a> {
    network: &'a Network,
    /// n and m are those of the share.
    options: &'a TrainingOptions,
    facts: &'a DatasetFacts<'a>,
    share: Share,
    /// n and m of the whole batch.
    whole: (usize, usize),
    rec: Recorder,
    step: TensorId,
    vectors: sgd::State,
    second_moment: Option<TensorId>,
    gradient: TensorId,
    clean_gradient: TensorId,
    running: Option<TensorId>,
    /// What is not finite: [`not_finite`].
    found: TensorId,
    exchange_points: Vec<ExchangePoint>,
    state: Vec<StateTensor>,
    pass_len: Option<usize>,
    /// Layers from this one on take part in the similarities.
    first_layer: usize,
    has_weighed_classes: bool,
}

/// A batch after its forward pass.
#[derive(Clone, Debug)]
pub struct ScoredBatch {
    /// Images, labels and indices.
    pub batch: Batch,
    /// Losses, their gradients by the scores, predictions.
    pub losses: Losses,
    activations: Activations,
}

impl ScoredBatch {
    /// Class scores, `[n, classes]`.
    pub fn scores(&self) -> TensorId {
        self.activations.scores()
    }
}

/// What a method found out, for the reports.
#[derive(Debug)]
pub struct WeightedBatch {
    /// The training batch.
    pub train: ScoredBatch,
    /// The clean batch, of methods that look at it.
    pub clean: Option<ScoredBatch>,
    /// w, `[n]`.
    pub weights: TensorId,
    /// u, `[n]`, of methods that compute it.
    pub similarities: Option<TensorId>,
    /// The route taken to u.
    pub route: Option<Route>,
}

impl WeightedBatch {
    /// Weights found without clean examples.
    pub fn new(train: ScoredBatch, weights: TensorId) -> Self {
        Self { train, clean: None, weights, similarities: None, route: None }
    }
}

/// The results of one backward pass, layer by layer.
#[derive(Debug, Default)]
pub struct LayerDeltas(Vec<Delta>);

/// The recorder of an iteration in the hands of a method: [`IterationBuilder::rec`].
#[derive(Debug)]
pub struct MethodRecorder<'a>(&'a mut Recorder);

impl Deref for MethodRecorder<'_> {
    type Target = Recorder;

    fn deref(&self) -> &Recorder {
        self.0
    }
}

impl DerefMut for MethodRecorder<'_> {
    fn deref_mut(&mut self) -> &mut Recorder {
        self.0
    }
}

impl Drop for MethodRecorder<'_> {
    fn drop(&mut self) {
        self.0.trust(true);
    }
}

impl<'a> IterationBuilder<'a> {
    pub(super) fn new(
        network: &'a Network,
        options: &'a TrainingOptions,
        facts: &'a DatasetFacts<'a>,
        (share, whole): (Share, (usize, usize)),
    ) -> Self {
        let mut rec = Recorder::new();
        rec.trust(true);
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
        let found = rec.external("not_finite", ElementType::U32, not_finite::SLOTS);
        Self {
            network,
            options,
            facts,
            share,
            whole,
            rec,
            step,
            vectors,
            second_moment,
            gradient,
            clean_gradient,
            running,
            found,
            exchange_points: Vec::new(),
            state: Vec::new(),
            pass_len: None,
            first_layer: 0,
            has_weighed_classes: false,
        }
    }

    /// The recorder, for kernels of the method's own. Whatever is recorded through it is compiled
    /// with runtime checks, since nobody knows with what sizes a kernel is called.
    pub fn rec(&mut self) -> MethodRecorder<'_> {
        self.rec.trust(false);
        MethodRecorder(&mut self.rec)
    }

    /// The recorder, for what the crate answers for.
    pub(crate) fn own_rec(&mut self) -> &mut Recorder {
        &mut self.rec
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// What is known of the training set.
    pub fn facts(&self) -> &'a DatasetFacts<'a> {
        self.facts
    }

    /// n, the training examples of a step; of a [share](Share) of the batch those that it has.
    pub fn batch_len(&self) -> usize {
        self.options.batch
    }

    /// n of the whole batch, of which this iteration may see a share.
    pub fn whole_batch_len(&self) -> usize {
        self.whole.0
    }

    /// The step's uniform ([`Step`](crate::ops::Step)).
    pub fn step(&self) -> TensorId {
        self.step
    }

    /// θ, the flat vector of parameters.
    pub fn parameters(&self) -> TensorId {
        self.vectors.parameters
    }

    /// G, a flat vector like the parameters: what [`IterationBuilder::clean_pass`] writes.
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

    /// The error with which the method refuses to be planned, with the reason and what to do.
    pub fn refusal(&self, reason: impl Into<String>) -> PlanError {
        let method = self.options.weighting.name().to_owned();
        PlanError::Weighting { method, reason: reason.into() }
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

    /// 1/n, n of the whole batch, for each example of the [training batch](Self::training_batch); 0
    /// for one of the caller's whose label is none of the classes.
    pub fn uniform(&mut self) -> TensorId {
        let uniform = self.uniform_of("train", self.options.batch);
        match (&self.options.input, self.rec.find("train/labels")) {
            // Data sets have been checked on the host.
            (Input::Buffers, Some(labels)) => {
                let classes = self.network.classes();
                ops::example_weights::labelled(&mut self.rec, classes, labels, uniform)
            }
            _ => uniform,
        }
    }

    fn uniform_of(&mut self, name: &str, len: usize) -> TensorId {
        let label = format!("uniform/{name}");
        let known = self.rec.find(&label);
        known.unwrap_or_else(|| self.rec.external(label, ElementType::F32, len))
    }

    /// w = max(u, 0) / Σ max(u, 0), all 0 where the sum is 0.
    pub fn normalise(&mut self, u: TensorId) -> TensorId {
        self.rec.label("");
        let largest = ops::example_weights::largest(&mut self.rec, u);
        self.exchange(largest, Exchange::Maximum);
        let total = ops::example_weights::sum_scaled(&mut self.rec, u, largest);
        self.exchange(total, Exchange::Sum);
        ops::example_weights::normalise(&mut self.rec, u, largest, total)
    }

    /// w = max(u, 0) / n, n of the whole batch: factors of the mean loss.
    pub fn mean(&mut self, u: TensorId) -> TensorId {
        self.rec.label("");
        ops::example_weights::divide(&mut self.rec, u, self.whole.0)
    }

    /// The weights of a batch, each multiplied by the factor of its class and divided by their sum,
    /// where the method has [such factors](crate::plan::Method::class_factors); as they are
    /// otherwise.
    ///
    /// # Errors
    /// When the factors do not fit.
    pub fn by_class(
        &mut self,
        seen: &ScoredBatch,
        weights: TensorId,
    ) -> Result<TensorId, PlanError> {
        let classes = self.network.classes();
        let factors = self.options.weighting.class_factors(self.facts, classes)?;
        let Some(factors) = factors else { return Ok(weights) };
        self.has_weighed_classes = true;
        let table =
            self.table("class factors", || factors.iter().map(|factor| *factor as f32).collect());
        let (rec, labels) = (&mut self.rec, seen.batch.labels);
        let raw = ops::example_weights::by_class(rec, weights, labels, table);
        Ok(self.normalise(raw))
    }

    /// Whether [`IterationBuilder::by_class`] had factors to multiply weights by.
    pub fn has_weighed_classes(&self) -> bool {
        self.has_weighed_classes
    }

    /// Lets only the last `count` layers with weights that learn take part in G and in the
    /// similarities.
    pub fn last_layers(&mut self, count: usize) {
        self.first_layer = self.network.first_of_last(count.max(1));
    }

    /// Marks a place at which a data-parallel run would combine what its ranks have in a tensor:
    /// before whatever is recorded next.
    pub fn exchange(&mut self, tensor: TensorId, exchange: Exchange) {
        let before_dispatch = self.rec.fence();
        self.exchange_points.push(ExchangePoint { tensor, exchange, before_dispatch });
    }

    /// A step of the trainer's optimizer, without weight decay, on the method's own
    /// [`state`](Self::state) `name` against `gradient`, of the same length. What the optimizer
    /// remembers becomes the states `<name> velocity` and, with AdamW, `<name> second moment`.
    pub fn optimize(&mut self, name: &str, gradient: TensorId) {
        let len = self.rec.len(gradient);
        let zeros = || vec![0.0; len];
        let state = sgd::State {
            parameters: self.state(name, zeros),
            velocity: self.state(&format!("{name} velocity"), zeros),
            decay_mask: self.table(&format!("{name} decay mask"), zeros),
        };
        let second_moment =
            self.second_moment.map(|_| self.state(&format!("{name} second moment"), zeros));
        let found = self.found;
        not_finite::look(&mut self.rec, self.step, &[(Quantity::MethodGradient, gradient)], found);
        self.descend(state, second_moment, gradient);
    }

    /// Looks for what is not finite, before the parameters follow it.
    fn look(&mut self, weighed: &WeightedBatch) {
        let losses = |scored: &ScoredBatch| scored.losses.losses;
        let mut vectors = vec![
            (Quantity::Loss, losses(&weighed.train)),
            (Quantity::Gradient, self.gradient),
            (Quantity::Parameter, self.vectors.parameters),
        ];
        vectors.extend(weighed.similarities.map(|u| (Quantity::Similarity, u)));
        vectors.extend(weighed.clean.as_ref().map(|c| (Quantity::CleanLoss, losses(c))));
        vectors.extend(self.running.map(|running| (Quantity::RunningStatistic, running)));
        not_finite::look(&mut self.rec, self.step, &vectors, self.found);
    }

    fn descend(&mut self, state: sgd::State, second_moment: Option<TensorId>, gradient: TensorId) {
        let (rec, step, found) = (&mut self.rec, self.step, self.found);
        match (self.options.optimizer, second_moment) {
            (Optimizer::AdamW { beta1, beta2, epsilon }, Some(second_moment)) => {
                let options = adamw::Options { beta1, beta2, epsilon };
                adamw::update(rec, step, state, second_moment, gradient, found, options);
            }
            (optimizer, _) => {
                let nesterov = matches!(optimizer, Optimizer::Sgd { nesterov: true, .. });
                sgd::update(rec, step, state, gradient, found, nesterov);
            }
        }
    }

    pub(super) fn finish(mut self, weighed: WeightedBatch) -> Result<Plan, PlanError> {
        self.rec.stage("update");
        self.rec.label("");
        if let Some(running) = self.running {
            self.exchange(running, Exchange::Mean);
        }
        self.look(&weighed);
        // Otherwise some ranks would leave a step out that others take.
        self.exchange(self.found, Exchange::NotFinite);
        self.descend(self.vectors, self.second_moment, self.gradient);
        let train = keep_outputs(&mut self.rec, "train", &weighed.train);
        let clean = weighed.clean.map(|clean| keep_outputs(&mut self.rec, "clean", &clean));
        self.rec.keep(weighed.weights, "weights");
        if let Some(u) = weighed.similarities {
            self.rec.keep(u, "similarities");
        }
        let gathered = self.rec.all_gathered().iter().map(|gathered| ExchangePoint {
            tensor: gathered.own,
            exchange: Exchange::Gather { into: gathered.into },
            before_dispatch: gathered.before_dispatch,
        });
        self.exchange_points.extend(gathered);
        self.exchange_points.sort_by_key(|point| point.before_dispatch);
        let approximates = weighed.route == Some(Route::PerLayer) && self.network.mixes_examples();
        Ok(Plan {
            recording: self.rec.finish()?,
            train,
            clean,
            similarities: weighed.similarities,
            weights: weighed.weights,
            not_finite: self.found,
            route: weighed.route,
            exact: !approximates && self.first_layer == 0,
            exchange_points: self.exchange_points,
            state: self.state,
            pass_len: self.pass_len,
        })
    }
}

fn keep_outputs(rec: &mut Recorder, name: &str, scored: &ScoredBatch) -> BatchOutputs {
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
