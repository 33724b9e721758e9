//! Getting results back to the host without stalling the queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{Context, GpuError};

const WAITING: u8 = 0;
const READY: u8 = 1;
const FAILED: u8 = 2;

/// A ring of staging buffers: each run of a computation copies a few small tensors into the next
/// one, and the host reads them some runs later.
#[derive(Debug)]
pub struct Readback {
    sources: Vec<(wgpu::Buffer, u64)>,
    bytes: u64,
    idle: Vec<wgpu::Buffer>,
    in_flight: VecDeque<(wgpu::Buffer, Arc<AtomicU8>)>,
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
    pub fn submitted(&mut self, Pending(staging): Pending) {
        let state = Arc::new(AtomicU8::new(WAITING));
        let signal = state.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            signal.store(if result.is_ok() { READY } else { FAILED }, Ordering::Release);
        });
        self.in_flight.push_back((staging, state));
    }

    /// The oldest run's results if they are there; with `wait`, waits for them.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`] when mapping fails.
    pub fn take(&mut self, context: &Context, wait: bool) -> Result<Option<Vec<u32>>, GpuError> {
        let Some((_, state)) = self.in_flight.front() else { return Ok(None) };
        let poll = || if wait { wgpu::PollType::wait_indefinitely() } else { wgpu::PollType::Poll };
        while state.load(Ordering::Acquire) == WAITING {
            context.device.poll(poll()).map_err(|e| lost(&e))?;
            if !wait {
                break;
            }
            // Another thread's poll may have taken the callback and not have called it yet.
            std::thread::yield_now();
        }
        match state.load(Ordering::Acquire) {
            WAITING => return Ok(None),
            READY => {}
            _ => return Err(lost(&"the staging buffer could not be mapped")),
        }
        let Some((staging, _)) = self.in_flight.pop_front() else { return Ok(None) };
        let words = {
            let view = staging.get_mapped_range(..self.bytes).map_err(|e| lost(&e))?;
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
/// [`GpuError::DeviceLost`] when mapping fails.
pub fn read_back(
    context: &Context,
    buffer: &wgpu::Buffer,
    bytes: u64,
) -> Result<Vec<u32>, GpuError> {
    let mut ring = Readback::new(context, vec![(buffer.clone(), bytes)], 1);
    let mut encoder = context.device.create_command_encoder(&Default::default());
    let pending = ring.encode(&mut encoder);
    context.submit(encoder);
    if let Some(pending) = pending {
        ring.submitted(pending);
    }
    Ok(ring.take(context, true)?.unwrap_or_default())
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
