//! Data-driven MentorNet: a small network, trained on another run, says what examples weigh.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::self_paced::{above, average};
use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::step::{MethodTwin, TwinInput, mean};
use crate::weighting::{Method, PerExample, Variant};

/// Data-driven MentorNet (Jiang et al. 2018, section 3.2): w_i = v_i / n, with v_i in (0, 1) from a
/// small recurrent network that was trained to tell right labels from wrong ones by an example's
/// loss, its distance from a moving average of a percentile, and how far training is.
#[derive(Clone, Debug, PartialEq)]
pub struct MentorNet {
    /// The trained network.
    pub mentor: Mentor,
    /// Steps of the whole run.
    pub steps: u64,
    /// Share of the examples below the percentile; 0.75.
    pub percentile: f64,
    /// Share of the earlier average; 0.5.
    pub decay: f64,
}

/// MentorNet's network: a bidirectional LSTM with one unit over loss and distance; its two states
/// and an embedding of the progress go through 20 units with tanh into a sigmoid. (The published
/// code's embedding of the label is constant for data-driven mentors, and is the bias here.)
#[derive(Clone, Debug, PartialEq)]
pub struct Mentor {
    parameters: Vec<f64>,
}

/// What a mentor learns from: an example at some step of a plain training run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MentorSample {
    /// Loss by the label as given.
    pub loss: f64,
    /// The moving average of the percentile at that step; see [`Mentor::percentile_after`].
    pub percentile: f64,
    /// How far training was, 0 to 1.
    pub progress: f64,
    /// Whether the label as given is right.
    pub right: bool,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "mentornet-dd",
    source: "Jiang et al. 2018, section 3.2, trained on a share with known labels",
    make: |setup| {
        let mentor = setup.mentor.clone().ok_or(
            "its network must be trained beforehand: see Mentor::fit, and set Setup::mentor",
        )?;
        let (percentile, decay) = (0.75, 0.5);
        Ok(MentorNet { mentor, steps: setup.steps, percentile, decay }.into())
    },
}];

/// Units of the hidden layer.
const HIDDEN: usize = 20;
/// Numbers that stand for the progress, and different progresses.
const EMBEDDING: usize = 5;
const STAGES: usize = 100;
/// A direction of the LSTM: four gates (input, forget, cell, output) with weights of the input and
/// of the state, and a bias.
const LSTM: usize = 12;
const FEATURES: usize = EMBEDDING + 2;
const FIRST: usize = 2 * LSTM;
const SECOND: usize = FIRST + HIDDEN * (FEATURES + 1);
const LEARNED: usize = SECOND + HIDDEN + 1;
const LEN: usize = LEARNED + STAGES * EMBEDDING;

