//! What the parts share: networks, trainers, clocks, tables.

use std::time::Instant;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use l2rw::gpu::{Context, DeviceTensors, Executable, Matrices, Recording, ShaderChecks, TensorId};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::plan::Route;
use l2rw::train::{Examples, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, Weighting};
use serde::Serialize;

/// n and the larger m of the measurements, as in the paper.
pub const BATCH: usize = 100;

/// A network of the model zoo, for its usual images.
pub fn by_name(name: &str) -> Result<Network> {
    let small = name.contains("lenet") || name == "mlp";
    let input = if small { Shape::new(28, 28, 1) } else { Shape::new(32, 32, 3) };
    Ok(zoo::by_name(name, input, 10, Normalisation::batch())?)
}

/// The fastest adapter, or the first with this in its name, as an application opens it that accepts
/// wgpu's experimental features.
pub fn open_with_matrices(name: Option<&str>) -> Result<(Context, Option<Matrices>)> {
    let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
    instance.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(instance);
    let adapter = match name.map(str::to_lowercase) {
        Some(name) => {
            let all = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
            all.into_iter().find(|a| a.get_info().name.to_lowercase().contains(&name))
        }
        None => {
            let power_preference = wgpu::PowerPreference::HighPerformance;
            let options = wgpu::RequestAdapterOptions { power_preference, ..Default::default() };
            pollster::block_on(instance.request_adapter(&options)).ok()
        }
    };
    let adapter = adapter.context("no such adapter")?;
    let info = adapter.get_info();
    let matrices = Matrices::of(&adapter)
        .with_context(|| format!("{} has no cooperative matrices that suit", info.name))?;
    let mut descriptor = Context::device_descriptor(&adapter);
    descriptor.required_features |= Matrices::FEATURES;
    descriptor.required_limits.max_compute_workgroup_storage_size = Matrices::WORKGROUP_MEMORY;
    // SAFETY: whoever measures asked for what wgpu calls experimental.
    descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let context = Context::from_device(device, queue, info, ShaderChecks::default());
    Ok((context, Some(matrices)))
}

/// L2RW by a route of choice, or by the network's own.
pub fn l2rw(route: impl Into<Option<Route>>) -> L2rw {
    L2rw { route: route.into(), ..L2rw::default() }
}

/// A trainer on made-up images, clean ones included.
pub fn trainer(
    context: &Context,
    network: &Network,
    n: usize,
    m: usize,
    weighting: impl Into<Weighting>,
) -> Result<Trainer> {
    let shape = network.input();
    let count = 1000.max(n).max(m);
    let images: Vec<u8> = (0..count * shape.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
    let labels: Vec<u32> = (0..count as u32).map(|i| i % 10).collect();
    let set = Examples::new(&images, &labels, shape);
    let options = TrainerOptions {
        batch: n,
        clean_batch: m,
        mean: vec![0.5; shape.channels],
        deviation: vec![0.5; shape.channels],
        ..TrainerOptions::cifar(weighting)
    };
    Ok(Trainer::new(context, network, set, Some(set), &options)?)
}

/// Seconds of one step, from encoding to the arrival of its results.
pub fn time_step(trainer: &mut Trainer) -> Result<f64> {
    let start = Instant::now();
    trainer.step()?;
    trainer.take_report(true)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Times steps of all trainers in turn: `rounds` spreads of seconds, after one round that is not
/// timed.
pub fn interleaved(
    trainers: &mut [Trainer],
    rounds: usize,
    progress: &ProgressBar,
) -> Result<Vec<Spread>> {
    let mut times = vec![Vec::new(); trainers.len()];
    for round in 0..=rounds {
        for (trainer, times) in trainers.iter_mut().zip(&mut times) {
            let seconds = time_step(trainer)?;
            if round > 0 {
                times.push(seconds);
            }
            progress.inc(1);
        }
    }
    times.into_iter().map(Spread::of).collect()
}

/// Forward passes of an L2RW step over those of a plain step.
pub fn counted_ratio(route: Route, n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    match route {
        Route::Tangent => (5.0 * n + 3.0 * m) / (3.0 * n),
        Route::PerLayer => (4.0 * n + 3.0 * m) / (3.0 * n),
    }
}

/// Repeated measurements of one quantity.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Result<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (values.first(), values.last());
        let (min, max) = (*min.context("nothing was measured")?, *max.context("nothing")?);
        Ok(Self { median: values[values.len() / 2], min, max })
    }
}

