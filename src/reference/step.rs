//! One step of a classifier as the CPU twins of weighting methods see it, and what they tell of it.

use std::fmt;
use std::sync::Arc;

use super::adamw::{AdamW, adamw};
use super::sgd::{Sgd, sgd};
use super::{example_weights, softmax_cross_entropy as loss};
use crate::ops::Optimizer;

/// What twins of methods need of a classifier. Inputs `[n, …]` and class scores `[n, classes]` are
/// flat, and so are parameters.
pub trait TwinNetwork: fmt::Debug + Send + Sync {
    /// Class scores of inputs.
    fn scores(&self, parameters: &[f64], inputs: &[f64]) -> Vec<f64>;

    /// Gradient by the parameters of a sum whose gradient by the scores is `at_scores`.
    fn gradient(&self, parameters: &[f64], inputs: &[f64], at_scores: &[f64]) -> Vec<f64>;

    /// Derivatives of the scores as the parameters move along `direction`.
    fn tangent(&self, parameters: &[f64], inputs: &[f64], direction: &[f64]) -> Vec<f64>;

    /// Makes 0 of a direction whatever does not belong to the last `layers` convolutions and
    /// products that learn, and what follows the first of these.
    fn keep_last(&self, layers: usize, direction: &mut [f64]);
}

/// A linear classifier: weights `[features, classes]`, then biases `[classes]`.
#[derive(Debug)]
struct Linear {
    classes: usize,
}

impl Linear {
    fn features(&self, parameters: &[f64]) -> usize {
        parameters.len() / self.classes - 1
    }
}

impl TwinNetwork for Linear {
    fn scores(&self, parameters: &[f64], inputs: &[f64]) -> Vec<f64> {
        let (classes, features) = (self.classes, self.features(parameters));
        let mut scores = Vec::new();
        for input in inputs.chunks(features) {
            for class in 0..classes {
                let products = input.iter().enumerate();
                let sum: f64 = products.map(|(f, x)| x * parameters[f * classes + class]).sum();
                scores.push(sum + parameters[features * classes + class]);
            }
        }
        scores
    }

    fn gradient(&self, parameters: &[f64], inputs: &[f64], at_scores: &[f64]) -> Vec<f64> {
        let (classes, features) = (self.classes, self.features(parameters));
        let mut gradient = vec![0.0; parameters.len()];
        for (at, r) in at_scores.iter().enumerate() {
            let (i, class) = (at / classes, at % classes);
            for f in 0..features {
                gradient[f * classes + class] += r * inputs[i * features + f];
            }
            gradient[features * classes + class] += r;
        }
        gradient
    }

    /// Scores are linear in the parameters.
    fn tangent(&self, _parameters: &[f64], inputs: &[f64], direction: &[f64]) -> Vec<f64> {
        self.scores(direction, inputs)
    }

    fn keep_last(&self, _layers: usize, _direction: &mut [f64]) {}
}

/// One step of a softmax classifier without augmentation, as its twin sees it.
#[derive(Clone, Debug)]
pub struct TwinInput {
    /// The classifier; `None` is a linear one, with weights `[features, classes]` and then biases
    /// `[classes]`.
    pub network: Option<Arc<dyn TwinNetwork>>,
    /// Step of the run, from 0.
    pub number: u32,
    /// Seed of the run.
    pub seed: u32,
    /// Draws of a pass that were done before this batch.
    pub position: u32,
    /// η
    pub learning_rate: f64,
    /// How the classifier's parameters follow their gradient.
    pub optimizer: Optimizer,
    /// Number of classes.
    pub classes: usize,
    /// Images of the batch, `[n, features]`.
    pub inputs: Vec<f64>,
    /// `[n]`
    pub labels: Vec<u32>,
    /// Places in the training set, `[n]`.
    pub indices: Vec<u32>,
    /// Images of the clean batch, `[m, features]`.
    pub clean_inputs: Vec<f64>,
    /// `[m]`
    pub clean_labels: Vec<u32>,
    /// The classifier's parameters.
    pub parameters: Vec<f64>,
}

/// What a twin says of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinOutput {
    /// u, `[n]`; empty where the method computes none.
    pub similarities: Vec<f64>,
    /// w, `[n]`
    pub weights: Vec<f64>,
    /// `[n]`
    pub losses: Vec<f64>,
    /// Gradient of each loss by its scores, `[n, classes]`.
    pub residual: Vec<f64>,
}

/// The CPU twin of a method, in plain `f64` loops; it keeps the method's state.
pub type MethodTwin = Box<dyn FnMut(&TwinInput) -> TwinOutput>;

impl Default for TwinInput {
    fn default() -> Self {
        Self {
            network: None,
            number: 0,
            seed: 0,
            position: 0,
            learning_rate: 0.0,
            optimizer: Optimizer::PLAIN,
            classes: 0,
            inputs: Vec::new(),
            labels: Vec::new(),
            indices: Vec::new(),
            clean_inputs: Vec::new(),
            clean_labels: Vec::new(),
            parameters: Vec::new(),
        }
    }
}

/// What an optimizer remembers of some parameters: the twin of
/// [`IterationBuilder::optimize`](crate::plan::IterationBuilder::optimize).
#[derive(Clone, Debug)]
pub struct Memory {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Memory {
    /// Nothing yet of `len` parameters.
    pub fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }

