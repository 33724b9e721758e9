//! Meta-Weight-Net: weights by a function of the loss that is learned on a clean set.

use crate::gpu::{Access, Kernel, Shader, TensorId};
use crate::ops::parts::{GRID, STEP, wgsl};
use crate::ops::per_element;
use crate::plan::{
    DatasetFacts, Exchange, IterationBuilder, PlanError, Route, ScoredBatch, WeightedBatch,
};
use crate::reference::step::{MethodTwin, TwinInput, TwinOutput, mean};
use crate::reference::{example_weights::rectify_and_normalise, rng};
use crate::weighting::{Method, Variant, Weighting};

/// Meta-Weight-Net (Shu et al. 2019, equations 3 to 5): the weight is a function V(f_i; Θ) of the
/// loss, an MLP with one hidden layer and a sigmoid, learned on the clean set.
///
/// A step: weights from Θ and the virtual step θ̂ = θ − η ∇ Σ w_i f_i (equation 3; no momentum, no
/// decay); then Θ against the gradient of the clean loss at θ̂ (equation 4), which is −η Σ_i
/// ⟨∇f_i(θ), G(θ̂)⟩ ∂w_i/∂Θ, the same inner products as L2RW's and as exact; then θ with the
/// weights of the new Θ (equation 5). V sees the loss as a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetaWeightNet {
    /// Units of the hidden layer; 100.
    pub hidden: usize,
    /// w_i = V_i / Σ V as in the first published code, instead of V_i / n as in the later one.
    pub by_sum: bool,
    /// One V for each class of the label instead of one for all.
    pub per_class: bool,
    /// How Θ learns.
    pub optimizer: MetaOptimizer,
    /// Route to the similarities; the exact and cheaper one for the network if `None`.
    pub route: Option<Route>,
}

/// How the weight function learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetaOptimizer {
    /// Adam (Kingma and Ba 2015), β = 0.9 and 0.999, decay as part of the gradient.
    Adam {
        /// Learning rate; 0.001.
        rate: f64,
        /// Weight decay; 0.0001.
        decay: f64,
    },
    /// Nesterov's momentum.
    Nesterov {
        /// Learning rate; 0.001 for label noise, 0.00001 for long tails.
        rate: f64,
        /// 0.9
        momentum: f64,
        /// Weight decay; 0.0005.
        decay: f64,
    },
}

impl Default for MetaWeightNet {
    /// The later published code: raw weights and Adam.
    fn default() -> Self {
        let optimizer = MetaOptimizer::Adam { rate: 1e-3, decay: 1e-4 };
        Self { hidden: 100, by_sum: false, per_class: false, optimizer, route: None }
    }
}

/// The first published code: weights that sum to 1, and Nesterov's momentum.
const FIRST: MetaWeightNet = MetaWeightNet {
    hidden: 100,
    by_sum: true,
    per_class: false,
    optimizer: MetaOptimizer::Nesterov { rate: 1e-3, momentum: 0.9, decay: 5e-4 },
    route: None,
};

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "mwn",
        source: "Meta-Weight-Net, Shu et al. 2019, equations 3 to 5; later code: weights V/n, Adam",
        make: |setup| Ok(MetaWeightNet { route: setup.route, ..MetaWeightNet::default() }.into()),
    },
    Variant {
        name: "mwn-normalised",
        source: "Meta-Weight-Net, Shu et al. 2019, equations 3 to 5; \
                 first code: weights V/ΣV, Nesterov",
        make: |setup| Ok(MetaWeightNet { route: setup.route, ..FIRST }.into()),
    },
    Variant {
        name: "mwn-class",
        source: "Meta-Weight-Net with a V for each class, after Shu et al. 2023 (CMW-Net), \
                 with labels as families",
        make: |setup| {
            let net = MetaWeightNet { per_class: true, ..MetaWeightNet::default() };
            Ok(Weighting::from(MetaWeightNet { route: setup.route, ..net }))
        },
    },
];

static SHADER: Shader =
    Shader::new("meta_weight_net", &[GRID, STEP, wgsl!("weighting/meta_weight_net")]);

impl MetaWeightNet {
    /// V of the loss with the parameters Θ of one net `[3 · hidden + 1]`, as checkpoints have them
    /// in `weighting/theta` (several nets one after the other): w1, b1, w2, b2.
    pub fn value(theta: &[f64], loss: f64) -> f64 {
        let hidden = theta.len() / 3;
        let unit =
            |h: usize| theta[2 * hidden + h] * (theta[h] * loss + theta[hidden + h]).max(0.0);
        let sum: f64 = theta[3 * hidden] + (0..hidden).map(unit).sum::<f64>();
        1.0 / (1.0 + (-sum).exp())
    }

