//! Steps on a training set that streams from memory or from disk, beside one on the device.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::nn::{Network, Shape};
use l2rw::ops::batch::ValueType;
use l2rw::train::{
    ExampleSource, Examples, SourceError, Trainer, TrainerOptions, Values, ValuesMut,
};
use serde::Serialize;

use crate::support::{BATCH, l2rw, print_table, progress};

/// Examples of the training set.
const EXAMPLES: usize = 20_000;
/// Steps that are timed together, results read back late as in training.
const STEPS: usize = 4;

#[derive(Serialize)]
pub struct Streaming {
    pub model: String,
    /// Median seconds of a step with the set on the device.
    pub device_s: f64,
    /// Median over the rounds of how much longer one took with the set in memory and on disk.
    pub memory_ratio: f64,
    pub disk_ratio: f64,
}

/// Images one after the other in a file.
struct OnDisk {
    file: Mutex<File>,
    shape: Shape,
    labels: Vec<u32>,
}

impl ExampleSource for OnDisk {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn value_type(&self) -> ValueType {
        ValueType::Bytes
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn read(&self, index: usize, out: ValuesMut<'_>) -> Result<(), SourceError> {
        let ValuesMut::Bytes(out) = out else { return Err("it holds bytes".into()) };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start((index * self.shape.len()) as u64))?;
        Ok(file.read_exact(out)?)
    }
}

pub fn measure(context: &Context, networks: &[Network], rounds: usize) -> Result<Vec<Streaming>> {
    let bar = progress(networks.len() * 3 * (rounds + 1), "streaming");
    let mut rows = Vec::new();
    for network in networks {
        bar.set_message(format!("streaming to {}", network.name));
        let mut trainers = trainers(context, network)?;
        let mut times = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            let mut seconds = [0.0; 3];
            for (trainer, seconds) in trainers.iter_mut().zip(&mut seconds) {
                *seconds = time_steps(trainer)?;
                bar.inc(1);
            }
            if round > 0 {
                let [device, memory, disk] = seconds;
                // Of one round, so that a slow phase of the machine slows both.
                for (times, time) in times.iter_mut().zip([device, memory / device, disk / device])
                {
                    times.push(time);
                }
            }
        }
        let [device_s, memory_ratio, disk_ratio] = times.map(median);
        rows.push(Streaming { model: network.name.clone(), device_s, memory_ratio, disk_ratio });
    }
    bar.finish_and_clear();
    print(&rows);
    Ok(rows)
}

fn trainers(context: &Context, network: &Network) -> Result<[Trainer; 3]> {
    let shape = network.input();
    let images: Vec<u8> = (0..EXAMPLES * shape.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
    let labels: Vec<u32> = (0..EXAMPLES as u32).map(|i| i % 10).collect();
    let set = Examples::new(&images, &labels, shape);
    let clean = Examples {
        values: Values::Bytes(&images[..10 * BATCH * shape.len()]),
        labels: &labels[..10 * BATCH],
        ..set
    };
    let options = TrainerOptions {
        batch: BATCH,
        clean_batch: BATCH,
        mean: vec![0.5; shape.channels],
        deviation: vec![0.5; shape.channels],
        ..TrainerOptions::cifar(l2rw(None))
    };
    let limit = Some(clean.values.len() as u64);
    let limited = TrainerOptions { device_data_limit: limit, ..options.clone() };
    let mut file = tempfile::tempfile()?;
    file.write_all(&images)?;
    let on_disk = Arc::new(OnDisk { file: Mutex::new(file), shape, labels: labels.clone() });
    Ok([
        Trainer::new(context, network, set, Some(clean), &options)?,
        Trainer::new(context, network, set, Some(clean), &limited)?,
        Trainer::streaming(context, network, on_disk, Some(clean), &options)?,
    ])
}

/// Seconds of one of several steps, of which nobody waits for each.
fn time_steps(trainer: &mut Trainer) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..STEPS {
        trainer.step()?;
    }
    while trainer.take_report(true)?.is_some() {}
    Ok(start.elapsed().as_secs_f64() / STEPS as f64)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn print(rows: &[Streaming]) {
    let row = |row: &Streaming| {
        vec![
            row.model.clone(),
            format!("{:.4}", row.device_s),
            format!("{:.3}", row.memory_ratio),
            format!("{:.3}", row.disk_ratio),
        ]
    };
    let header = ["model", "device s", "memory / device", "disk / device"];
    let rows: Vec<_> = rows.iter().map(row).collect();
    print_table("L2RW steps by where the training set lies", 1, &header, &rows);
}
