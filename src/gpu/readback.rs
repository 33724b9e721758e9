//! Getting results back to the host without stalling the queue.

use std::collections::VecDeque;

use super::signal::Signal;
use super::{Context, GpuError};

/// What is being done here, for errors.
const READING: &str = "reading results back";

/// A ring of staging buffers: each run of a computation copies a few small tensors into the next
/// one, and the host reads them some runs later.
#[derive(Debug)]
pub struct Readback {
    sources: Vec<(wgpu::Buffer, u64)>,
    bytes: u64,
    idle: Vec<wgpu::Buffer>,
    in_flight: VecDeque<InFlight>,
}

/// Copies that were submitted.
#[derive(Debug)]
struct InFlight {
    staging: wgpu::Buffer,
    mapped: Signal,
    submission: wgpu::SubmissionIndex,
}

/// Copies that were encoded but not submitted yet.
#[derive(Debug)]
#[must_use = "call Readback::submitted after the submission"]
pub struct Pending(wgpu::Buffer);

impl Readback {
    /// A ring of `depth` staging buffers for the first `bytes` bytes of each source buffer.
    pub fn new(context: &Context, sources: Vec<(wgpu::Buffer, u64)>, depth: usize) -> Self {
        let bytes = sources.iter().map(|(_, bytes)| bytes).sum();
        let staging = |_| staging_buffer(context, bytes);
        Self {
            idle: (0..depth.max(1)).map(staging).collect(),
            sources,
            bytes,
            in_flight: VecDeque::new(),
        }
    }

    /// Bytes of one staging buffer.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a run must be taken before another one can be encoded.
    pub fn is_full(&self) -> bool {
        self.idle.is_empty()
    }

    /// Runs whose results were not taken yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Encodes the copies of one run; `None` when the ring is full.
    pub fn encode(&mut self, encoder: &mut wgpu::CommandEncoder) -> Option<Pending> {
        let staging = self.idle.pop()?;
        let mut at = 0;
        for (source, bytes) in &self.sources {
            encoder.copy_buffer_to_buffer(source, 0, &staging, at, *bytes);
            at += bytes;
        }
        Some(Pending(staging))
    }

    /// Starts mapping, once the encoder of [`Readback::encode`] was submitted.
    pub fn submitted(&mut self, Pending(staging): Pending, submission: wgpu::SubmissionIndex) {
        let mapped = Signal::default();
        let callback = mapped.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| callback.set(result.is_ok()));
        self.in_flight.push_back(InFlight { staging, mapped, submission });
    }

    /// The oldest run's results if they are there; with `wait`, waits for them.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`] when mapping fails, [`GpuError::CannotWait`] in a browser with
    /// `wait`.
    pub fn take(&mut self, context: &Context, wait: bool) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { mapped, submission, .. }) = self.in_flight.front() else {
            return Ok(None);
        };
        if wait && cfg!(target_arch = "wasm32") {
            return Err(GpuError::CannotWait);
        }
        // For this run, and none that was submitted after it.
        let until =
            wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None };
        let poll = || if wait { until.clone() } else { wgpu::PollType::Poll };
        while mapped.get().is_none() {
            let polled = context.poll(poll(), READING);
            if mapped.get() == Some(false) {
                // The cause of any other error.
                break;
            }
            polled?;
            if !wait {
                break;
            }
            // Another thread's poll may have taken the callback and not have called it yet.
            std::thread::yield_now();
        }
        match mapped.get() {
            None => Ok(None),
            Some(mapped) => self.take_oldest(context, mapped),
        }
    }

    /// The oldest run's results, awaited; `None` when no run is outstanding.
    ///
    /// Outside browsers somebody has to poll the device before results arrive: a thread of the
    /// context's own waits for them, whatever the executor.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`] when mapping fails.
    pub async fn take_async(&mut self, context: &Context) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { mapped, submission, .. }) = self.in_flight.front() else {
            return Ok(None);
        };
        if cfg!(not(target_arch = "wasm32")) && mapped.get().is_none() {
            let callback = mapped.clone();
            // Where the device answers, the callback of the mapping tells.
            context.wait_behind(submission.clone(), move |answered| {
                if !answered {
                    callback.set(false);
                }
            });
        }
        let mapped = mapped.wait().await;
        self.take_oldest(context, mapped)
    }

    fn take_oldest(
        &mut self,
        context: &Context,
        mapped: bool,
    ) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { staging, .. }) = self.in_flight.pop_front() else { return Ok(None) };
        if !mapped {
            return Err(context.lost(READING, &"the staging buffer could not be mapped"));
        }
        let words = {
            let view = staging.get_mapped_range(..self.bytes);
            let view = view.map_err(|error| context.lost(READING, &error))?;
            bytemuck::pod_collect_to_vec(&view)
        };
        staging.unmap();
        self.idle.push(staging);
        Ok(Some(words))
    }
}

/// Copies the first `bytes` bytes of a buffer to the host and waits for them.
///
/// # Errors
/// [`GpuError::DeviceLost`] when mapping fails, [`GpuError::CannotWait`] in a browser.
pub fn read_back(
    context: &Context,
    buffer: &wgpu::Buffer,
    bytes: u64,
) -> Result<Vec<u32>, GpuError> {
    let mut ring = copy_out(context, buffer, bytes);
    Ok(ring.take(context, true)?.unwrap_or_default())
}

/// The same, awaited.
///
/// # Errors
/// [`GpuError::DeviceLost`] when mapping fails.
pub async fn read_back_async(
    context: &Context,
    buffer: &wgpu::Buffer,
    bytes: u64,
) -> Result<Vec<u32>, GpuError> {
    let mut ring = copy_out(context, buffer, bytes);
    Ok(ring.take_async(context).await?.unwrap_or_default())
}

fn copy_out(context: &Context, buffer: &wgpu::Buffer, bytes: u64) -> Readback {
    let mut ring = Readback::new(context, vec![(buffer.clone(), bytes)], 1);
    let mut encoder = context.device.create_command_encoder(&Default::default());
    let pending = ring.encode(&mut encoder);
    let submission = context.submit(encoder);
    if let Some(pending) = pending {
        ring.submitted(pending, submission);
    }
    ring
}

fn staging_buffer(context: &Context, bytes: u64) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("l2rw read-back"),
        size: bytes,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
