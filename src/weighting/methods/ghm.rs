//! Gradient harmonising: an example weighs less where many have a gradient norm like its own.

use crate::gpu::{Shader, TensorId};
use crate::plan::{DatasetFacts, IterationBuilder, PlanError, ScoredBatch};
use crate::reference::step::{MethodTwin, TwinInput, mean};
use crate::weighting::{Method, PerExample, Variant, Weighting};

/// GHM-C, gradient harmonising (Li et al. 2019, with unit regions and a moving average of their
/// counts): w_i = 1 / (count of i's region · regions in use), a region being a range of the
/// gradient norm g_i = 1 − p_i of the label. Sums to 1 without the average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ghm {
    /// Regions of equal length in \[0, 1\]; 30.
    pub bins: usize,
    /// Share of the earlier counts in the average; 0.75.
    pub momentum: f64,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "ghm-c",
    source: "Li et al. 2019, unit regions, 30 regions, momentum 0.75",
    make: |_| Ok(Weighting::from(Ghm { bins: 30, momentum: 0.75 })),
}];

static SHADER: Shader = crate::weight_shader!(
    "ghm",
    observing,
    "
override BINS: u32;
override MOMENTUM: f32;

fn bin(i: u32) -> u32 {
    return min(u32(one_minus_exp(losses[i]) * f32(BINS)), BINS - 1u);
}

// state: the average of each region's count, then this batch's count.
fn observe(i: u32) {
    if i >= BINS {
        return;
    }
    var count = 0.0;
    for (var j = 0u; j < EXAMPLES; j++) {
        count += select(0.0, 1.0, is_labelled(j) && bin(j) == i);
    }
    state[BINS + i] = count;
    if count > 0.0 {
        state[i] = MOMENTUM * state[i] + (1.0 - MOMENTUM) * count;
    }
}

fn weight(i: u32) -> f32 {
    var used = 0.0;
    for (var j = 0u; j < BINS; j++) {
        used += select(0.0, 1.0, state[BINS + j] > 0.0);
    }
    return f32(EXAMPLES) / (state[bin(i)] * used);
}
"
);

impl Ghm {
    fn observe(&self, averages: &mut [f64], seen: &TwinInput) -> Vec<f64> {
        let bin = |loss: &f64| ((-(-loss).exp_m1() * self.bins as f64) as usize).min(self.bins - 1);
        let bins: Vec<usize> = seen.cross_entropy().iter().map(bin).collect();
        let mut counts = vec![0.0; self.bins];
        for i in (0..seen.n()).filter(|i| seen.is_labelled(*i)) {
            counts[bins[i]] += 1.0;
        }
        let mut used = 0.0;
        for (average, count) in averages.iter_mut().zip(&counts).filter(|(_, n)| **n > 0.0) {
            *average = self.momentum * *average + (1.0 - self.momentum) * count;
            used += 1.0;
        }
        seen.per_example(|i| seen.n() as f64 / (averages[bins[i]] * used))
    }

    fn check(&self) -> Result<(), PlanError> {
        let fail = |reason| PlanError::Weighting { method: self.name().to_owned(), reason };
        if self.bins == 0 {
            return Err(fail("it has no regions; there must be at least 1".into()));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            let momentum = self.momentum;
            return Err(fail(format!("momentum {momentum} is not at least 0 and below 1")));
        }
        Ok(())
    }
}

impl Method for Ghm {
    fn name(&self) -> &'static str {
        "ghm-c"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        self.check()?;
        let state = it.state("counts", || vec![0.0; 2 * self.bins]);
        let kernel = PerExample::new(&SHADER).state(state).constant("BINS", self.bins as f64);
        let raw = kernel.constant("MOMENTUM", self.momentum).record(it, seen)?;
        Ok(it.mean(raw))
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let (ghm, mut averages) = (*self, vec![0.0; self.bins]);
        Some(Box::new(move |seen: &TwinInput| seen.told(mean(&ghm.observe(&mut averages, seen)))))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    // Two with 1 − p = 1/4, one with 3/4, one with 1/10: three regions share the weight. The
    // average starts at 0, so that it is a quarter of the first counts.
    let train = [of(0, &[1, 0]), of(1, &[1, 0]), of(1, &[0, 1]), of(0, &[2, 0])];
    let shares = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 6.0, 1.0 / 3.0];
    let of_steps = |steps: i32| shares.map(|share| share / (1.0 - 0.75_f64.powi(steps)));
    let case = || Case::new("ghm-c", 2, &train);
    vec![case().weights(&of_steps(1)), case().steps(3).weights(&of_steps(3))]
}
