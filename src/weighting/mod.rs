//! Ways to weight training examples, one file each: learned from the clean set, from the losses,
//! from the labels, by changing the target, by choosing what is drawn.
//!
//! A [`Method`] records its part of an iteration into a [`Iteration`]: everything it does runs on
//! the device within the step's one submission. [`by_name`] makes any of the crate's, and
//! `examples/custom_weighting.rs` is one from outside.

mod per_example;
mod sampling;
#[cfg(test)]
mod trial;
pub mod twin;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

pub use per_example::PerExample;
#[doc(hidden)]
pub use per_example::parts;
pub use sampling::Sampling;
pub use twin::{Seen, Told, Twin};

use crate::gpu::TensorId;
use crate::ops::softmax_cross_entropy::Losses;
use crate::plan::{Facts, Iteration, PlanError, Scored, Similarity, Weighed};

/// The files of the methods. `cargo fmt` does not look into macros: the Makefile formats them.
macro_rules! methods {
    ($($file:ident)*) => {
        $(mod $file; pub use $file::*;)*

        /// The crate's methods by name, several of a file where they differ in options only.
        pub fn variants() -> impl Iterator<Item = &'static Variant> {
            [$($file::VARIANTS),*].into_iter().flatten()
        }

        /// Hand-made cases of every file.
        #[cfg(test)]
        fn cases() -> Vec<trial::Case> {
            [$($file::cases()),*].into_iter().flatten().collect()
        }
    };
}

methods! {
    uniform
    l2rw
    random
    label_weights
    focal
    ghm
    self_paced
    hard_mining
    adaboost
    resampling
    smote
    reed
    s_model
    meta_weight_net
    mentornet
    mentornet_pd
}

/// A way to weight training examples.
///
/// An iteration goes: draw batches, forward, [`losses`](Self::losses), [`weights`](Self::weights),
/// [`learn`](Self::learn), backward of Σ w_i f_i, update. A method replaces the parts in which it
/// differs from plain training, or the whole, [`record`](Self::record).
pub trait Method: fmt::Debug + Send + Sync {
    /// Name in tables, files and errors.
    fn name(&self) -> &'static str;

    /// Whether clean examples take part in each step.
    fn uses_clean_set(&self) -> bool {
        false
    }

    /// Which examples the training batches are made of.
    ///
    /// # Errors
    /// When it needs facts that are not known.
    fn sampling(&self, facts: &Facts<'_>) -> Result<Sampling, PlanError> {
        let _ = facts;
        Ok(Sampling::Passes)
    }

    /// Losses of scores `[n, classes]` against labels `[n]`, and their gradients by the scores.
    ///
    /// # Errors
    /// When they cannot be recorded.
    fn losses(
        &self,
        it: &mut Iteration<'_>,
        scores: TensorId,
        labels: TensorId,
    ) -> Result<Losses, PlanError> {
        Ok(it.cross_entropy(scores, labels))
    }

    /// w, `[n]`, of a batch after its forward pass.
    ///
    /// # Errors
    /// When they cannot be recorded.
    fn weights(&self, it: &mut Iteration<'_>, seen: &Scored) -> Result<TensorId, PlanError> {
        let _ = seen;
        Ok(it.uniform())
    }

    /// What the method itself learns from a batch, after its weights are known.
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn learn(
        &self,
        it: &mut Iteration<'_>,
        seen: &Scored,
        weights: TensorId,
    ) -> Result<(), PlanError> {
        let _ = (it, seen, weights);
        Ok(())
    }

    /// The whole iteration up to the gradient of the weighted loss, in [`Iteration::gradient`].
    ///
    /// # Errors
    /// When it cannot be recorded.
    fn record(&self, it: &mut Iteration<'_>) -> Result<Weighed, PlanError> {
        let batch = it.training_batch()?;
        let train = it.forward(batch)?;
        it.rec().stage("weights");
        let weights = self.weights(it, &train)?;
        self.learn(it, &train, weights)?;
        it.rec().allow_rounding(true);
        it.weighted_backward(&train, weights);
        Ok(Weighed::new(train, weights))
    }

    /// The CPU twin, where there is one.
    fn twin(&self, facts: &Facts<'_>) -> Option<Twin> {
        let _ = facts;
        None
    }
}

/// A method as trainers and plans take it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Weighting(Arc<dyn Method>);

impl<M: Method + 'static> From<M> for Weighting {
    fn from(method: M) -> Self {
        Self(Arc::new(method))
    }
}

impl Deref for Weighting {
    type Target = dyn Method;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// What [`by_name`] cannot take from a name.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Route to the similarities, of methods that compute them.
    pub similarity: Option<Similarity>,
    /// Weight decay in the clean loss, as in the official code for CIFAR.
    pub decay_in_clean_gradient: bool,
    /// Steps of the whole run, for methods that follow a schedule.
    pub steps: u64,
    /// For each class, the probability that a label that says so is right, `[classes]`: what
    /// WEIGHTED, an oracle, is told.
    pub label_correct: Option<Vec<f64>>,
    /// Counts of training examples by predicted class (row) and label as given, `[classes,
    /// classes]`, of a network trained plainly: what S-Model+Conf starts from.
    pub confusion: Option<Vec<f64>>,
    /// A trained network, for data-driven MentorNet.
    pub mentor: Option<Mentor>,
}

/// A method with its published options, by name.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Name on the command line, in tables and files.
    pub name: &'static str,
    /// Paper, with equation or section where it has one.
    pub source: &'static str,
    /// Makes it; the error says what is missing in the [`Setup`].
    pub make: fn(&Setup) -> Result<Weighting, String>,
}

/// A method of the crate by name; [`variants`] lists them.
///
/// # Errors
/// [`PlanError::Weighting`] when there is none of that name, or the setup lacks something.
pub fn by_name(name: &str, setup: &Setup) -> Result<Weighting, PlanError> {
    let fail = |reason| PlanError::Weighting { method: name.to_owned(), reason };
    let Some(variant) = variants().find(|variant| variant.name == name) else {
        let names: Vec<&str> = variants().map(|variant| variant.name).collect();
        return Err(fail(format!("there is no such method; there are {}", names.join(", "))));
    };
    (variant.make)(setup).map_err(fail)
}

/// Examples of each class, `[classes]`.
fn class_counts(method: &'static str, facts: &Facts<'_>) -> Result<Vec<usize>, PlanError> {
    if facts.labels.is_empty() {
        return Err(PlanError::Weighting {
            method: method.to_owned(),
            reason: "it counts the labels of the training set, which are not known; give a \
                     trainer the data set, or plan with `training_on` and their `Facts`"
                .into(),
        });
    }
    let members = sampling::members(facts.labels, facts.classes);
    Ok(members.iter().map(Vec::len).collect())
}
