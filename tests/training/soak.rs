//! Long runs: `make soak`.

use std::process::Command;

use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Shape, zoo};
use l2rw::train::{Examples, Trainer, TrainerOptions};

use crate::common::device::context;

/// Resident memory of this process in bytes: Linux and macOS tell.
fn resident() -> Option<u64> {
    let of_linux = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let of_macos = || {
        let pid = std::process::id().to_string();
        let output = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    of_linux().or_else(of_macos).map(|kilobytes: u64| 1024 * kilobytes)
}

#[test]
#[ignore = "a soak: make soak"]
fn host_memory_stays_flat_over_20_000_steps_and_losses_stay_finite() {
    let shape = Shape::new(4, 4, 1);
    let images: Vec<u8> = (0..200 * 16_u32).map(|i| (i * i % 251) as u8).collect();
    let labels: Vec<u32> = (0..200).map(|i| i * 7 % 4).collect();
    let set = Examples::new(&images, &labels, shape);
    let options = TrainerOptions { batch: 20, clean_batch: 10, ..TrainerOptions::plain(1) };
    let network = zoo::mlp(shape, &[16], 4).unwrap();
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::new(context, &network, set, Some(set), &options).unwrap();
    let mut after_warm_up = None;
    for step in 0..20_000 {
        if let Some(report) = trainer.step().unwrap() {
            assert!(report.losses.iter().all(|loss| loss.is_finite()), "step {}", report.step);
        }
        if step == 2_000 {
            after_warm_up = resident();
        }
    }
    let (Some(before), Some(after)) = (after_warm_up, resident()) else {
        if cfg!(unix) {
            panic!("neither /proc nor ps tells how much memory is resident");
        }
        println!("this system does not tell how much memory is resident: not checked");
        return;
    };
    let grown = after.saturating_sub(before);
    println!("{before} bytes after 2,000 steps, {after} after 20,000");
    assert!(grown < 16 << 20, "{grown} bytes more than after 2,000 steps");
}
