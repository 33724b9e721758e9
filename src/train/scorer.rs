//! A model's scores of batches on the device: what evaluations and predictions run.

use std::collections::VecDeque;

use super::TrainError;
use super::iteration::required;
use super::trainer::{RING, unstamped};
use crate::gpu::{
    Context, DeviceTensors, Executable, GpuError, Readback, Recording, TensorId, Tuning,
};
use crate::nn::{Network, Shape};
use crate::ops::Step;
use crate::ops::batch::Gather;
use crate::plan::{self, BatchOutputs, DatasetShape};

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

/// The forward pass over `batch` consecutive examples of a set, not yet on the device.
#[derive(Debug)]
pub(super) struct ScoringPlan {
    recording: Recording,
    outputs: BatchOutputs,
    batch: usize,
    classes: usize,
}

impl ScoringPlan {
    /// Checks everything before anything is allocated. `shape` is that of the set's examples.
    pub fn new(
        context: &Context,
        network: &Network,
        set: DatasetShape,
        shape: Shape,
        batch: usize,
    ) -> Result<Self, TrainError> {
        let Shape { height, width, channels } = shape;
        let gather = Gather { height, width, channels, crop_pad: 0, flip: false };
        let (recording, outputs) =
            plan::evaluation(network, batch, set, &gather, Tuning::of(context))?;
        recording.check_limits(&context.device.limits())?;
        Ok(Self { recording, outputs, batch, classes: network.classes() })
    }
}

/// The forward pass bound to a model and a set.
#[derive(Debug)]
pub(super) struct Scorer {
    context: Context,
    executable: Executable,
    readback: Readback,
    step: wgpu::Buffer,
    batch: usize,
    classes: usize,
    /// First examples of the batches that are outstanding.
    submitted: VecDeque<u32>,
}

impl Scorer {
    /// `tensors` holds parameters, running statistics, normalisation, and a data set of the name
    /// `evaluation`.
    pub async fn new(
        context: &Context,
        plan: ScoringPlan,
        mut tensors: DeviceTensors,
    ) -> Result<Self, TrainError> {
        let ScoringPlan { recording, outputs, batch, classes } = plan;
        let usage = wgpu::BufferUsages::UNIFORM;
        let step = context.allocate("step", size_of::<Step>() as u64, usage).await?;
        tensors.insert("step", step.clone());
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
        let (context, submitted) = (context.clone(), VecDeque::new());
        Ok(Self { context, executable, readback, step, batch, classes, submitted })
    }

    /// Device memory in bytes, besides what was handed in.
    pub fn memory_bytes(&self) -> u64 {
        let staging = RING as u64 * self.readback.bytes();
        self.executable.allocated_bytes() + staging + self.step.size()
    }

    /// Scores `len` examples. `place(first)` is called before the batch that begins with example
    /// `first`, and tells where in the set on the device it begins; its error ends the scoring.
    pub async fn scores(
        &mut self,
        len: usize,
        mut place: impl FnMut(usize) -> Result<usize, TrainError>,
    ) -> Result<Scores, TrainError> {
        let mut scores = Scores::default();
        for first in (0..len).step_by(self.batch) {
            if self.readback.is_full() {
                self.take(&mut scores).await?;
            }
            self.context.check("scoring a set")?;
            match place(first) {
                Ok(place) => self.submit(first as u32, place as u32),
                Err(error) => {
                    // The next scoring must not find the results of this one.
                    while self.readback.in_flight() > 0 {
                        self.take(&mut scores).await?;
                    }
                    return Err(error);
                }
            }
        }
        while self.readback.in_flight() > 0 {
            self.take(&mut scores).await?;
        }
        // Repetitions fill the last batch.
        scores.predictions.truncate(len);
        scores.losses.truncate(len);
        scores.scores.truncate(len * self.classes);
        Ok(scores)
    }

    fn submit(&mut self, first: u32, place: u32) {
        let step = Step { number: first, train_position: place, ..Step::default() };
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
    }

    async fn take(&mut self, scores: &mut Scores) -> Result<(), TrainError> {
        let Some(words) = self.readback.take_async(&self.context).await? else { return Ok(()) };
        let first = self.submitted.pop_front().unwrap_or_default();
        let words = unstamped(&self.context, &words, first)?;
        let (predictions, rest) = words.split_at(self.batch);
        let (losses, logits) = rest.split_at(self.batch);
        scores.predictions.extend_from_slice(predictions);
        scores.losses.extend(losses.iter().map(|bits| f32::from_bits(*bits)));
        scores.scores.extend(logits.iter().map(|bits| f32::from_bits(*bits)));
        Ok(())
    }
}
