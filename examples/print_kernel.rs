//! The WGSL that is really compiled: lists the kernels of a training iteration, or prints one with
//! its parts marked. Needs no GPU.
//!
//! `cargo run --release --example print_kernel -- [KERNEL] [--layer NAME] [--model NAME]
//! [--tuning gpu|software] [--method NAME] [--batch N] [--clean-batch M]`

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use l2rw::gpu::{Dispatch, Kernel, Recording, Tuning};
use l2rw::nn::{Normalisation, Shape, zoo};
use l2rw::plan::{Input, Optimizer, TrainingOptions, training};
use l2rw::weighting::{Setup, by_name};

#[derive(Parser)]
struct Options {
    /// Kernel to print, e.g. conv::forward; without it, all kernels of the iteration are listed
    kernel: Option<String>,
    /// Layer whose kernel it is, as the list shows it
    #[arg(long)]
    layer: Option<String>,
    /// Network: a name of the model zoo
    #[arg(long, default_value = "resnet8")]
    model: String,
    /// Size of the images: HEIGHTxWIDTHxCHANNELS
    #[arg(long, default_value = "32x32x3", value_parser = shape)]
    images: Shape,
    /// How kernels are written
    #[arg(long, value_enum, default_value_t = Adapter::Gpu)]
    tuning: Adapter,
    /// Weighting method
    #[arg(long, default_value = "l2rw")]
    method: String,
    /// Training examples of a step
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Clean examples of a step
    #[arg(long, default_value_t = 100)]
    clean_batch: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Adapter {
    Gpu,
    Software,
}

fn shape(text: &str) -> Result<Shape, String> {
    let sizes: Vec<usize> = text.split('x').filter_map(|size| size.parse().ok()).collect();
    match sizes[..] {
        [height, width, channels] => Ok(Shape::new(height, width, channels)),
        _ => Err("three numbers, e.g. 32x32x3".into()),
    }
}

fn main() -> Result<()> {
    sigpipe::reset();
    let options = Options::parse();
    let recording = iteration(&options)?;
    match &options.kernel {
        None => list(&recording),
        Some(name) => print(&recording, name, options.layer.as_deref())?,
    }
    Ok(())
}

fn iteration(options: &Options) -> Result<Recording> {
    let network = zoo::by_name(&options.model, options.images, 10, Normalisation::batch())?;
    let plan = TrainingOptions {
        batch: options.batch,
        clean_batch: options.clean_batch,
        weighting: by_name(&options.method, &Setup::default())?,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        tuning: match options.tuning {
            Adapter::Gpu => Tuning::GPU,
            Adapter::Software => Tuning::SOFTWARE,
        },
        input: Input::Buffers,
    };
    Ok(training(&network, &plan)?.recording)
}

/// Every kernel once, with the first layer that runs it.
fn list(recording: &Recording) {
    let mut seen: Vec<&Kernel> = Vec::new();
    println!("{:<24} {:<12} kernel", "layer", "stage");
    for dispatch in &recording.dispatches {
        if !seen.contains(&&dispatch.kernel) {
            seen.push(&dispatch.kernel);
            println!("{:<24} {:<12} {}", dispatch.label, dispatch.stage, dispatch.kernel.variant());
        }
    }
    println!("{} kernels in {} dispatches", seen.len(), recording.dispatches.len());
}

fn print(recording: &Recording, name: &str, layer: Option<&str>) -> Result<()> {
    let is_wanted = |dispatch: &&Dispatch| {
        dispatch.kernel.to_string() == name && layer.is_none_or(|layer| dispatch.label == layer)
    };
    let Some(dispatch) = recording.dispatches.iter().find(is_wanted) else {
        bail!("no layer runs '{name}' there; without a kernel, this lists those that run");
    };
    let kernel = &dispatch.kernel;
    println!("// {} in stage '{}', layer '{}'", kernel.variant(), dispatch.stage, dispatch.label);
    for (name, value) in &kernel.constants {
        println!("// override {name} = {value}");
    }
    print!("{}", kernel.annotated_source());
    Ok(())
}
