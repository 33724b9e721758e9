//! A thread that waits for the device sleeps.
#![cfg(target_os = "linux")]

use std::time::Instant;

use l2rw::gpu::Context;
use l2rw::nn::{Normalisation, Shape, zoo::ResNet};
use l2rw::train::{Examples, Trainer, TrainerOptions};
use l2rw::weighting::L2rw;

/// Seconds that this thread has run.
fn seconds_run() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn a_save_behind_long_steps_waits_without_spinning() {
    let shape = Shape::new(32, 32, 3);
    let net = ResNet::cifar(8, Normalisation::batch()).unwrap();
    let network = net.build("resnet8", shape, 10).unwrap();
    let n = 40;
    let pixels: Vec<u8> = (0..n * shape.len()).map(|i| (i * 37 % 251) as u8).collect();
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 10).collect();
    let set = Examples::new(&pixels, &labels, shape);
    let options =
        TrainerOptions { batch: n, clean_batch: n, ..TrainerOptions::cifar(L2rw::default()) };
    let context = Context::new(None).unwrap();
    let mut trainer = Trainer::new(&context, &network, set, Some(set), &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Pipelines are compiled now.
    trainer.step().unwrap();
    trainer.save(&folder.path().join("first")).unwrap();
    // What saving takes where there is nothing to wait for.
    let before = seconds_run();
    trainer.save(&folder.path().join("second")).unwrap();
    let saving = seconds_run() - before;
    let mut steps = 4;
    loop {
        for _ in 0..steps {
            trainer.step().unwrap();
        }
        while trainer.take_report(false).unwrap().is_some() {}
        let (begun, before) = (Instant::now(), seconds_run());
        trainer.save(&folder.path().join("third")).unwrap();
        let (waited, run) = (begun.elapsed().as_secs_f64(), seconds_run() - before);
        // A GPU is done with a few such steps at once.
        if waited < 0.2 && steps < 1000 {
            steps *= 2;
            continue;
        }
        let share = (run - saving).max(0.0) / waited;
        println!("{waited:.3} s, {:.1} % of a core", 100.0 * share);
        assert!(share < 0.05 || waited < 0.2, "{:.1} % of a core", 100.0 * share);
        break;
    }
}
