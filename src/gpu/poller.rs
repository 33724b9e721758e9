//! A thread that waits for the device where something else awaits results: futures do not spin.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use super::faults::Faults;

/// Runs when the wait ended, with whether the device answered.
type Done = Box<dyn FnOnce(bool) + Send>;

/// The thread of a context and its clones, started when it is first needed. It ends with the last
/// of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Poller(Arc<OnceLock<Sender<(wgpu::SubmissionIndex, Done)>>>);

impl Poller {
    /// Waits for a submission in the background. Callbacks of buffers that are mapped run there.
    pub fn wait(
        &self,
        device: &wgpu::Device,
        faults: &Faults,
        submission: wgpu::SubmissionIndex,
        done: Done,
    ) {
        let sender = self.0.get_or_init(|| {
            let (sender, receiver) = channel::<(wgpu::SubmissionIndex, Done)>();
            let (device, faults) = (device.clone(), faults.clone());
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
