//! Getting results back to the host without stalling the queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::{Context, GpuError};

/// A staging buffer on its way to the host.
#[derive(Debug, Default)]
struct Mapping {
    /// Whether it went well, once that is known.
    outcome: Option<bool>,
    /// Who awaits it.
    waker: Option<Waker>,
}

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
    mapping: Arc<Mutex<Mapping>>,
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
        let mapping = Arc::new(Mutex::new(Mapping::default()));
        let shared = mapping.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let mut mapping = shared.lock().unwrap_or_else(PoisonError::into_inner);
            mapping.outcome = Some(result.is_ok());
            if let Some(waker) = mapping.waker.take() {
                waker.wake();
            }
        });
        self.in_flight.push_back(InFlight { staging, mapping, submission });
    }

    /// The oldest run's results if they are there; with `wait`, waits for them.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`] when mapping fails, [`GpuError::CannotWait`] in a browser with
    /// `wait`.
    pub fn take(&mut self, context: &Context, wait: bool) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { mapping, submission, .. }) = self.in_flight.front() else {
            return Ok(None);
        };
        if wait && cfg!(target_arch = "wasm32") {
            return Err(GpuError::CannotWait);
        }
        // For this run, and none that was submitted after it.
        let until =
            wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None };
        let poll = || if wait { until.clone() } else { wgpu::PollType::Poll };
        while outcome(mapping).is_none() {
            context.device.poll(poll()).map_err(|e| lost(&e))?;
            if !wait {
                break;
            }
            // Another thread's poll may have taken the callback and not have called it yet.
            std::thread::yield_now();
        }
        match outcome(mapping) {
            None => Ok(None),
            Some(mapped) => self.take_oldest(mapped),
        }
    }

    /// The oldest run's results, awaited; `None` when no run is outstanding.
    ///
    /// Outside browsers somebody has to poll the device before results arrive: the future does it
    /// itself, without waiting, whenever its executor gets to it.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`] when mapping fails.
    pub async fn take_async(&mut self, context: &Context) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { mapping, .. }) = self.in_flight.front() else { return Ok(None) };
        let mapped = std::future::poll_fn(|task| {
            if outcome(mapping).is_none() {
                let mut mapping = mapping.lock().unwrap_or_else(PoisonError::into_inner);
                mapping.waker = Some(task.waker().clone());
            }
            if cfg!(not(target_arch = "wasm32"))
                && let Err(error) = context.device.poll(wgpu::PollType::Poll)
            {
                return Poll::Ready(Err(lost(&error)));
            }
            match outcome(mapping) {
                Some(mapped) => Poll::Ready(Ok(mapped)),
                None => {
                    if cfg!(not(target_arch = "wasm32")) {
                        task.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        });
        let mapped = mapped.await?;
        self.take_oldest(mapped)
    }

    fn take_oldest(&mut self, mapped: bool) -> Result<Option<Vec<u32>>, GpuError> {
        let Some(InFlight { staging, .. }) = self.in_flight.pop_front() else { return Ok(None) };
        if !mapped {
            return Err(lost(&"the staging buffer could not be mapped"));
        }
        let words = {
            let view = staging.get_mapped_range(..self.bytes).map_err(|e| lost(&e))?;
            bytemuck::pod_collect_to_vec(&view)
        };
        staging.unmap();
        self.idle.push(staging);
        Ok(Some(words))
    }
}

fn outcome(mapping: &Mutex<Mapping>) -> Option<bool> {
    mapping.lock().unwrap_or_else(PoisonError::into_inner).outcome
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

fn lost(reason: &dyn std::fmt::Display) -> GpuError {
    GpuError::DeviceLost { doing: "reading results back".into(), reason: reason.to_string() }
}
