use super::{TrainError, Trainer};

/// What a network has learned at some step: parameters, momentum, running statistics; in the
/// host's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    vectors: Vec<(&'static str, Vec<u32>)>,
}

impl Trainer {
    /// A copy of what the network has learned so far.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn snapshot(&self) -> Result<Snapshot, TrainError> {
        let read = |name| Ok((name, self.read_vector(name)?));
        let vectors = ["parameters", "velocity", "running"].map(read);
        Ok(Snapshot { vectors: vectors.into_iter().collect::<Result<_, TrainError>>()? })
    }

    /// Goes on from a snapshot, of this trainer or of another one of the same network: e.g. to
    /// fine-tune on another set. Step and weighting method stay as they are.
    ///
    /// # Errors
    /// When the snapshot is of another network; nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        let len = |name| self.vector(name).map_or(0, |buffer| buffer.size() as usize / 4);
        for (name, words) in &snapshot.vectors {
            if len(name) != words.len() {
                return Err(TrainError::Snapshot { name, found: words.len(), expected: len(name) });
            }
        }
        for (name, words) in &snapshot.vectors {
            if let Some(buffer) = self.vector(name) {
                self.context().queue.write_buffer(buffer, 0, bytemuck::cast_slice(words));
            }
        }
        Ok(())
    }

    /// A state of the weighting method, e.g. `theta`, the parameters of Meta-Weight-Net's weight
    /// function; `None` where it has none of that name.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn weighting_state(&self, name: &str) -> Result<Option<Vec<f32>>, TrainError> {
        if !self.plan().state.iter().any(|state| state.saved && state.name == name) {
            return Ok(None);
        }
        let words = self.read_vector(&format!("weighting/{name}"))?;
        Ok(Some(words.into_iter().map(f32::from_bits).collect()))
    }
}

/// Early stopping: the snapshot at which the network was best on the clean set, by accuracy and then
/// by mean loss. The test set has no say.
#[derive(Clone, Debug, Default)]
pub struct EarlyStopping {
    best: Option<Best>,
}

#[derive(Clone, Debug)]
struct Best {
    accuracy: f64,
    loss: f64,
    step: u64,
    snapshot: Snapshot,
}

impl EarlyStopping {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the clean set's predictions and losses, from [`Evaluation::run`](super::Evaluation::run),
    /// and keeps a snapshot if they are the best so far. Returns whether they are.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn observe(
        &mut self,
        trainer: &Trainer,
        predictions: &[u32],
        losses: &[f32],
        labels: &[u32],
    ) -> Result<bool, TrainError> {
        let count = labels.len().max(1) as f64;
        let right = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
        let accuracy = right as f64 / count;
        let loss = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / count;
        let better = self.best.as_ref().is_none_or(|best| {
            accuracy > best.accuracy || (accuracy == best.accuracy && loss < best.loss)
        });
        if better {
            let (step, snapshot) = (trainer.steps(), trainer.snapshot()?);
            self.best = Some(Best { accuracy, loss, step, snapshot });
        }
        Ok(better)
    }

    /// Steps taken at the best snapshot; `None` if nothing was seen.
    pub fn best_step(&self) -> Option<u64> {
        self.best.as_ref().map(|best| best.step)
    }

    /// Puts the best snapshot back. Does nothing if nothing was seen.
    ///
    /// # Errors
    /// When the trainer's network is another one.
    pub fn restore(&self, trainer: &mut Trainer) -> Result<(), TrainError> {
        self.best.as_ref().map_or(Ok(()), |best| trainer.restore(&best.snapshot))
    }
}
