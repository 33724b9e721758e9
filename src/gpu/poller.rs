//! Waits for the device where something else awaits results, so that futures do not spin.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::{Sender, channel};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Arc, OnceLock};

use super::Context;

/// Runs when the wait ended, with whether the device answered.
type Done = Box<dyn FnOnce(bool) + Send>;

/// In browsers, which poll by themselves.
#[cfg(target_arch = "wasm32")]
#[derive(Clone, Debug, Default)]
pub(super) struct Poller;

#[cfg(target_arch = "wasm32")]
impl Poller {
    /// Runs `done` when everything submitted so far has run.
    pub fn wait(&self, context: &Context, _: wgpu::SubmissionIndex, done: Done) {
        context.queue.on_submitted_work_done(move || done(true));
    }
}

/// The thread of a context and its clones, started when it is first needed. It ends with the last
/// of them.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Debug, Default)]
pub(super) struct Poller(Arc<OnceLock<Sender<(wgpu::SubmissionIndex, Done)>>>);

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    /// Waits for a submission in the background. Callbacks of buffers that are mapped run there.
    pub fn wait(&self, context: &Context, submission: wgpu::SubmissionIndex, done: Done) {
        let sender = self.0.get_or_init(|| {
            let (sender, receiver) = channel::<(wgpu::SubmissionIndex, Done)>();
            let (device, faults) = (context.device.clone(), context.faults.clone());
            std::thread::spawn(move || {
                for (index, done) in receiver {
                    let poll =
                        wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
                    done(faults.poll(&device, poll, "waiting for results").is_ok());
                }
            });
            sender
        });
        if let Err(failed) = sender.send((submission, done)) {
            // The thread is gone: nobody will wait.
            let (_, done) = failed.0;
            done(false);
        }
    }
}
