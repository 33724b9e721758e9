//! The crate's methods with their published options, by name.

use super::methods::{Mentor, variants};
use crate::plan::{PlanError, Route, Weighting};

/// What [`by_name`] cannot take from a name.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Route to the similarities, of methods that compute them.
    pub route: Option<Route>,
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
