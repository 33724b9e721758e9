//! Learning to reweight, after which the crate is named: weights by what helps on a clean set.

use crate::plan::{DatasetFacts, IterationBuilder, PlanError, Route, WeightedBatch};
use crate::reference;
use crate::reference::step::{MethodTwin, TwinInput, TwinOutput};
use crate::weighting::{Method, Variant, Weighting};

/// Learning to reweight (Ren et al. 2018, algorithm 1): w_i = max(u_i, 0) / Σ_k max(u_k, 0) with
/// u_i = ⟨∇f_i(θ), G⟩, the derivative of the clean loss after a virtual step with weights ε by −ε_i
/// at ε = 0. All weights are 0 where no example helps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L2rw {
    /// Route to the similarities; the exact and cheaper one for the network if `None`.
    pub route: Option<Route>,
    /// Adds weight decay to the clean loss, as in the official code for CIFAR.
    pub decay_in_clean_gradient: bool,
    /// Only the last so many layers with weights take part in the inner products: FaMUS (Xu et al.
    /// 2021) keeps about 4, and 1 is the closed form of FSR's level 0 (Zhang and Pfister 2021),
    /// u_i = (p_i − y_i)ᵀ G h_i. An approximation; all layers if `None`.
    pub last_layers: Option<usize>,
}

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "l2rw",
        source: "Ren et al. 2018, algorithm 1",
        make: |setup| {
            let (route, decay) = (setup.route, setup.decay_in_clean_gradient);
            let l2rw = L2rw { route, decay_in_clean_gradient: decay, last_layers: None };
            Ok(Weighting::from(l2rw))
        },
    },
    Variant {
        name: "l2rw-fc",
        source: "Zhang and Pfister 2021 (FSR), look-ahead of the last linear layer only",
        make: |setup| {
            let (route, decay) = (setup.route, setup.decay_in_clean_gradient);
            let l2rw = L2rw { route, decay_in_clean_gradient: decay, last_layers: Some(1) };
            Ok(Weighting::from(l2rw))
        },
    },
    Variant {
        name: "l2rw-last4",
        source: "Xu et al. 2021 (FaMUS), meta gradient of the last 4 layers, chosen beforehand",
        make: |setup| {
            let (route, decay) = (setup.route, setup.decay_in_clean_gradient);
            let l2rw = L2rw { route, decay_in_clean_gradient: decay, last_layers: Some(4) };
            Ok(Weighting::from(l2rw))
        },
    },
];

impl L2rw {
    /// One dual-number forward pass along G gives all u_i.
    fn by_tangent(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        let (train, clean) = (it.training_batch()?, it.clean_batch()?);
        let clean = it.clean_pass(clean, it.parameters(), self.decay_in_clean_gradient)?;
        let (train, u) = it.dual_forward(train, it.clean_gradient())?;
        let weights = it.normalise(u);
        let weights = it.by_class(&train, weights)?;
        it.own_rec().allow_rounding(true);
        it.weighted_backward(&train, weights);
        let (clean, similarities) = (Some(clean), Some(u));
        Ok(WeightedBatch { train, clean, weights, similarities, route: Some(Route::Tangent) })
    }

    /// One unweighted backward pass gives each layer's share of u_i; where examples do not mix,
    /// its results also give the weighted gradient.
    fn by_layer(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        let (train, clean) = (it.training_batch()?, it.clean_batch()?);
        let decay = self.decay_in_clean_gradient;
        let (clean, gram) = it.layerwise_clean_pass(clean, it.parameters(), decay)?;
        let train = it.forward(train)?;
        let layers = it.layerwise_backward(&train);
        let u = it.layerwise_similarities(&layers, &gram);
        let weights = it.normalise(u);
        let weights = it.by_class(&train, weights)?;
        it.own_rec().allow_rounding(true);
        if it.network().mixes_examples() {
            it.weighted_backward(&train, weights);
        } else {
            it.layerwise_gradient(&layers, weights);
        }
        let (clean, similarities) = (Some(clean), Some(u));
        Ok(WeightedBatch { train, clean, weights, similarities, route: Some(Route::PerLayer) })
    }
}

impl Method for L2rw {
    fn name(&self) -> &'static str {
        match self.last_layers {
            None => "l2rw",
            Some(1) => "l2rw-fc",
            Some(_) => "l2rw-last4",
        }
    }

    fn uses_clean_set(&self) -> bool {
        true
    }

    fn divides(&self) -> bool {
        true
    }

    fn record(&self, it: &mut IterationBuilder<'_>) -> Result<WeightedBatch, PlanError> {
        if let Some(count) = self.last_layers {
            if count == 0 {
                return Err(it.refusal("it looks at the last 0 layers; there must be at least 1"));
            }
            it.last_layers(count);
        }
        let mixes = it.network().mixes_examples();
        let default = if mixes { Route::Tangent } else { Route::PerLayer };
        match self.route.unwrap_or(default) {
            Route::Tangent => self.by_tangent(it),
            Route::PerLayer => self.by_layer(it),
        }
    }

    fn twin(&self, _facts: &DatasetFacts<'_>) -> Option<MethodTwin> {
        let last_layers = self.last_layers;
        Some(Box::new(move |seen: &TwinInput| {
            let told = seen.told(Vec::new());
            let direction = match last_layers {
                Some(layers) => seen.clean_gradient_of_last(layers),
                None => seen.clean_gradient(&seen.parameters),
            };
            let similarities = seen.similarities(&told.residual, &direction);
            let weights = reference::example_weights::rectify_and_normalise(&similarities);
            TwinOutput { similarities, weights, ..told }
        }))
    }
}

#[cfg(test)]
pub(super) fn cases() -> Vec<crate::weighting::tests::Case> {
    use crate::weighting::tests::{Case, of};
    let mut cases = Vec::new();
    for name in ["l2rw", "l2rw-fc", "l2rw-last4"] {
        // All scores 0, so r = ±(½, −½): two examples that agree with the clean one and one that
        // disagrees. ⟨x_i, x⟩ + 1 is 5 and 2.
        let train = [of(0, &[2, 0]), of(1, &[2, 0]), of(0, &[0, 1])];
        let agreeing = Case::new(name, 2, &train).scale(0.0).clean(&[of(0, &[2, 1])]);
        cases.push(agreeing.weights(&[5.0 / 7.0, 0.0, 2.0 / 7.0]));
        let train = [of(1, &[2, 0]), of(1, &[0, 1])];
        let opposed = Case::new(name, 2, &train).scale(0.0).clean(&[of(0, &[2, 1])]);
        cases.push(opposed.weights(&[0.0, 0.0]));
    }
    cases
}