/// Seconds of every dispatch of an executable, after one run that is not counted: by the device's
/// clock, or, where it has none, by the host's around a submission of its own.
pub fn dispatch_seconds(
    context: &Context,
    executable: &Executable,
    rounds: usize,
) -> Result<Vec<Spread>> {
    let mut runs: Vec<Vec<f64>> = Vec::new();
    for round in 0..=rounds {
        let seconds = match l2rw::gpu::profile(context, executable)? {
            Some(seconds) => seconds,
            None => host_seconds(context, executable)?,
        };
        if round > 0 {
            runs.push(seconds);
        }
    }
    let count = executable.recording().dispatches.len();
    (0..count).map(|at| Spread::of(runs.iter().map(|r| r[at]).collect())).collect()
}

fn host_seconds(context: &Context, executable: &Executable) -> Result<Vec<f64>> {
    let count = executable.recording().dispatches.len();
    let time = |at| {
        let mut encoder = context.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        executable.encode_range(&mut pass, at..at + 1);
        drop(pass);
        let start = Instant::now();
        context.submit(encoder);
        context.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(start.elapsed().as_secs_f64())
    };
    (0..count).map(time).collect()
}

/// An executable of a recording whose external tensors are filled with made-up numbers.
pub fn executable(context: &Context, recording: Recording) -> Result<Executable> {
    use l2rw::gpu::{Access, Lifetime};
    let mut tensors = DeviceTensors::new();
    for (index, tensor) in recording.tensors.iter().enumerate() {
        if !matches!(tensor.lifetime, Lifetime::External | Lifetime::ExternalUniform) {
            continue;
        }
        let mut bindings = recording.dispatches.iter().flat_map(|d| &d.bindings);
        let uniform = bindings.any(|b| b.tensor == TensorId(index) && b.access == Access::Uniform);
        let usage = match uniform {
            true => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM,
            false => wgpu::BufferUsages::STORAGE,
        };
        // Of either sign and far from denormal.
        let values: Vec<f32> =
            (0..tensor.len).map(|i| ((i * 7919 + index * 31) % 509) as f32 / 256.0 - 1.0).collect();
        let upload = context.upload(&tensor.label, bytemuck::cast_slice(&values), usage);
        let buffer = pollster::block_on(upload)?;
        tensors.insert(tensor.label.clone(), buffer);
    }
    // SAFETY: the recordings are of the crate's kernels and of the bench's own.
    Ok(unsafe { Executable::trusted(context, recording, &tensors) }?)
}

/// A line on the terminal, or in the log, that says what is being measured; tables go to standard
/// output.
pub fn progress(steps: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_message(what.to_owned());
    let style = ProgressStyle::with_template("{msg:<32} {bar:30} {pos}/{len} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if bar.is_hidden() {
        eprintln!("measuring {what}");
    }
    bar.tick();
    bar
}

/// Prints a title and a table: the first `text` columns left-aligned, the others right-aligned.
pub fn print_table(title: &str, text: usize, header: &[&str], rows: &[Vec<String>]) {
    println!("\n{title}");
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let cell = |(at, (cell, width)): (usize, (&String, &usize))| match at < text {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        };
        let cells: Vec<String> = cells.iter().zip(&widths).enumerate().map(cell).collect();
        println!("  {}", cells.join("  ").trim_end());
    };
    line(&header.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}

pub fn route_name(route: Route) -> &'static str {
    match route {
        Route::Tangent => "tangent",
        Route::PerLayer => "per-layer",
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 * 1e-6)
}
