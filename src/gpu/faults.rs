//! What happened to a device outside of any call: that it was lost, and errors that nobody caught.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::GpuError;

/// Shared by a context, its clones and the device's callbacks.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Why the device was lost, once it is.
    lost: OnceLock<String>,
    /// The first error that no call has reported yet.
    error: Mutex<Option<String>>,
}

impl Faults {
    /// Hears of everything that happens to a device that is the crate's own. Without it wgpu would
    /// end the program.
    pub fn watch(&self, device: &wgpu::Device) {
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            faults.lose(format!("{reason:?}: {message}"));
        });
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            log::error!("{error}");
            // The text alone: in browsers the error itself stays on its thread.
            faults.pending().get_or_insert(error.to_string());
        }));
    }

    /// The device is lost.
    pub fn lose(&self, reason: String) {
        // The first reason is the cause of all others.
        let _ = self.0.lost.set(reason);
    }

    /// Whether the device is known to be lost.
    pub fn is_lost(&self) -> bool {
        self.0.lost.get().is_some()
    }

    /// The error of what has happened since the last time, if anything has.
    pub fn check(&self, doing: &str) -> Result<(), GpuError> {
        let doing = doing.to_owned();
        if let Some(reason) = self.0.lost.get() {
            return Err(GpuError::DeviceLost { doing, reason: reason.clone() });
        }
        match self.pending().take() {
            None => Ok(()),
            Some(reason) => Err(GpuError::Device { doing, reason }),
        }
    }

    /// Polls the device. wgpu panics where that finds it lost; here it is an error.
    pub fn poll(
        &self,
        device: &wgpu::Device,
        poll: wgpu::PollType,
        doing: &str,
    ) -> Result<(), GpuError> {
        let polled = catch_unwind(AssertUnwindSafe(|| device.poll(poll)));
        let reason = match polled {
            Ok(Ok(_)) => return self.check(doing),
            // Of a submission that a lost device did not take.
            Ok(Err(error)) => error.to_string(),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                words.unwrap_or_else(|| "waiting for it failed".into())
            }
        };
        self.lose(reason);
        self.check(doing)
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
