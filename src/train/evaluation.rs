//! Scores a labelled set with a model, as often as wanted.

use std::collections::VecDeque;

use super::iteration::required;
use super::trainer::{RING, unstamped};
use super::{Examples, Model, TrainError};
use crate::gpu::{Context, Executable, GpuError, Readback, TensorId, Tuning};
use crate::ops::Step;
use crate::ops::batch::Gather;
use crate::plan;

/// A labelled set on the device, ready to be scored again and again.
#[derive(Debug)]
pub struct Evaluation {
    context: Context,
    executable: Executable,
    readback: Readback,
    step: wgpu::Buffer,
    batch: usize,
    classes: usize,
    len: usize,
    /// First examples of the batches that are outstanding.
    submitted: VecDeque<u32>,
}

/// What a model makes of a set, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The class with the largest score, `[n]`.
    pub predictions: Vec<u32>,
    /// Cross-entropy loss against the label, `[n]`, in nats.
    pub losses: Vec<f32>,
    /// Class scores before the softmax (logits), `[n, classes]`.
    pub scores: Vec<f32>,
}

impl Evaluation {
    pub(super) async fn new(
        model: &Model,
        set: Examples<'_>,
        batch: usize,
    ) -> Result<Self, TrainError> {
        let (context, network) = (&model.context, &model.network);
        set.check("evaluation", network.classes())?;
        set.check_finite("evaluation")?;
        let gather = Gather {
            height: set.shape.height,
            width: set.shape.width,
            channels: set.shape.channels,
            crop_pad: 0,
            flip: false,
        };
        let shape = set.device_shape(context);
        let tuning = Tuning::of(context);
        let (recording, outputs) = plan::evaluation(network, batch, shape, &gather, tuning)?;
        recording.check_limits(&context.device.limits())?;
        let mut tensors = model.tensors.clone();
        let usage = wgpu::BufferUsages::UNIFORM;
        let step = context.allocate("step", size_of::<Step>() as u64, usage).await?;
        tensors.insert("step", step.clone());
        set.upload(context, "evaluation", &mut tensors).await?;
        let executable = Executable::of(context, recording, &tensors).await?;
        let source = |id: TensorId| {
            let bytes = executable.recording().tensor(id).bytes();
            Ok((required(&executable, id)?.clone(), bytes))
        };
        let results = [outputs.predictions, outputs.losses, outputs.scores];
        let stamp = [Ok((step.clone(), 4))];
        let sources = stamp.into_iter().chain(results.into_iter().map(source));
        let sources = sources.collect::<Result<_, GpuError>>()?;
        let readback = Readback::new(context, sources, RING);
        let (context, classes, len) = (context.clone(), network.classes(), set.len());
        let submitted = VecDeque::new();
        Ok(Self { context, executable, readback, step, batch, classes, len, submitted })
    }

    /// Predicted class and loss of every example, in order.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self) -> Result<(Vec<u32>, Vec<f32>), TrainError> {
        let scores = self.scores()?;
        Ok((scores.predictions, scores.losses))
    }

    /// Predictions, losses and class scores of every example, in order.
    ///
    /// # Errors
    /// When the device is lost.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn scores(&mut self) -> Result<Scores, TrainError> {
        let mut scores = Scores::default();
        for first in (0..self.len).step_by(self.batch) {
            if self.readback.is_full() {
                let words = self.readback.take(&self.context, true)?;
                self.append(words, &mut scores)?;
            }
            self.submit(first)?;
        }
        while self.readback.in_flight() > 0 {
            let words = self.readback.take(&self.context, true)?;
            self.append(words, &mut scores)?;
        }
        Ok(self.cut(scores))
    }

    /// The same, awaited.
    ///
    /// # Errors
    /// When the device is lost.
    pub async fn scores_async(&mut self) -> Result<Scores, TrainError> {
        let mut scores = Scores::default();
        for first in (0..self.len).step_by(self.batch) {
            if self.readback.is_full() {
                let words = self.readback.take_async(&self.context).await?;
                self.append(words, &mut scores)?;
            }
            self.submit(first)?;
        }
        while self.readback.in_flight() > 0 {
            let words = self.readback.take_async(&self.context).await?;
            self.append(words, &mut scores)?;
        }
        Ok(self.cut(scores))
    }

    fn submit(&mut self, first: usize) -> Result<(), TrainError> {
        self.context.check("scoring a set")?;
        let first = first as u32;
        let step = Step { number: first, train_position: first, ..Step::default() };
        self.context.queue.write_buffer(&self.step, 0, bytemuck::bytes_of(&step));
        let encoder = || self.context.device.create_command_encoder(&Default::default());
        let limit = self.context.submission_limit();
        let mut last = encoder();
        for (at, range) in
            self.context.cut(self.executable.recording(), limit).into_iter().enumerate()
        {
            if at > 0 {
                self.context.submit(std::mem::replace(&mut last, encoder()));
            }
            let mut pass = last.begin_compute_pass(&Default::default());
            self.executable.encode_range(&mut pass, range);
        }
        let mut encoder = last;
        let pending = self.readback.encode(&mut encoder);
        let submission = self.context.submit(encoder);
        if let Some(pending) = pending {
            self.readback.submitted(pending, submission);
            self.submitted.push_back(first);
        }
        Ok(())
    }

    fn append(&mut self, words: Option<Vec<u32>>, scores: &mut Scores) -> Result<(), TrainError> {
        let Some(words) = words else { return Ok(()) };
        let first = self.submitted.pop_front().unwrap_or_default();
        let words = unstamped(&self.context, &words, first)?;
        let (predictions, rest) = words.split_at(self.batch);
        let (losses, logits) = rest.split_at(self.batch);
        scores.predictions.extend_from_slice(predictions);
        scores.losses.extend(losses.iter().map(|bits| f32::from_bits(*bits)));
        scores.scores.extend(logits.iter().map(|bits| f32::from_bits(*bits)));
        Ok(())
    }

    /// Without the repetitions that fill the last batch.
    fn cut(&self, mut scores: Scores) -> Scores {
        scores.predictions.truncate(self.len);
        scores.losses.truncate(self.len);
        scores.scores.truncate(self.len * self.classes);
        scores
    }
}
