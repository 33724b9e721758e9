//! Averages over a run: what each example weighed, and what the model believed of it.

use super::host_state::fail;
use super::{HostState, TrainError};

/// What each training example weighed over a run.
///
/// Weights are kept in units of the uniform weight 1/n, so that 1 is what plain training gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightLedger {
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl WeightLedger {
    /// An empty ledger for `len` examples.
    pub fn new(len: usize) -> Self {
        Self { sums: vec![0.0; len], counts: vec![0; len] }
    }

    /// Adds one step's weights `[n]` for the examples at `indices` `[n]`. Reports of
    /// [`Trainer::step`](super::Trainer::step) have both; after
    /// [`Trainer::step_on`](super::Trainer::step_on) only the caller knows the indices.
    ///
    /// # Errors
    /// [`TrainError::Ledger`] where there is not one index for each weight, or an index past the
    /// end; nothing is recorded then.
    pub fn record(&mut self, indices: &[u32], weights: &[f32]) -> Result<(), TrainError> {
        if indices.len() != weights.len() {
            let (indices, weights) = (indices.len(), weights.len());
            return Err(TrainError::Ledger {
                reason: format!(
                    "{indices} indices do not name the examples of {weights} weights; reports of \
                     batches that the caller supplies have no indices: pass your own"
                ),
            });
        }
        if let Some(index) = indices.iter().find(|index| **index as usize >= self.len()) {
            let reason = format!("index {index} is not below its {} examples", self.len());
            return Err(TrainError::Ledger { reason });
        }
        let n = weights.len() as f64;
        for (&index, &weight) in indices.iter().zip(weights) {
            self.sums[index as usize] += f64::from(weight) * n;
            self.counts[index as usize] += 1;
        }
        Ok(())
    }

    /// Mean weight of an example in units of 1/n; `None` if it was never drawn.
    pub fn mean(&self, index: usize) -> Option<f64> {
        match self.counts.get(index) {
            Some(&count) if count > 0 => Some(self.sums[index] / f64::from(count)),
            _ => None,
        }
    }

    /// How often an example was drawn.
    pub fn count(&self, index: usize) -> u32 {
        self.counts.get(index).copied().unwrap_or(0)
    }

    /// Puts it into a checkpoint's [`HostState`], under names that begin with `name`.
    pub fn store(&self, host: &mut HostState, name: &str) {
        host.insert_f64(format!("{name}/sums"), self.sums.clone());
        host.insert_u32(format!("{name}/counts"), self.counts.clone());
    }

    /// Takes it from there.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when there is none of that name.
    pub fn stored(host: &HostState, name: &str) -> Result<Self, TrainError> {
        let sums = host.f64s(&format!("{name}/sums"))?.to_vec();
        let counts = host.u32s(&format!("{name}/counts"))?.to_vec();
        if sums.len() != counts.len() {
            return Err(fail(name, "its vectors differ in length"));
        }
        Ok(Self { sums, counts })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }
}

/// What a model believes of each example, as the mean of its class probabilities over several
/// evaluations: snapshots of one training run make a steadier judge than its last step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beliefs {
    classes: usize,
    sums: Vec<f64>,
    evaluations: u32,
}

impl Beliefs {
    /// No evaluations yet of `len` examples.
    pub fn new(len: usize, classes: usize) -> Self {
        Self { classes, sums: vec![0.0; len * classes], evaluations: 0 }
    }

    /// Adds one evaluation: class scores before the softmax, `[len, classes]`
    /// ([`Scores::scores`](super::Scores::scores)). Of other lengths, what fits is taken.
    pub fn record(&mut self, scores: &[f32]) {
        let classes = self.classes.max(1);
        for (sums, scores) in self.sums.chunks_mut(classes).zip(scores.chunks(classes)) {
            let largest = scores.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            let exponentials = scores.iter().map(|s| f64::from(s - largest).exp());
            let total: f64 = exponentials.clone().sum();
            sums.iter_mut().zip(exponentials).for_each(|(sum, e)| *sum += e / total);
        }
        self.evaluations += 1;
    }

    /// Puts them into a checkpoint's [`HostState`], under names that begin with `name`.
    pub fn store(&self, host: &mut HostState, name: &str) {
        host.insert_f64(format!("{name}/sums"), self.sums.clone());
        host.insert_u32(format!("{name}/counts"), vec![self.classes as u32, self.evaluations]);
    }

    /// Takes them from there.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when there are none of that name.
    pub fn stored(host: &HostState, name: &str) -> Result<Self, TrainError> {
        let sums = host.f64s(&format!("{name}/sums"))?.to_vec();
        match *host.u32s(&format!("{name}/counts"))? {
            [classes, evaluations] => Ok(Self { classes: classes as usize, sums, evaluations }),
            _ => Err(fail(name, "two counts are needed: classes and evaluations")),
        }
    }

    /// Mean probability of each class for an example, `[classes]`; empty past the end and before
    /// the first evaluation.
    pub fn probabilities(&self, index: usize) -> Vec<f64> {
        let range = index * self.classes..(index + 1) * self.classes;
        let sums = self.sums.get(range).filter(|_| self.evaluations > 0).unwrap_or_default();
        sums.iter().map(|sum| sum / f64::from(self.evaluations)).collect()
    }

    /// The most probable class of an example; `None` past the end and before the first evaluation.
    pub fn believed(&self, index: usize) -> Option<u32> {
        let probabilities = self.probabilities(index);
        let classes = 0..probabilities.len();
        let best = classes.max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        best.map(|class| class as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beliefs_are_means_of_probabilities() {
        let mut beliefs = Beliefs::new(2, 2);
        assert_eq!((beliefs.believed(0), beliefs.probabilities(0)), (None, vec![]));
        beliefs.record(&[0.0, 0.0, 1000.0, 0.0]);
        beliefs.record(&[0.0, 3f32.ln(), 0.0, 1000.0]);
        let probabilities = beliefs.probabilities(0);
        assert!((probabilities[1] - 0.625).abs() < 1e-6, "{probabilities:?}");
        assert_eq!(beliefs.probabilities(1), [0.5, 0.5]);
        assert_eq!((beliefs.believed(0), beliefs.believed(2)), (Some(1), None));
    }

    #[test]
    fn the_mean_is_in_units_of_the_uniform_weight() {
        let mut ledger = WeightLedger::new(3);
        ledger.record(&[2, 0], &[0.5, 0.5]).unwrap();
        ledger.record(&[2], &[0.0]).unwrap();
        assert_eq!(ledger.mean(0), Some(1.0));
        assert_eq!(ledger.mean(1), None);
        assert_eq!(ledger.mean(2), Some(0.5));
        assert_eq!([ledger.count(0), ledger.count(1), ledger.count(2)], [1, 0, 2]);
    }

    #[test]
    fn weights_without_their_examples_are_refused_and_nothing_is_recorded() {
        let mut ledger = WeightLedger::new(3);
        for (indices, weights, part) in [
            (&[][..], &[0.5, 0.5][..], "0 indices"),
            (&[0, 1, 2], &[0.5, 0.5], "2 weights"),
            (&[0, 3], &[0.5, 0.5], "index 3"),
        ] {
            let message = ledger.record(indices, weights).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(ledger, WeightLedger::new(3));
    }
}
