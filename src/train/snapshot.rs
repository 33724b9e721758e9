//! Keeps what a network has learned, for early stopping and for a second training run.

use super::host_state::fail;
use super::{HostState, Model, TrainError, Trainer};

/// What a network has learned at some step: parameters, the optimizer's state, running statistics;
/// in the host's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    vectors: Vec<(&'static str, Vec<u32>)>,
    moment_steps: u64,
}

/// The flat vectors of every network and optimizer; a model may lack some.
const VECTORS: [&str; 4] = ["parameters", "velocity", "second_moment", "running"];

impl Model {
    /// A copy of what the network has learned so far.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn snapshot(&self) -> Result<Snapshot, TrainError> {
        pollster::block_on(self.snapshot_async())
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Model::snapshot`].
    pub async fn snapshot_async(&self) -> Result<Snapshot, TrainError> {
        let mut vectors = Vec::new();
        for name in VECTORS {
            vectors.push((name, self.read_vector(name).await?));
        }
        Ok(Snapshot { vectors, moment_steps: self.moment_steps })
    }

    /// Goes on from a snapshot, of this model or of another one of the same network and optimizer:
    /// e.g. to fine-tune on another set. Step and weighting method stay as they are.
    ///
    /// # Errors
    /// When the snapshot is of another network or optimizer, or the device is known to be lost;
    /// nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        self.context.check("restoring a snapshot")?;
        let len = |name| self.tensors.get(name).map_or(0, |buffer| buffer.size() as usize / 4);
        for (name, words) in &snapshot.vectors {
            if len(name) != words.len() {
                return Err(TrainError::Snapshot { name, found: words.len(), expected: len(name) });
            }
        }
        for (name, words) in &snapshot.vectors {
            if let Some(buffer) = self.tensors.get(name) {
                self.context.write(buffer, bytemuck::cast_slice(words));
            }
        }
        self.moment_steps = snapshot.moment_steps;
        self.forget_not_finite();
        Ok(())
    }
}

/// Early stopping: the snapshot at which the network was best on a labelled set, by accuracy and
/// then by mean loss, of which a NaN is the worst.
///
/// Take a validation set of its own: of the clean set the weights are made, so the network is
/// better on it than elsewhere. Where there is no other, the clean set has to do. The test set has
/// no say.
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

    /// Looks at the set's predictions and losses, from
    /// [`Evaluation::run`](super::Evaluation::run), and keeps a snapshot if they are the best so
    /// far. Returns whether they are.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn observe(
        &mut self,
        trainer: &Trainer,
        predictions: &[u32],
        losses: &[f32],
        labels: &[u32],
    ) -> Result<bool, TrainError> {
        pollster::block_on(self.observe_async(trainer, predictions, losses, labels))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`EarlyStopping::observe`].
    pub async fn observe_async(
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
        // No comparison holds with a NaN: it would stay the best for ever.
        let loss = if loss.is_nan() { f64::INFINITY } else { loss };
        let better = self.best.as_ref().is_none_or(|best| {
            accuracy > best.accuracy || (accuracy == best.accuracy && loss < best.loss)
        });
        if better {
            let (step, snapshot) = (trainer.steps(), trainer.model().snapshot_async().await?);
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

    /// Puts it into a checkpoint's [`HostState`], under names that begin with `name`.
    pub fn store(&self, host: &mut HostState, name: &str) {
        let Some(best) = &self.best else { return };
        let counts = [best.step, best.snapshot.moment_steps];
        let halves = counts.iter().flat_map(|count| [(count >> 32) as u32, *count as u32]);
        host.insert_f64(format!("{name}/best"), vec![best.accuracy, best.loss]);
        host.insert_u32(format!("{name}/counts"), halves.collect());
        for (vector, words) in &best.snapshot.vectors {
            host.insert_u32(format!("{name}/{vector}"), words.clone());
        }
    }

    /// Takes it from there; nothing seen yet where there is nothing of that name.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when only a part of it is there.
    pub fn stored(host: &HostState, name: &str) -> Result<Self, TrainError> {
        let best = format!("{name}/best");
        if !host.contains(&best) {
            return Ok(Self::new());
        }
        let counts = host.u32s(&format!("{name}/counts"))?;
        let (&[accuracy, loss], &[a, b, c, d]) = (host.f64s(&best)?, counts) else {
            return Err(fail(name, "two numbers and four counts are needed"));
        };
        let whole = |high, low| u64::from(high) << 32 | u64::from(low);
        let vectors = VECTORS.map(|vector| {
            let words = host.u32s(&format!("{name}/{vector}"));
            words.map(|words| (vector, words.to_vec()))
        });
        let vectors = vectors.into_iter().collect::<Result<_, _>>()?;
        let snapshot = Snapshot { vectors, moment_steps: whole(c, d) };
        Ok(Self { best: Some(Best { accuracy, loss, step: whole(a, b), snapshot }) })
    }
}