    fn nets(&self, classes: usize) -> usize {
        if self.per_class { classes } else { 1 }
    }

    /// PyTorch's initial values of linear layers: uniform in ±1/√inputs.
    fn initial(&self, nets: usize, seed: u32) -> Vec<f32> {
        let len = 3 * self.hidden + 1;
        let element = |at: usize| {
            let hash = rng::pcg_hash(seed ^ rng::pcg_hash(at as u32 ^ 0x4d57_4e00));
            let uniform = f64::from(hash >> 8) / f64::from(1 << 23) - 1.0;
            let second = at % len >= 2 * self.hidden;
            (uniform * if second { 1.0 / (self.hidden as f64).sqrt() } else { 1.0 }) as f32
        };
        (0..nets * len).map(element).collect()
    }

    fn check(&self) -> Result<(), PlanError> {
        let fail = |reason| Err(PlanError::Weighting { method: self.name().to_owned(), reason });
        if self.hidden == 0 {
            return fail("its hidden layer has no units; it needs at least 1".into());
        }
        let (rate, decay, momentum) = match self.optimizer {
            MetaOptimizer::Adam { rate, decay } => (rate, decay, 0.0),
            MetaOptimizer::Nesterov { rate, momentum, decay } => (rate, decay, momentum),
        };
        for (what, value) in [("learning rate", rate), ("weight decay", decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return fail(format!("its {what} is {value}; it must be finite and at least 0"));
            }
        }
        if !(0.0..1.0).contains(&momentum) {
            return fail(format!("its momentum is {momentum}; it must be at least 0 and below 1"));
        }
        Ok(())
    }

    fn kernel(&self, entry: &'static str, n: usize, classes: usize) -> Kernel {
        let (adam, rate, decay, momentum) = match self.optimizer {
            MetaOptimizer::Adam { rate, decay } => (true, rate, decay, 0.0),
            MetaOptimizer::Nesterov { rate, momentum, decay } => (false, rate, decay, momentum),
        };
        Kernel::new(&SHADER, entry)
            .size("EXAMPLES", n)
            .size("CLASSES", classes)
            .size("HIDDEN", self.hidden)
            .size("NETS", self.nets(classes))
            .constant("BY_SUM", self.by_sum)
            .constant("ADAM", adam)
            .constant("RATE", rate)
            .constant("DECAY", decay)
            .constant("MOMENTUM", momentum)
    }

    /// V of each example, and its weights.
    fn weigh(&self, it: &mut IterationBuilder<'_>, seen: &ScoredBatch) -> (TensorId, TensorId) {
        let (n, classes) = (it.batch_len(), it.network().classes());
        let theta = it.state("theta", Vec::new);
        let rec = it.own_rec();
        rec.stage("weights");
        rec.label("");
        let values = rec.transient("values", n);
        let bindings = vec![
            rec.read(seen.losses.losses),
            rec.read(seen.batch.labels),
            rec.read(theta),
            rec.write(values),
        ];
        let flops = 5 * (n * self.hidden) as u64;
        rec.dispatch(self.kernel("evaluate", n, classes), bindings, per_element(n), flops);
        (values, if self.by_sum { it.normalise(values) } else { it.mean(values) })
    }

    /// Θ follows the clean loss after the virtual step.
    fn learn_theta(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
        values: TensorId,
        u: TensorId,
    ) {
        let (n, classes) = (it.batch_len(), it.network().classes());
        let (step, theta, whole) = (it.step(), it.state("theta", Vec::new), it.whole_batch_len());
        let moments = it.state("moments", Vec::new);
        let rec = it.own_rec();
        rec.stage("meta");
        rec.label("");
        let coefficients = rec.transient("coefficients", n);
        let uniform = rec.whole(step, Access::Uniform);
        let bindings = vec![uniform, rec.read(u), rec.read(values), rec.write(coefficients)];
        let kernel = self.kernel("differentiate", n, classes).size("COUNT", whole);
        rec.dispatch(kernel, bindings, per_element(n), n as u64);
        let elements = rec.len(theta);
        let gradient = rec.transient("gradient", elements);
        let bindings = vec![
            rec.read(seen.losses.losses),
            rec.read(seen.batch.labels),
            rec.read(theta),
            rec.read(values),
            rec.read(coefficients),
            rec.write(gradient),
        ];
        let flops = 8 * (n * elements) as u64;
        let grid = per_element(elements);
        rec.dispatch(self.kernel("sum_gradient", n, classes), bindings, grid, flops);
        it.exchange(gradient, Exchange::Sum);
        let rec = it.own_rec();
        let bindings = vec![
            uniform,
            rec.read(gradient),
            rec.whole(theta, Access::ReadWrite),
            rec.whole(moments, Access::ReadWrite),
        ];
        rec.dispatch(self.kernel("update", n, classes), bindings, grid, 10 * elements as u64);
    }
}