static SHADER: Shader = crate::weight_shader!(
    "mentornet",
    observing,
    "
override DECAY: f32;
// Examples of the batch above the percentile.
override ABOVE: u32;
override STEPS: f32;

const HIDDEN: u32 = 20u;
const FEATURES: u32 = 7u;
const FIRST: u32 = 24u;
const SECOND: u32 = 184u;
const LEARNED: u32 = 205u;

// state: the moving average, and whether there is one yet.
fn observe(i: u32) {
    if i < EXAMPLES && rank(i) == ABOVE {
        state[0] = select(losses[i], DECAY * state[0] + (1.0 - DECAY) * losses[i], state[1] > 0.0);
        state[1] = 1.0;
    }
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

// tanh of a large number is no number on some drivers.
fn bounded_tanh(x: f32) -> f32 {
    return tanh(clamp(x, -15.0, 15.0));
}

// The cell state of one direction after two inputs.
fn lstm(first: u32, a: f32, b: f32) -> f32 {
    var cell = 0.0;
    var hidden = 0.0;
    for (var t = 0u; t < 2u; t++) {
        let x = select(b, a, t == 0u);
        var gates: array<f32, 4>;
        for (var k = 0u; k < 4u; k++) {
            let at = first + 3u * k;
            gates[k] = table[at] * x + table[at + 1u] * hidden + table[at + 2u];
        }
        cell = sigmoid(gates[1]) * cell + sigmoid(gates[0]) * bounded_tanh(gates[2]);
        hidden = sigmoid(gates[3]) * bounded_tanh(cell);
    }
    return cell;
}

fn weight(i: u32) -> f32 {
    let distance = losses[i] - state[0];
    var features: array<f32, 7>;
    features[0] = lstm(0u, losses[i], distance);
    features[1] = lstm(12u, distance, losses[i]);
    let stage = min(u32(f32(step.number) * 100.0 / STEPS), 99u);
    for (var k = 0u; k < 5u; k++) {
        features[2u + k] = table[LEARNED + stage * 5u + k];
    }
    var sum = table[SECOND + HIDDEN];
    for (var h = 0u; h < HIDDEN; h++) {
        let at = FIRST + h * (FEATURES + 1u);
        var z = table[at + FEATURES];
        for (var k = 0u; k < FEATURES; k++) {
            z += table[at + k] * features[k];
        }
        sum += table[SECOND + h] * bounded_tanh(z);
    }
    return sigmoid(sum);
}
"
);

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// One input of an LSTM, for the way back.
struct Moment {
    x: f64,
    hidden_before: f64,
    cell_before: f64,
    gates: [f64; 4],
    cell: f64,
}

/// Both inputs of one direction.
fn lstm(parameters: &[f64], inputs: [f64; 2]) -> [Moment; 2] {
    let (mut cell, mut hidden) = (0.0, 0.0);
    inputs.map(|x| {
        let (hidden_before, cell_before) = (hidden, cell);
        let sum = |k: usize| {
            parameters[3 * k] * x + parameters[3 * k + 1] * hidden_before + parameters[3 * k + 2]
        };
        let gates = [sigmoid(sum(0)), sigmoid(sum(1)), sum(2).tanh(), sigmoid(sum(3))];
        cell = gates[1] * cell_before + gates[0] * gates[2];
        hidden = gates[3] * f64::tanh(cell);
        Moment { x, hidden_before, cell_before, gates, cell }
    })
}

/// Adds the gradient of one direction's parameters, for a gradient `dcell` of its last cell state.
fn lstm_backward(parameters: &[f64], moments: &[Moment; 2], dcell: f64, gradient: &mut [f64]) {
    let (mut dcell, mut dhidden) = (dcell, 0.0);
    for moment in moments.iter().rev() {
        let [input, forget, candidate, output] = moment.gates;
        let tanh = moment.cell.tanh();
        let dc = dcell + dhidden * output * (1.0 - tanh * tanh);
        let before = [
            dc * candidate * input * (1.0 - input),
            dc * moment.cell_before * forget * (1.0 - forget),
            dc * input * (1.0 - candidate * candidate),
            dhidden * tanh * output * (1.0 - output),
        ];
        dhidden = 0.0;
        for (k, d) in before.into_iter().enumerate() {
            gradient[3 * k] += d * moment.x;
            gradient[3 * k + 1] += d * moment.hidden_before;
            gradient[3 * k + 2] += d;
            dhidden += d * parameters[3 * k + 1];
        }
        dcell = dc * forget;
    }
}

impl Mentor {
    /// A network that has learned nothing yet.
    pub fn untrained(seed: u64) -> Self {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut parameters = vec![0.0; LEN];
        for (at, parameter) in parameters.iter_mut().enumerate() {
            let range = match at {
                at if at < FIRST => 1.0,
                at if at < LEARNED => {
                    1.0 / (if at < SECOND { FEATURES } else { HIDDEN } as f64).sqrt()
                }
                _ => 1.0,
            };
            *parameter = random.random_range(-range..range);
        }
        Self { parameters }
    }

    /// Trains a network on examples with known labels: logistic loss, `steps` steps of stochastic
    /// gradient descent with batches of 32, learning rate 0.1 (30,000 steps in the published code).
    /// Embeddings of the progress stay as they are drawn. `None` for no samples.
    pub fn fit(samples: &[MentorSample], steps: usize, seed: u64) -> Option<Self> {
        Self::fit_while(samples, steps, seed, || true)
    }

    /// The same for as long as `go_on`, asked before each step, says so: `None` once it does not.
    pub fn fit_while(
        samples: &[MentorSample],
        steps: usize,
        seed: u64,
        mut go_on: impl FnMut() -> bool,
    ) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        let mut mentor = Self::untrained(seed);
        let mut random = Pcg64::seed_from_u64(seed ^ 0x6d65_6e74);
        for _ in 0..steps {
            if !go_on() {
                return None;
            }
            let mut gradient = vec![0.0; LEARNED];
            for _ in 0..32 {
                let sample = &samples[random.random_range(0..samples.len())];
                mentor.add_gradient(sample, 1.0 / 32.0, &mut gradient);
            }
            for (parameter, g) in mentor.parameters.iter_mut().zip(&gradient) {
                *parameter -= 0.1 * g;
            }
        }
        Some(mentor)
    }

    /// The moving average after a batch of losses, which goes into [`MentorSample::percentile`];
    /// `before` is that of the batch before, `None` for the first one.
    pub fn percentile_after(before: Option<f64>, losses: &[f64]) -> Option<f64> {
        match losses {
            [] => before,
            _ => Some(average(before, losses, 0.75, 0.5)),
        }
    }

    /// v in (0, 1) of an example.
    pub fn value(&self, loss: f64, percentile: f64, progress: f64) -> f64 {
        self.forward(loss, percentile, progress).0
    }

    /// v, the features, the hidden layer and the LSTM's two directions.
    #[allow(clippy::type_complexity, reason = "what the backward pass needs, in one place")]
    fn forward(
        &self,
        loss: f64,
        percentile: f64,
        progress: f64,
    ) -> (f64, [f64; FEATURES], [f64; HIDDEN], [[Moment; 2]; 2]) {
        let p = &self.parameters;
        let distance = loss - percentile;
        let directions = [lstm(&p[..LSTM], [loss, distance]), lstm(&p[LSTM..], [distance, loss])];
        let stage = ((progress * STAGES as f64) as usize).min(STAGES - 1);
        let embedding = &p[LEARNED + stage * EMBEDDING..][..EMBEDDING];
        let mut features = [0.0; FEATURES];
        features[0] = directions[0][1].cell;
        features[1] = directions[1][1].cell;
        features[2..].copy_from_slice(embedding);
        let mut hidden = [0.0; HIDDEN];
        let mut sum = p[SECOND + HIDDEN];
        for (h, unit) in hidden.iter_mut().enumerate() {
            let row = &p[FIRST + h * (FEATURES + 1)..][..=FEATURES];
            let products = row.iter().zip(&features).map(|(w, x)| w * x);
            *unit = (products.sum::<f64>() + row[FEATURES]).tanh();
            sum += p[SECOND + h] * *unit;
        }
        (sigmoid(sum), features, hidden, directions)
    }

    /// Adds `factor` times the gradient of the logistic loss of one sample.
    fn add_gradient(&self, sample: &MentorSample, factor: f64, gradient: &mut [f64]) {
        let forward = self.forward(sample.loss, sample.percentile, sample.progress);
        let (v, features, hidden, directions) = forward;
        let p = &self.parameters;
        let dsum = factor * (v - f64::from(u8::from(sample.right)));
        gradient[SECOND + HIDDEN] += dsum;
        let mut dcells = [0.0; 2];
        for (h, unit) in hidden.iter().enumerate() {
            gradient[SECOND + h] += dsum * unit;
            let dz = dsum * p[SECOND + h] * (1.0 - unit * unit);
            let first = FIRST + h * (FEATURES + 1);
            for (k, feature) in features.iter().enumerate() {
                gradient[first + k] += dz * feature;
            }
            gradient[first + FEATURES] += dz;
            dcells[0] += dz * p[first];
            dcells[1] += dz * p[first + 1];
        }
        for (direction, dcell) in dcells.into_iter().enumerate() {
            let at = direction * LSTM;
            let own = &mut gradient[at..at + LSTM];
            lstm_backward(&p[at..at + LSTM], &directions[direction], dcell, own);
        }
    }
}

