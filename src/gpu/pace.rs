//! How long a submission may run, and where a recording is cut so that none runs longer.
//!
//! Windows resets a device that is busy for two seconds, other systems after five or ten, and a
//! device that also draws a desktop should be free for it many times a second.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Dispatch, Recording};

/// What a device does in a second, as far as is known. Clones share what they learn.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Floating point operations and bytes moved a second.
    rates: Arc<Mutex<(f64, f64)>>,
}

impl Pace {
    /// A guess before anything has run: rather slow, so that the first submissions are rather
    /// short.
    pub fn guessed(device: wgpu::DeviceType) -> Self {
        let rates = match device {
            wgpu::DeviceType::DiscreteGpu => (1e12, 1e11),
            wgpu::DeviceType::Cpu => (2e10, 4e9),
            _ => (1e11, 1e10),
        };
        Self { rates: Arc::new(Mutex::new(rates)) }
    }

    fn rates(&self) -> (f64, f64) {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds that dispatches are estimated to run: each is bound by arithmetic or by memory.
    pub fn seconds<'a>(&self, dispatches: impl IntoIterator<Item = &'a Dispatch>) -> f64 {
        let (flops, bytes) = self.rates();
        let one = |d: &Dispatch| (d.flops as f64 / flops).max(d.bytes() as f64 / bytes);
        dispatches.into_iter().map(one).sum()
    }

    /// Takes into account that what was estimated to run so long took `measured` seconds. Faster
    /// than thought is believed soon, four times at once, slower by and by: a host that was busy
    /// looks like a slow device.
    pub fn learn(&self, estimated: f64, measured: f64) {
        let ratio = estimated / measured;
        if !(ratio.is_finite() && ratio > 0.0) {
            return;
        }
        let factor = if ratio > 1.0 { ratio.min(4.0) } else { 1.0 + 0.1 * (ratio - 1.0) };
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        *rates = (rates.0 * factor, rates.1 * factor);
    }
}

/// How long a submission should run at most, unless the caller says otherwise; `None` where nothing
/// waits for the device but the caller.
pub(super) fn suited_limit(device: wgpu::DeviceType) -> Option<Duration> {
    match device {
        wgpu::DeviceType::Cpu => None,
        wgpu::DeviceType::DiscreteGpu => Some(Duration::from_millis(200)),
        _ => Some(Duration::from_millis(50)),
    }
}

impl Recording {
    /// Ranges of the dispatches, in order, that are estimated to run no longer than `limit` each.
    /// Cuts lie between [groups](Recording::groups), where the device waits anyway; a group that
    /// takes longer by itself is a range of its own.
    pub(super) fn cut(&self, pace: &Pace, limit: Option<Duration>) -> Vec<Range<usize>> {
        let Some(limit) = limit.map(|limit| limit.as_secs_f64()) else {
            return std::iter::once(0..self.dispatches.len()).collect();
        };
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut running = f64::INFINITY;
        let mut first = 0;
        for group in self.groups().chunk_by(|a, b| a == b) {
            let end = first + group.len();
            let seconds = pace.seconds(&self.dispatches[first..end]);
            match ranges.last_mut() {
                Some(last) if running + seconds <= limit => {
                    last.end = end;
                    running += seconds;
                }
                _ => {
                    ranges.push(first..end);
                    running = seconds;
                }
            }
            first = end;
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Access, ElementType, Kernel, Recorder, Shader};

    static SHADER: Shader = Shader::new("any", &[]);

    /// A chain of dispatches with so many operations each, at 1e11 a second.
    fn chain(flops: &[u64]) -> Recording {
        let mut rec = Recorder::new();
        let tensor = rec.external("x", ElementType::F32, 64);
        for flops in flops {
            let bindings = vec![rec.whole(tensor, Access::ReadWrite)];
            rec.dispatch(Kernel::new(&SHADER, "main"), bindings, [1, 1, 1], *flops);
        }
        rec.finish().unwrap()
    }

    fn pace() -> Pace {
        Pace::guessed(wgpu::DeviceType::IntegratedGpu)
    }

    #[test]
    fn ranges_keep_to_the_limit_and_leave_nothing_out() {
        let limit = Some(Duration::from_millis(10));
        // 4 ms each.
        let ranges = chain(&[400_000_000; 5]).cut(&pace(), limit);
        assert_eq!(ranges, [0..2, 2..4, 4..5]);
        // The second alone takes longer.
        let ranges = chain(&[400_000_000, 3_000_000_000, 1, 1]).cut(&pace(), limit);
        assert_eq!(ranges, [0..1, 1..2, 2..4]);
        assert_eq!(chain(&[1_000_000_000; 3]).cut(&pace(), None).len(), 1);
        assert!(chain(&[]).cut(&pace(), limit).is_empty());
    }

    #[test]
    fn a_faster_device_is_believed_soon_and_a_slower_one_by_and_by() {
        let (pace, recording) = (pace(), chain(&[1_000_000_000]));
        let seconds = || pace.seconds(&recording.dispatches);
        assert!((seconds() - 0.01).abs() < 1e-9);
        pace.learn(0.01, 0.001);
        assert!((seconds() - 0.0025).abs() < 1e-9, "one measurement may be wrong: {}", seconds());
        pace.learn(0.0025, 0.001);
        assert!((seconds() - 0.001).abs() < 1e-9, "{}", seconds());
        pace.learn(0.001, 0.002);
        assert!(seconds() > 0.001 && seconds() < 0.0011, "{}", seconds());
        for _ in 0..200 {
            pace.learn(seconds(), 0.002);
        }
        assert!((seconds() - 0.002).abs() < 1e-5, "{}", seconds());
        for nonsense in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            pace.learn(seconds(), nonsense);
        }
        assert!(seconds().is_finite() && seconds() > 0.0);
    }
}
