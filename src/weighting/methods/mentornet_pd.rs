//! MentorNet with a curriculum that is fixed beforehand.

use super::self_paced::{above, average};
use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::rng::pcg_hash;
use crate::reference::step::{MethodTwin, TwinInput, mean};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// MentorNet with its predefined curriculum (Jiang et al. 2018): w_i = v_i / n, where v is 1 at
/// first, then 1[f ≤ λ], then 1 − (f − λ) / λ₂ cut to [0, 1]. λ is a moving average of a percentile
/// of the losses, 0.75 with decay 0.5, and λ₂ = 1. Examples are dropped (v = 0) at random, half of
/// them at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MentorNetPd {
    /// Steps of the whole run.
    pub steps: u64,
    /// Share of the run before losses count; 0.18.
    pub burn_in: f64,
    /// Share of the run from which on weights are linear; 0.9.
    pub linear_from: f64,
    /// λ₂ in nats; 1.
    pub slope: f64,
    /// Share of examples dropped in the first 17 % of the run, and afterwards; 0.5 and 0.05.
    pub dropped: [f64; 2],
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "mentornet-pd",
    source: "Jiang et al. 2018, predefined curriculum",
    make: |setup| {
        let (steps, dropped) = (setup.steps, [0.5, 0.05]);
        let (burn_in, linear_from, slope) = (0.18, 0.9, 1.0);
        Ok(Weighting::from(MentorNetPd { steps, burn_in, linear_from, slope, dropped }))
    },
}];

/// Share of the run during which examples are dropped at the first rate.
const FIRST_DROPS: f64 = 0.17;
const PERCENTILE: f64 = 0.75;
const DECAY: f64 = 0.5;

static SHADER: Shader = crate::weight_shader!(
    "mentornet_pd",
    observing,
    "
override DECAY: f32;
// Examples of the batch above the percentile.
override ABOVE: u32;
// Steps at which phases begin.
override SELF_PACED_FROM: u32;
override LINEAR_FROM: u32;
override FEW_DROPS_FROM: u32;
override SLOPE: f32;
// Examples are dropped whose 24 random bits lie below.
override FIRST_DROPPED: u32;
override LATER_DROPPED: u32;

// state: λ, and whether there is one yet.
fn observe(i: u32) {
    if i < EXAMPLES && rank(i) == ABOVE {
        state[0] = select(losses[i], DECAY * state[0] + (1.0 - DECAY) * losses[i], state[1] > 0.0);
        state[1] = 1.0;
    }
}

fn weight(i: u32) -> f32 {
    let random = pcg_hash(step.seed ^ pcg_hash(step.number ^ pcg_hash(i ^ 0x44524f50u))) >> 8u;
    if random < select(FIRST_DROPPED, LATER_DROPPED, step.number >= FEW_DROPS_FROM) {
        return 0.0;
    }
    if step.number < SELF_PACED_FROM {
        return 1.0;
    }
    if step.number < LINEAR_FROM {
        return select(0.0, 1.0, losses[i] <= state[0]);
    }
    return clamp(1.0 - (losses[i] - state[0]) / SLOPE, 0.0, 1.0);
}
"
);

impl MentorNetPd {
    /// The first step of the part of the run that begins after `share` of it.
    fn step_at(&self, share: f64) -> u64 {
        (share * self.steps as f64).ceil() as u64
    }

    /// Random numbers of 24 bits below which examples are dropped.
    fn thresholds(&self) -> [u32; 2] {
        self.dropped.map(|share| (share * f64::from(1 << 24)) as u32)
    }

    fn weight(&self, seen: &TwinInput, i: usize, loss: f64, lambda: f64) -> f64 {
        let number = u64::from(seen.number);
        let random =
            pcg_hash(seen.seed ^ pcg_hash(seen.number ^ pcg_hash(i as u32 ^ 0x4452_4f50))) >> 8;
        let later = usize::from(number >= self.step_at(FIRST_DROPS));
        if random < self.thresholds()[later] {
            return 0.0;
        }
        if number < self.step_at(self.burn_in) {
            return 1.0;
        }
        if number < self.step_at(self.linear_from) {
            return f64::from(u8::from(loss <= lambda));
        }
        (1.0 - (loss - lambda) / self.slope).clamp(0.0, 1.0)
    }

    fn check(&self) -> Result<(), PlanError> {
        let fail = |reason| Err(PlanError::Weighting { method: self.name().to_owned(), reason });
        let shares = [self.burn_in, self.linear_from, self.dropped[0], self.dropped[1]];
        if let Some(share) = shares.into_iter().find(|share| !(0.0..=1.0).contains(share)) {
            return fail(format!("{share} is not a share between 0 and 1"));
        }
        if !(self.slope > 0.0 && self.slope.is_finite()) {
            return fail(format!("λ₂ is {}; it must be above 0", self.slope));
        }
        Ok(())
    }
}

impl Method for MentorNetPd {
    fn name(&self) -> &'static str {
        "mentornet-pd"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        self.check()?;
        let state = it.state("lambda", || vec![0.0; 2]);
        let [first, later] = self.thresholds();
        let step = |share| self.step_at(share) as f64;
        let raw = PerExample::new(&SHADER)
            .state(state)
            .constant("DECAY", DECAY)
            .constant("ABOVE", above(PERCENTILE, it.batch_len()) as f64)
            .constant("SELF_PACED_FROM", step(self.burn_in))
            .constant("LINEAR_FROM", step(self.linear_from))
            .constant("FEW_DROPS_FROM", step(FIRST_DROPS))
            .constant("SLOPE", self.slope)
            .constant("FIRST_DROPPED", f64::from(first))
            .constant("LATER_DROPPED", f64::from(later))
            .record(it, seen)?;
        Ok(it.mean(raw))
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (method, mut lambda) = (*self, None);
        Some(Box::new(move |seen: &TwinInput| {
            let losses = seen.cross_entropy();
            let now = average(lambda, &losses, PERCENTILE, DECAY);
            lambda = Some(now);
            seen.told(mean(&seen.per_example(|i| method.weight(seen, i, losses[i], now))))
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::Setup;
    use crate::weighting::tests::{Case, of};
    // 350 of 400 examples have the loss ln 4/3, the others ln 4, so that λ is ln 4/3.
    let train: Vec<_> = (0..400).map(|i| of(u32::from(i % 8 == 0), &[1, 0])).collect();
    let case = |done| {
        let setup = Setup { steps: 10, ..Setup::default() };
        Case::new("mentornet-pd", 2, &train).setup(setup).steps(done)
    };
    fn kept(w: &[f64]) -> usize {
        w.iter().filter(|w| **w > 0.0).count()
    }
    // Half of 400 with standard deviation 10.
    let early = case(1).check(|w| (160..=240).contains(&kept(w)));
    // The 350 easy ones less 5 %; λ is the loss of the easy ones.
    let middle = case(4).check(|w| (315..=346).contains(&kept(w)));
    // The hard ones come back with 1 − (ln 4 − ln 4/3) < 0: none.
    let late = case(10).check(|w| (315..=346).contains(&kept(w)));
    vec![early, middle, late]
}
