//! Where batches come from.

use std::ops::Range;

use super::IterationBuilder;
use crate::gpu::ElementType;
use crate::ops::batch::{self, Batch, DeviceDataset, Gather, Stream};
use crate::ops::sample;
use crate::plan::externals::dataset_tensors;
use crate::plan::{Input, PlanError, Sampling};

impl IterationBuilder<'_> {
    /// Draws the step's training batch, as the method's sampling says.
    ///
    /// # Errors
    /// When the sampling needs facts that are not known, or a data set.
    pub fn training_batch(&mut self) -> Result<Batch, PlanError> {
        let sampling = self.options.weighting.sampling(self.facts)?;
        self.batch(Stream::Train, &sampling)
    }

    /// Draws the step's clean batch.
    ///
    /// # Errors
    /// When the clean set cannot be planned for.
    pub fn clean_batch(&mut self) -> Result<Batch, PlanError> {
        self.batch(Stream::Clean, &Sampling::Passes)
    }

    /// The slots of a step's whole batch that this iteration takes.
    pub(super) fn slots(&self, stream: Stream) -> Range<usize> {
        let (n, m) = self.whole;
        self.share.of(if stream == Stream::Clean { m } else { n })
    }

    fn batch(&mut self, stream: Stream, sampling: &Sampling) -> Result<Batch, PlanError> {
        self.rec.stage("batch");
        let name = if stream == Stream::Clean { "clean" } else { "train" };
        let slots = self.slots(stream);
        let n = slots.len();
        self.rec.label(name);
        match &self.options.input {
            Input::Buffers if *sampling == Sampling::Passes => {
                let len = n * self.network.input().len();
                let images = self.rec.external(format!("{name}/images"), ElementType::F32, len);
                let labels = self.rec.external(format!("{name}/labels"), ElementType::U32, n);
                Ok(Batch { images, labels, indices: None })
            }
            Input::Buffers => {
                Err(self
                    .refusal("it draws its own batches, so it needs data sets instead of buffers"))
            }
            Input::Datasets { train, clean, gather } => {
                let shape = if stream == Stream::Clean { clean } else { train };
                let data = dataset_tensors(&mut self.rec, name, shape, gather, n);
                match sampling {
                    Sampling::Passes => {
                        Ok(batch::draw(&mut self.rec, self.step, &data, slots, gather, stream))
                    }
                    _ => self.sampled_batch(&data, gather, sampling),
                }
            }
        }
    }

    /// A training batch by a rule of the method.
    fn sampled_batch(
        &mut self,
        data: &DeviceDataset,
        gather: &Gather,
        sampling: &Sampling,
    ) -> Result<Batch, PlanError> {
        if !self.share.is_whole() {
            return Err(self.refusal("it draws its own batches: train it on one rank"));
        }
        sampling.check(data.len).map_err(|reason| self.refusal(reason))?;
        let n = self.options.batch;
        self.pass_len = sampling.pass_len(data.len);
        if let Some(available) = self.pass_len.filter(|len| *len < n) {
            return Err(PlanError::Batch { which: "training", batch: n, available });
        }
        let (order, starts) = sampling.tables(data.len);
        let order = self.integers("sampling order", || order);
        let starts = self.integers("sampling starts", || starts);
        let (step, rule) = (self.step, sampling.rule());
        let picked = sample::draw(&mut self.rec, step, data, n, order, starts, rule);
        let drawn = picked.drawn;
        let images = batch::gather(&mut self.rec, step, data, drawn, gather, Stream::Train);
        let batch = Batch { images, labels: drawn.labels, indices: Some(drawn.indices) };
        let Some((count, neighbours)) = sampling.neighbours() else { return Ok(batch) };
        if data.streamed {
            let reason = "it mixes pairs of examples, so its training set must lie on the device, \
                          which it is too large for, or for the limit that was set";
            return Err(self.refusal(reason));
        }
        let table = self.integers("neighbours", || neighbours.to_vec());
        let partners = sample::partners(&mut self.rec, step, &picked, table, count);
        let others = batch::gather(&mut self.rec, step, data, partners, gather, Stream::Train);
        let images = sample::mix(&mut self.rec, step, &picked, data.len, images, others);
        Ok(Batch { images, ..batch })
    }
}
