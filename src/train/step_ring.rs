//! Where the host puts what it tells the device about a step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gpu::{Context, GpuError};
use crate::ops::Step;

/// Small buffers that steps take in turn. A step gives its own back when it has run, so that none
/// is made while training goes on, whoever submits.
#[derive(Debug)]
pub(super) struct StepRing {
    buffers: Mutex<Vec<wgpu::Buffer>>,
    idle: Idle,
}

/// Indices of buffers: those themselves stay on their thread in browsers.
type Idle = Arc<Mutex<Vec<usize>>>;

/// Steps of one encoder that nobody has submitted yet for which there are buffers at once.
const SLOTS: usize = 8;

/// A buffer on loan. Dropped when its step has run, or was never submitted.
struct Loan {
    index: usize,
    idle: Idle,
}

impl Drop for Loan {
    fn drop(&mut self) {
        held(&self.idle).push(self.index);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(context: &Context) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("l2rw step"),
        size: size_of::<Step>() as u64,
        usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

impl StepRing {
    pub fn new(context: &Context) -> Result<Self, GpuError> {
        let buffers = (0..SLOTS).map(|_| make(context)).collect();
        context.check("allocating the parameters of steps")?;
        let idle = Arc::new(Mutex::new((0..SLOTS).collect()));
        Ok(Self { buffers: Mutex::new(buffers), idle })
    }

    /// Device memory in bytes.
    pub fn bytes(&self) -> u64 {
        (SLOTS * size_of::<Step>()) as u64
    }

    /// Encodes that `uniform` becomes `step`. A write to the queue alone would reach all steps of
    /// an encoder.
    pub fn encode(
        &self,
        context: &Context,
        encoder: &mut wgpu::CommandEncoder,
        step: &Step,
        uniform: &wgpu::Buffer,
    ) {
        let (buffer, index) = self.take(context);
        let content = bytemuck::bytes_of(step);
        context.queue.write_buffer(&buffer, 0, content);
        encoder.copy_buffer_to_buffer(&buffer, 0, uniform, 0, content.len() as u64);
        let loan = Loan { index, idle: self.idle.clone() };
        encoder.on_submitted_work_done(move || drop(loan));
    }

    fn take(&self, context: &Context) -> (wgpu::Buffer, usize) {
        let idle = held(&self.idle).pop();
        let mut buffers = held(&self.buffers);
        let index = idle.unwrap_or_else(|| {
            // More than ever before wait for their submission.
            buffers.push(make(context));
            buffers.len() - 1
        });
        (buffers[index].clone(), index)
    }
}
