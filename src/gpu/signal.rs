//! What a callback of the device has to say, for those who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Shared by a callback and whoever waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether it went well, once that is known.
    outcome: Option<bool>,
    /// Who awaits it.
    waker: Option<Waker>,
}

impl Signal {
    /// Tells the outcome, unless it is known.
    pub fn set(&self, outcome: bool) {
        let mut state = self.state();
        state.outcome.get_or_insert(outcome);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// The outcome, if it is known.
    pub fn get(&self) -> Option<bool> {
        self.state().outcome
    }

    /// The outcome, awaited.
    pub async fn wait(&self) -> bool {
        std::future::poll_fn(|task| {
            let mut state = self.state();
            match state.outcome {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    state.waker = Some(task.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