impl Method for MetaWeightNet {
    fn name(&self) -> &'static str {
        match (self.per_class, self.by_sum) {
            (true, _) => "mwn-class",
            (false, true) => "mwn-normalised",
            (false, false) => "mwn",
        }
    }

    fn uses_clean_set(&self) -> bool {
        true
    }

    /// The derivative of weights V_i / Σ V needs Σ V u of the whole batch.
    fn divides(&self) -> bool {
        !self.by_sum
    }

    fn record(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        self.check()?;
        let nets = self.nets(it.network().classes());
        let seed = it.facts().seed;
        it.state("theta", || self.initial(nets, seed));
        it.state("moments", || vec![0.0; 2 * nets * (3 * self.hidden + 1)]);
        let mixes = it.network().mixes_examples();
        let default = if mixes { Route::Tangent } else { Route::PerLayer };
        let route = self.route.unwrap_or(default);

        let (train, clean) = (it.training_batch()?, it.clean_batch()?);
        let train = it.forward(train)?;
        let (values, weights) = self.weigh(it, &train);
        // Where examples do not mix, one unweighted backward pass serves all three gradients.
        let layers = (route == Route::PerLayer).then(|| it.layerwise_backward(&train));
        let follow = |it: &mut IterationBuilder<'_>, weights| match &layers {
            Some(layers) if !mixes => it.layerwise_gradient(layers, weights),
            _ => it.weighted_backward(&train, weights),
        };
        follow(it, weights);
        let stepped = it.virtual_step();
        let (clean, u) = match &layers {
            Some(layers) => {
                let (clean, gram) = it.layerwise_clean_pass(clean, stepped, false)?;
                (clean, it.layerwise_similarities(layers, &gram))
            }
            None => {
                let clean = it.clean_pass(clean, stepped, false)?;
                (clean, it.tangent(&train, it.clean_gradient()))
            }
        };
        self.learn_theta(it, &train, values, u);
        let (_, weights) = self.weigh(it, &train);
        it.own_rec().allow_rounding(true);
        follow(it, weights);
        let (clean, similarities) = (Some(clean), Some(u));
        Ok(WeightedBatch { train, clean, weights, similarities, route: Some(route) })
    }

    fn twin(&self, facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let nets = self.nets(facts.classes);
        let theta: Vec<f64> =
            self.initial(nets, facts.seed).iter().map(|v| f64::from(*v)).collect();
        let mut state = State { method: *self, moments: vec![0.0; 2 * theta.len()], theta };
        Some(Box::new(move |seen: &TwinInput| state.step(seen)))
    }
}

/// The twin's net and optimizer.
struct State {
    method: MetaWeightNet,
    theta: Vec<f64>,
    moments: Vec<f64>,
}

impl State {
    fn len(&self) -> usize {
        3 * self.method.hidden + 1
    }

    /// Where the net of a label starts.
    fn first(&self, label: u32) -> usize {
        (label as usize).min(self.theta.len() / self.len() - 1) * self.len()
    }

    fn values(&self, seen: &TwinInput, losses: &[f64]) -> Vec<f64> {
        let net = |i: usize| &self.theta[self.first(seen.labels[i])..][..self.len()];
        seen.per_example(|i| MetaWeightNet::value(net(i), losses[i]))
    }

    fn weights(&self, values: &[f64]) -> Vec<f64> {
        if self.method.by_sum { rectify_and_normalise(values) } else { mean(values) }
    }

    fn step(&mut self, seen: &TwinInput) -> TwinOutput {
        let told = seen.told(Vec::new());
        let values = self.values(seen, &told.losses);
        // Equation 3.
        let gradient = seen.gradient(&told.residual, &self.weights(&values));
        let step = seen.parameters.iter().zip(&gradient);
        let stepped: Vec<f64> = step.map(|(p, g)| p - seen.learning_rate * g).collect();
        // Equation 4.
        let u = seen.similarities(&told.residual, &seen.clean_gradient(&stepped));
        let sum: f64 = if self.method.by_sum { values.iter().sum() } else { seen.n() as f64 };
        let mean = match self.method.by_sum {
            true => values.iter().zip(&u).map(|(v, u)| v * u).sum::<f64>() / sum,
            false => 0.0,
        };
        let coefficients = u.iter().map(|u| -seen.learning_rate * (u - mean) / sum).collect();
        let gradient = self.gradient(seen, &told.losses, &values, coefficients);
        self.update(seen.number, &gradient);
        // Equation 5.
        let values = self.values(seen, &told.losses);
        TwinOutput { similarities: u, weights: self.weights(&values), ..told }
    }