impl Method for MentorNet {
    fn name(&self) -> &'static str {
        "mentornet-dd"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        for (what, value) in [("percentile", self.percentile), ("decay", self.decay)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(
                    it.refusal(format!("its {what} is {value}; it must be between 0 and 1"))
                );
            }
        }
        let state = it.state("percentile", || vec![0.0; 2]);
        let parameters = || self.mentor.parameters.iter().map(|p| *p as f32).collect();
        let table = it.table("mentor", parameters);
        let kernel = PerExample::new(&SHADER)
            .state(state)
            .table(table)
            .constant("DECAY", self.decay)
            .constant("ABOVE", above(self.percentile, it.batch_len()) as f64)
            .constant("STEPS", self.steps.max(1) as f64);
        let raw = kernel.record(it, seen)?;
        Ok(it.mean(raw))
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (method, mut lambda) = (self.clone(), None);
        Some(Box::new(move |seen: &TwinInput| {
            let losses = seen.cross_entropy();
            let now = average(lambda, &losses, method.percentile, method.decay);
            lambda = Some(now);
            let progress = f64::from(seen.number) / method.steps.max(1) as f64;
            let raw = seen.per_example(|i| method.mentor.value(losses[i], now, progress));
            seen.told(mean(&raw))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::Setup;
    use crate::weighting::tests::{Case, of};
    // With all weights 0, v is the sigmoid of the last bias: 3/4 for ln 3.
    let mut mentor = Mentor { parameters: vec![0.0; LEN] };
    mentor.parameters[SECOND + HIDDEN] = 3.0_f64.ln();
    let train = [of(0, &[2, 0]), of(1, &[2, 0])];
    let setup = |mentor| Setup { mentor: Some(mentor), steps: 10, ..Setup::default() };
    let constant = Case::new("mentornet-dd", 2, &train).setup(setup(mentor.clone()));
    vec![constant.weights(&[0.375; 2])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logistic(mentor: &Mentor, sample: &MentorSample) -> f64 {
        let v = mentor.value(sample.loss, sample.percentile, sample.progress);
        -(if sample.right { v } else { 1.0 - v }).ln()
    }

    #[test]
    fn the_gradient_is_that_of_the_logistic_loss() {
        let mentor = Mentor::untrained(3);
        for (loss, percentile, progress, right) in [(0.3, 1.1, 0.0, true), (2.5, 0.4, 0.73, false)]
        {
            let sample = MentorSample { loss, percentile, progress, right };
            let mut gradient = vec![0.0; LEARNED];
            mentor.add_gradient(&sample, 1.0, &mut gradient);
            for (at, g) in gradient.iter().enumerate() {
                let moved = |by: f64| {
                    let mut mentor = mentor.clone();
                    mentor.parameters[at] += by;
                    logistic(&mentor, &sample)
                };
                let numerical = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((numerical - g).abs() < 1e-8, "{at}: {numerical} {g}");
            }
        }
    }

    #[test]
    fn a_mentor_learns_which_losses_mean_wrong_labels() {
        // Wrong where the loss is above the percentile, late in training only.
        let sample = |i: usize| {
            let (loss, progress) = (0.05 * (i % 60) as f64, (i % 7) as f64 / 7.0);
            MentorSample { loss, percentile: 1.5, progress, right: loss < 1.5 || progress < 0.4 }
        };
        let samples: Vec<MentorSample> = (0..420).map(sample).collect();
        let mentor = Mentor::fit(&samples, 6000, 1).unwrap();
        let says_right = |s: &MentorSample| mentor.value(s.loss, s.percentile, s.progress) > 0.5;
        let told = samples.iter().filter(|s| says_right(s) == s.right).count();
        assert!(told > 400, "{told} of 420");
        assert!(Mentor::fit(&[], 10, 1).is_none());
        let mut asked = 0;
        let stopped = Mentor::fit_while(&samples, 6000, 1, || {
            asked += 1;
            asked < 3
        });
        assert!(stopped.is_none() && asked == 3);
    }
}
