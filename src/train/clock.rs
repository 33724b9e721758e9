//! How long steps take by the host's clock.

/// Tells how long the device was busy with a step: from its submission, or from the arrival of the
/// one before, whichever came later.
#[derive(Debug, Default)]
pub(super) struct StepClock {
    #[cfg(not(target_arch = "wasm32"))]
    submitted: std::collections::VecDeque<std::time::Instant>,
    #[cfg(not(target_arch = "wasm32"))]
    arrived: Option<std::time::Instant>,
}

#[cfg(not(target_arch = "wasm32"))]
impl StepClock {
    /// A step was submitted.
    pub fn submit(&mut self) {
        self.submitted.push_back(std::time::Instant::now());
    }

    /// The oldest step's results are there; its seconds.
    pub fn arrive(&mut self) -> Option<f64> {
        let submitted = self.submitted.pop_front()?;
        let now = std::time::Instant::now();
        let before = self.arrived.replace(now);
        Some((now - before.map_or(submitted, |before| before.max(submitted))).as_secs_f64())
    }
}

/// Browsers have no clock here.
#[cfg(target_arch = "wasm32")]
impl StepClock {
    pub fn submit(&mut self) {}

    pub fn arrive(&mut self) -> Option<f64> {
        None
    }
}
