//! Batches of a data set that does not lie on the device: read ahead by threads, uploaded in time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::TrainError;
use super::source::{ExampleSource, read_bytes};
use crate::gpu::Context;
use crate::ops::batch::Stream;
use crate::ops::sample::Rule;
use crate::plan::{Sampling, Share};
use crate::reference::rng::permuted_index;
use crate::reference::sample::{class_place, pass_place};

/// Where a series of batches stands before step `steps`: passes over the set in a new order each;
/// the rest of a pass that fills no batch is left out. Returns the pass and the position in it.
pub(super) fn cursor(steps: u64, batch: usize, len: usize) -> (u32, u32) {
    let per_pass = (len / batch.max(1)).max(1) as u64;
    ((steps / per_pass) as u32, (steps % per_pass) as u32 * batch as u32)
}

/// Which examples each step's batch is made of, as the kernels draw them.
#[derive(Clone, Debug)]
pub(super) struct BatchOrder {
    stream: Stream,
    seed: u32,
    /// Examples of the whole batch.
    batch: usize,
    /// Those of its slots that are read.
    slots: Range<usize>,
    /// Examples of the set.
    len: usize,
    /// Draws of one pass.
    pass_len: usize,
    /// Order and starts of a rule of the method's.
    tables: Option<(Rule, Vec<u32>, Vec<u32>)>,
}

impl BatchOrder {
    pub fn new(stream: Stream, seed: u32, batch: usize, len: usize, sampling: &Sampling) -> Self {
        let pass_len = sampling.pass_len(len).unwrap_or(len);
        let tables = (*sampling != Sampling::Passes).then(|| {
            let (order, starts) = sampling.tables(len);
            (sampling.rule(), order, starts)
        });
        Self { stream, seed, batch, slots: 0..batch, len, pass_len, tables }
    }

    /// Only what a rank's share of each batch is made of.
    pub fn part(self, share: Share) -> Self {
        Self { slots: share.of(self.batch), ..self }
    }

    /// `[slots]`
    fn indices(&self, step: u64) -> Vec<usize> {
        let (epoch, position) = cursor(step, self.batch, self.pass_len);
        let index = |slot: u32| match &self.tables {
            None => {
                let seed = self.seed ^ self.stream as u32;
                permuted_index(seed, epoch, position + slot, self.len as u32) as usize
            }
            Some((rule, order, starts)) => {
                let place = match rule {
                    Rule::Passes => pass_place(self.seed, epoch, position, slot, order.len()),
                    Rule::ClassThenExample => class_place(self.seed, step as u32, slot, starts),
                };
                order[place] as usize
            }
        };
        self.slots.clone().map(|slot| index(slot as u32)).collect()
    }
}

/// A batch to be read.
struct Job {
    step: u64,
    indices: Vec<usize>,
    words: Vec<u32>,
}

/// A batch that was read, `[n, height, width, channels]`, or which example could not be, and why.
struct Done {
    step: u64,
    words: Vec<u32>,
    failure: Option<(usize, String)>,
}

/// Reads the batches of the next few steps while the device computes.
#[derive(Debug)]
pub(super) struct BatchStream {
    which: &'static str,
    order: BatchOrder,
    target: wgpu::Buffer,
    /// Bytes of a batch.
    bytes: usize,
    jobs: Sender<Job>,
    results: Receiver<Done>,
    requested: BTreeSet<u64>,
    ready: BTreeMap<u64, Done>,
    /// Memory of batches that have been uploaded.
    idle: Vec<Vec<u32>>,
    /// Steps that are read ahead, this one included.
    depth: u64,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").field("step", &self.step).finish_non_exhaustive()
    }
}

/// Threads that read at once, at most.
const READERS: usize = 4;

