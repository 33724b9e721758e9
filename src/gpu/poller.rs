//! Waits for the device where something else awaits results, so that futures do not spin.

#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::{Sender, channel};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::{Arc, OnceLock};
#[cfg(not(target_arch = "wasm32"))]
use std::thread::JoinHandle;

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
pub(super) struct Poller(Arc<OnceLock<Thread>>);

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    /// Waits for a submission in the background. Callbacks of buffers that are mapped run there.
    pub fn wait(&self, context: &Context, submission: wgpu::SubmissionIndex, done: Done) {
        let thread = self.0.get_or_init(|| Thread::start(context));
        if let Some(Err(failed)) = thread.waits.as_ref().map(|waits| waits.send((submission, done)))
        {
            // The thread is gone: nobody will wait.
            let (_, done) = failed.0;
            done(false);
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
struct Thread {
    /// `None` once it is to end.
    waits: Option<Sender<(wgpu::SubmissionIndex, Done)>>,
    handle: Option<JoinHandle<()>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Thread {
    fn start(context: &Context) -> Self {
        let (sender, receiver) = channel::<(wgpu::SubmissionIndex, Done)>();
        let (device, faults) = (context.device.clone(), context.faults.clone());
        let handle = std::thread::spawn(move || {
            for (index, done) in receiver {
                let poll = wgpu::PollType::Wait { submission_index: Some(index), timeout: None };
                done(faults.poll(&device, poll, "waiting for results").is_ok());
            }
        });
        Self { waits: Some(sender), handle: Some(handle) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Thread {
    /// Left to itself, the thread might be the last to drop the device, in the driver's code while
    /// the program ends and unloads the driver: a crash.
    fn drop(&mut self) {
        self.waits = None;
        // What is done on the thread may hold the last context.
        let own = |handle: &JoinHandle<()>| handle.thread().id() == std::thread::current().id();
        if let Some(handle) = self.handle.take().filter(|handle| !own(handle)) {
            // It has nothing to say that the waits have not been told.
            let _ = handle.join();
        }
    }
}