    /// The step's optimizer without weight decay.
    pub fn descend(&mut self, seen: &TwinInput, parameters: &mut [f64], gradient: &[f64]) {
        let (learning_rate, weight_decay) = (seen.learning_rate, 0.0);
        let no_decay = vec![0.0; parameters.len()];
        match seen.optimizer {
            Optimizer::Sgd { momentum, nesterov } => {
                let momentum = momentum.into();
                let settings = Sgd { learning_rate, momentum, weight_decay, nesterov };
                sgd(settings, parameters, &mut self.first, gradient, &no_decay);
            }
            Optimizer::AdamW { beta1, beta2, epsilon } => {
                let (beta1, beta2, epsilon) = (beta1.into(), beta2.into(), epsilon.into());
                let step = seen.number as i32 + 1;
                let settings = AdamW { learning_rate, weight_decay, beta1, beta2, epsilon, step };
                let (first, second) = (&mut self.first, &mut self.second);
                adamw(settings, parameters, first, second, gradient, &no_decay);
            }
        }
    }
}

impl TwinInput {
    /// n
    pub fn n(&self) -> usize {
        self.labels.len()
    }

    fn network(&self) -> Arc<dyn TwinNetwork> {
        self.network.clone().unwrap_or_else(|| Arc::new(Linear { classes: self.classes }))
    }

    /// Class scores of inputs, `[…, classes]`.
    pub fn scores_of(&self, inputs: &[f64], parameters: &[f64]) -> Vec<f64> {
        self.network().scores(parameters, inputs)
    }

    /// Class scores of the batch.
    pub fn scores(&self) -> Vec<f64> {
        self.scores_of(&self.inputs, &self.parameters)
    }

    /// Cross-entropy of each example.
    pub fn cross_entropy(&self) -> Vec<f64> {
        loss::losses(self.n(), self.classes, &self.scores(), &self.labels)
    }

    /// softmax of the scores, `[n, classes]`.
    pub fn probabilities(&self) -> Vec<f64> {
        loss::softmax(self.n(), self.classes, &self.scores())
    }

    /// The class with the largest score, the first of equals.
    pub fn predictions(&self) -> Vec<u32> {
        let scores = self.scores();
        let first_largest = |row: &[f64]| {
            let better = |best: usize, k: usize| if row[k] > row[best] { k } else { best };
            (1..row.len()).fold(0, better) as u32
        };
        scores.chunks(self.classes).map(first_largest).collect()
    }

    /// Whether an example has one of the classes as its label. Others do not count.
    pub fn is_labelled(&self, i: usize) -> bool {
        (self.labels[i] as usize) < self.classes
    }

    /// A number for each example that counts, 0 for the others: the twin of
    /// [`PerExample`](crate::weighting::PerExample).
    pub fn per_example(&self, weight: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.n()).map(|i| if self.is_labelled(i) { weight(i) } else { 0.0 }).collect()
    }

    /// Cross-entropy and its gradient with these weights, of which those of examples that do not
    /// count are 0.
    pub fn told(&self, mut weights: Vec<f64>) -> TwinOutput {
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = if self.is_labelled(i) { *weight } else { 0.0 };
        }
        let (n, classes) = (self.n(), self.classes);
        let scores = self.scores();
        let residual = loss::residual(n, classes, &scores, &self.labels);
        let similarities = Vec::new();
        TwinOutput { similarities, weights, losses: self.cross_entropy(), residual }
    }

    /// Gradient of Σ weights\[i\] f_i by the parameters at `parameters`.
    pub fn gradient(&self, residual: &[f64], weights: &[f64]) -> Vec<f64> {
        let at_scores = loss::gradient(self.n(), self.classes, residual, weights);
        self.network().gradient(&self.parameters, &self.inputs, &at_scores)
    }

    /// Gradient of the mean clean loss at `parameters`.
    pub fn clean_gradient(&self, parameters: &[f64]) -> Vec<f64> {
        let (m, classes, inputs) = (self.clean_labels.len(), self.classes, &self.clean_inputs);
        let scores = self.scores_of(inputs, parameters);
        let residual = loss::residual(m, classes, &scores, &self.clean_labels);
        let at_scores = loss::gradient(m, classes, &residual, &example_weights::uniform(m));
        self.network().gradient(parameters, inputs, &at_scores)
    }

    /// The same of the last `layers` convolutions and products alone: 0 for the others.
    pub fn clean_gradient_of_last(&self, layers: usize) -> Vec<f64> {
        let mut gradient = self.clean_gradient(&self.parameters);
        self.network().keep_last(layers, &mut gradient);
        gradient
    }

    /// ⟨∇f_i, direction⟩ of each example.
    pub fn similarities(&self, residual: &[f64], direction: &[f64]) -> Vec<f64> {
        let moved = self.network().tangent(&self.parameters, &self.inputs, direction);
        loss::tangent(self.n(), self.classes, residual, &moved)
    }
}

/// max(raw, 0) / n, where what is not finite counts as 0.
pub fn mean(raw: &[f64]) -> Vec<f64> {
    let n = raw.len() as f64;
    raw.iter().map(|r| if r.is_finite() { r.max(0.0) / n } else { 0.0 }).collect()
}