impl BatchStream {
    /// Starts the threads. `target` holds a batch on the device.
    pub fn new(
        which: &'static str,
        source: &Arc<dyn ExampleSource>,
        order: BatchOrder,
        target: wgpu::Buffer,
    ) -> Result<Self, TrainError> {
        let (jobs, waiting) = channel::<Job>();
        let (done, results) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let readers = thread::available_parallelism().map_or(1, NonZero::get).min(READERS);
        let example = source.shape().len() * source.value_type().size();
        for _ in 0..readers {
            let (waiting, done, source) = (waiting.clone(), done.clone(), source.clone());
            let reader = thread::Builder::new().name(format!("l2rw {which} reader"));
            let started = reader.spawn(move || read_jobs(&*source, example, &waiting, &done));
            started.map_err(|error| {
                let reason = format!("it cannot be streamed: {error}");
                TrainError::Dataset { which, reason }
            })?;
        }
        let bytes = order.slots.len() * example;
        let (requested, ready, idle) = Default::default();
        let depth = readers as u64 + 1;
        Ok(Self { which, order, target, bytes, jobs, results, requested, ready, idle, depth })
    }

    /// Uploads the batch of a step, before the next submission. Waits where it has not been read
    /// yet, and has those of the steps behind it read.
    pub fn upload(&mut self, context: &Context, step: u64) -> Result<(), TrainError> {
        // Those of a place in the run that has been left, by loading a checkpoint.
        let wanted = step..step + self.depth;
        let left: Vec<u64> = self.ready.keys().copied().filter(|s| !wanted.contains(s)).collect();
        for left in left {
            self.idle.extend(self.ready.remove(&left).map(|done| done.words));
        }
        for ahead in wanted.clone() {
            self.request(ahead)?;
        }
        while !self.ready.contains_key(&step) {
            let done = self.results.recv().map_err(|_| self.ended())?;
            self.requested.remove(&done.step);
            match wanted.contains(&done.step) {
                true => drop(self.ready.insert(done.step, done)),
                false => self.idle.push(done.words),
            }
        }
        let Some(Done { words, failure, .. }) = self.ready.remove(&step) else {
            return Err(self.ended());
        };
        if let Some((example, reason)) = failure {
            self.idle.push(words);
            let which = self.which;
            return Err(TrainError::Source { which, example, reason });
        }
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        context.write(&self.target, &bytes[..self.bytes]);
        self.idle.push(words);
        self.request(step + self.depth)
    }

    fn request(&mut self, step: u64) -> Result<(), TrainError> {
        if self.ready.contains_key(&step) || !self.requested.insert(step) {
            return Ok(());
        }
        let words = self.idle.pop().unwrap_or_else(|| vec![0; self.bytes.div_ceil(4)]);
        let job = Job { step, indices: self.order.indices(step), words };
        self.jobs.send(job).map_err(|_| self.ended())
    }

    fn ended(&self) -> TrainError {
        let reason = "the threads that read it have ended".into();
        TrainError::Dataset { which: self.which, reason }
    }
}

/// Reads batches until the stream is dropped.
fn read_jobs(
    source: &dyn ExampleSource,
    example: usize,
    waiting: &Mutex<Receiver<Job>>,
    done: &Sender<Done>,
) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { step, indices, mut words }) = next else { return };
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut failure = None;
        for (index, out) in indices.into_iter().zip(bytes.chunks_exact_mut(example)) {
            // A reader that panics must not leave its step waiting for ever.
            let read = catch_unwind(AssertUnwindSafe(|| read_bytes(source, index, out)));
            let reason = match read {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "reading it panicked".to_owned(),
            };
            failure = Some((index, reason));
            break;
        }
        if done.send(Done { step, words, failure }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn a_pass_leaves_out_what_fills_no_batch() {
        let expected = [(0, 0), (0, 3), (0, 6), (1, 0), (1, 3)];
        assert_eq!([0, 1, 2, 3, 4].map(|steps| cursor(steps, 3, 11)), expected);
        assert_eq!(cursor(5, 4, 4), (5, 0));
    }
}
