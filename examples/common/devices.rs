//! A device that is opened again when it is lost.

use std::cell::RefCell;

use anyhow::{Error, Result};
use l2rw::gpu::{Context, GpuError};
use l2rw::train::TrainError;

/// How often a program goes on on another device.
const ATTEMPTS: usize = 3;

/// A device, and how to open another one in its place.
pub struct Devices {
    open: Box<dyn Fn() -> Result<Context>>,
    context: RefCell<Context>,
    attempts: usize,
    keeps_pipelines: bool,
}

impl Devices {
    /// Opens the first one. The others of a team cannot wait until a rank has another one: there it
    /// is the only one.
    pub fn new(
        local_rank: Option<usize>,
        open: impl Fn() -> Result<Context> + 'static,
    ) -> Result<Self> {
        let context = RefCell::new(open()?);
        let attempts = if local_rank.is_some() { 0 } else { ATTEMPTS };
        let keeps_pipelines = local_rank.is_none_or(|rank| rank == 0);
        Ok(Self { open: Box::new(open), context, attempts, keeps_pipelines })
    }

    /// The device as it is now.
    pub fn context(&self) -> Context {
        self.context.borrow().clone()
    }

    /// Does `what`, and does it again on another device where this one is lost: it goes on from its
    /// last checkpoint, as after any interruption.
    pub fn with<T>(&self, mut what: impl FnMut(&Context) -> Result<T>) -> Result<T> {
        for _ in 0..self.attempts {
            match what(&self.context()) {
                Err(error) if is_loss(&error) => {
                    log::warn!("{error:#}; another device is opened for it");
                    self.context.replace((self.open)()?);
                }
                result => {
                    self.keep_pipelines();
                    return result;
                }
            }
        }
        let result = what(&self.context());
        self.keep_pipelines();
        result
    }

    /// Keeps what was compiled for the next time, which is no reason to fail.
    fn keep_pipelines(&self) {
        if !self.keeps_pipelines {
            return;
        }
        if let Err(error) = self.context().keep_pipelines() {
            log::warn!("{error}");
        }
    }
}

fn is_loss(error: &Error) -> bool {
    let of_gpu = |cause: &GpuError| matches!(cause, GpuError::DeviceLost { .. });
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(of_gpu)
            || matches!(cause.downcast_ref(), Some(TrainError::Gpu(cause)) if of_gpu(cause))
    })
}