    fn gradient(
        &self,
        seen: &TwinInput,
        losses: &[f64],
        values: &[f64],
        by_value: Vec<f64>,
    ) -> Vec<f64> {
        let hidden = self.method.hidden;
        let mut gradient = vec![0.0; self.theta.len()];
        for i in 0..seen.n() {
            let first = self.first(seen.labels[i]);
            let g = by_value[i] * values[i] * (1.0 - values[i]);
            gradient[first + 3 * hidden] += g;
            for h in first..first + hidden {
                let z = self.theta[h] * losses[i] + self.theta[hidden + h];
                if z > 0.0 {
                    gradient[2 * hidden + h] += g * z;
                    gradient[hidden + h] += g * self.theta[2 * hidden + h];
                    gradient[h] += g * self.theta[2 * hidden + h] * losses[i];
                }
            }
        }
        gradient
    }

    fn update(&mut self, number: u32, gradient: &[f64]) {
        let (first, second) = self.moments.split_at_mut(gradient.len());
        for (k, theta) in self.theta.iter_mut().enumerate() {
            match self.method.optimizer {
                MetaOptimizer::Adam { rate, decay } => {
                    let g = gradient[k] + decay * *theta;
                    first[k] = 0.9 * first[k] + 0.1 * g;
                    second[k] = 0.999 * second[k] + 0.001 * g * g;
                    let t = number as i32 + 1;
                    let m = first[k] / (1.0 - 0.9_f64.powi(t));
                    let v = second[k] / (1.0 - 0.999_f64.powi(t));
                    *theta -= rate * m / (v.sqrt() + 1e-8);
                }
                MetaOptimizer::Nesterov { rate, momentum, decay } => {
                    let g = gradient[k] + decay * *theta;
                    first[k] = momentum * first[k] + g;
                    *theta -= rate * (g + momentum * first[k]);
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // Equal losses get equal weights, and weights V/ΣV of equal losses are 1/n whatever V is.
    let train = [of(0, &[1, 0]), of(0, &[1, 0]), of(1, &[0, 1]), of(1, &[0, 1])];
    let equal = |w: &[f64]| w.iter().all(|x| (x - w[0]).abs() < 1e-7) && w[0] > 0.0 && w[0] < 0.25;
    let pairs = |w: &[f64]| {
        let mut sorted = w.to_vec();
        sorted.sort_by(f64::total_cmp);
        (sorted[0] - sorted[1]).abs() < 1e-7 && sorted[2] < 0.25 && sorted[0] > 0.0
    };
    vec![
        Case::new("mwn", 2, &train).check(equal),
        Case::new("mwn-normalised", 2, &train).weights(&[0.25; 4]),
        Case::new("mwn-class", 2, &train).check(pairs),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::tests::seen_for_differences;

    /// Θ's gradient against central differences of the clean loss after the virtual step.
    #[test]
    fn the_meta_gradient_is_that_of_the_clean_loss_after_the_virtual_step() {
        for (by_sum, per_class) in [(false, false), (true, false), (true, true)] {
            let optimizer = MetaOptimizer::Nesterov { rate: 1.0, momentum: 0.0, decay: 0.0 };
            let method = MetaWeightNet { hidden: 4, by_sum, per_class, optimizer, route: None };
            let mut seen = seen_for_differences();
            (seen.clean_inputs, seen.clean_labels) =
                (vec![0.2, 0.9, -0.5, 1.0, 0.1, 0.4], vec![1, 0]);
            let nets = method.nets(3);
            let theta: Vec<f64> = method.initial(nets, 3).iter().map(|v| f64::from(*v)).collect();
            let state = |theta: &[f64]| {
                let moments = vec![0.0; 2 * theta.len()];
                State { method, theta: theta.to_vec(), moments }
            };
            let clean_loss = |theta: &[f64]| -> f64 {
                let told = seen.told(Vec::new());
                let state = state(theta);
                let weights = state.weights(&state.values(&seen, &told.losses));
                let gradient = seen.gradient(&told.residual, &weights);
                let step = seen.parameters.iter().zip(&gradient);
                let stepped: Vec<f64> = step.map(|(p, g)| p - seen.learning_rate * g).collect();
                let scores = seen.scores_of(&seen.clean_inputs, &stepped);
                let losses = crate::reference::softmax_cross_entropy::losses;
                losses(2, 3, &scores, &seen.clean_labels).iter().sum::<f64>() / 2.0
            };
            let mut stepped = state(&theta);
            stepped.step(&seen);
            for k in 0..theta.len() {
                let moved = |by: f64| {
                    let mut theta = theta.clone();
                    theta[k] += by;
                    clean_loss(&theta)
                };
                let numerical = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let analytic = theta[k] - stepped.theta[k];
                assert!((numerical - analytic).abs() < 1e-9, "{k}: {numerical} {analytic}");
            }
        }
    }
}
