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

    /// Adds one step's weights `[n]` for the examples at `indices` `[n]`. Indices past the end are
    /// ignored.
    pub fn record(&mut self, indices: &[u32], weights: &[f32]) {
        let n = weights.len() as f64;
        for (&index, &weight) in indices.iter().zip(weights) {
            if let (Some(sum), Some(count)) =
                (self.sums.get_mut(index as usize), self.counts.get_mut(index as usize))
            {
                *sum += f64::from(weight) * n;
                *count += 1;
            }
        }
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

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_in_units_of_the_uniform_weight() {
        let mut ledger = WeightLedger::new(3);
        ledger.record(&[2, 0], &[0.5, 0.5]);
        ledger.record(&[2, 7], &[0.0, 1.0]);
        assert_eq!(ledger.mean(0), Some(1.0));
        assert_eq!(ledger.mean(1), None);
        assert_eq!(ledger.mean(2), Some(0.5));
        assert_eq!([ledger.count(0), ledger.count(1), ledger.count(2)], [1, 0, 2]);
    }
}
