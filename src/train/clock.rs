//! How long steps take by the host's clock.

/// Tells how long the device was busy with a step: from its submission, or from the arrival of the
/// one before, whichever came later.
#[derive(Debug, Default)]
pub(super) struct StepClock {
    #[cfg(not(target_arch = "wasm32"))]
    submitted: std::collections::VecDeque<Time>,
    /// When the last results were taken, and whether they had been waited for: others may have been
    /// there for long.
    #[cfg(not(target_arch = "wasm32"))]
    arrived: Option<(Time, bool)>,
}

#[cfg(not(target_arch = "wasm32"))]
type Time = std::time::Instant;
#[cfg(target_arch = "wasm32")]
type Time = ();

#[cfg(not(target_arch = "wasm32"))]
impl StepClock {
    /// The time.
    pub fn now() -> Time {
        Time::now()
    }

    /// A step was submitted, from `begun` on.
    pub fn submit(&mut self, begun: Time) {
        self.submitted.push_back(begun);
    }

    /// The oldest step's results were taken. Its seconds, if both ends are known.
    pub fn arrive(&mut self, waited: bool) -> Option<f64> {
        let submitted = self.submitted.pop_front()?;
        let now = Self::now();
        let begun = match self.arrived.replace((now, waited)) {
            Some((before, exact)) if before > submitted => exact.then_some(before)?,
            _ => submitted,
        };
        waited.then(|| (now - begun).as_secs_f64())
    }
}

/// Browsers have no clock here.
#[cfg(target_arch = "wasm32")]
impl StepClock {
    pub fn now() -> Time {}

    pub fn submit(&mut self, _begun: Time) {}

    pub fn arrive(&mut self, _waited: bool) -> Option<f64> {
        None
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::StepClock;

    #[test]
    fn only_steps_of_which_both_ends_are_known_are_timed() {
        let mut clock = StepClock::default();
        (0..4).for_each(|_| clock.submit(StepClock::now()));
        assert!(clock.arrive(true).is_some(), "from its submission");
        assert!(clock.arrive(true).is_some(), "from the arrival of the one before");
        assert!(clock.arrive(false).is_none(), "it may have been there for long");
        assert!(clock.arrive(true).is_none(), "it began nobody knows when");
        clock.submit(StepClock::now());
        assert!(clock.arrive(true).is_some(), "the device was idle");
        assert!(clock.arrive(true).is_none(), "no step is outstanding");
    }
}
