//! `l2rw doctor`: what adapters there are, and whether a step on one of them is right.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use l2rw::gpu::{Context, adapters, read_back};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::plan::twin::{self, TwinStep};
use l2rw::plan::{DatasetFacts, Method, Optimizer};
use l2rw::reference::step::{Memory, TwinInput};
use l2rw::train::{Examples, Schedule, Trainer, TrainerOptions};
use l2rw::weighting::L2rw;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::common::{Team, open_adapter};

/// Lists the adapters of this machine, and checks one of them: limits, tuning, and a few training
/// steps against the same computation in 64-bit numbers on the processor.
#[derive(Args, Debug)]
pub struct Options {
    /// Part of the name of the adapter to check [default: the fastest one]
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
}

/// How far a step may be from its twin: a share of the largest value. Single precision explains
/// less than a tenth of it.
const TOLERANCE: f64 = 1e-3;

/// A network for each route to the weights, small enough for plain loops.
const NETWORKS: [&str; 3] = ["mlp", "lenet5", "resnet8-w8"];
const SIDE: usize = 16;
const CLASSES: usize = 4;
/// n and m.
const BATCHES: [usize; 2] = [9, 6];
const RATE: f32 = 0.125;

/// Whether everything is done; an adapter that computes wrongly is an error.
pub fn run(options: &Options) -> Result<bool> {
    println!("l2rw {}", env!("CARGO_PKG_VERSION"));
    let found = adapters()?;
    println!("{} adapters:", found.len());
    for adapter in &found {
        let driver = [adapter.driver.as_str(), adapter.driver_info.as_str()].join(" ");
        let (name, kind) = (&adapter.name, adapter.device_type);
        println!("  {name} ({:?}, {kind:?}; {})", adapter.backend, driver.trim());
    }
    let devices = open_adapter(options.adapter.clone(), &Team::default())?;
    let context = devices.context();
    println!("checked is {}", context.describe());
    print_limits(&context);
    println!("kernels are written for it like this:\n{:#?}", context.tuning());
    let mut wrong = Vec::new();
    for name in NETWORKS {
        if let Some(fault) = check(&context, name)? {
            wrong.push(fault);
        }
    }
    if !wrong.is_empty() {
        bail!(
            "this adapter or its driver computes wrongly: {}. Try a newer driver, or another \
             adapter (--adapter)",
            wrong.join("; ")
        );
    }
    println!("all is well");
    Ok(true)
}

fn print_limits(context: &Context) {
    let limits = context.device.limits();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "a tensor may take {:.0} MiB, a buffer {:.0} MiB; {} storage buffers a kernel",
        mib(limits.max_storage_buffer_binding_size),
        mib(limits.max_buffer_size),
        limits.max_storage_buffers_per_shader_stage
    );
}

/// Pixels and labels at random.
struct Batch {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Batch {
    fn new(rng: &mut impl Rng, n: usize, shape: Shape) -> Self {
        let pixels = (0..n * shape.len()).map(|_| rng.random()).collect();
        Self { pixels, labels: (0..n).map(|_| rng.random_range(0..CLASSES as u32)).collect() }
    }

    fn inputs(&self) -> Vec<f64> {
        self.pixels.iter().map(|pixel| f64::from(*pixel) / 127.5 - 1.0).collect()
    }
}

/// Takes a step on the device and in plain loops; what is wrong with it.
fn check(context: &Context, name: &str) -> Result<Option<String>> {
    let shape = Shape::new(SIDE, SIDE, 3);
    let network = zoo::by_name(name, shape, CLASSES, Normalisation::batch())?;
    let rng = &mut Pcg64::seed_from_u64(1);
    let [train, clean] = BATCHES.map(|n| Batch::new(rng, n, shape));
    let begun = Instant::now();
    let found = on_device(context, &network, &train, &clean)?;
    let first = begun.elapsed().as_secs_f64();
    let expected = by_twin(&network, &train, &clean)?;
    let apart = expected.distance(&found);
    let text: Vec<String> = apart.iter().map(|(part, by)| format!("{part} {by:.0e}")).collect();
    println!(
        "a step of {name}: off by {} of the largest value; {first:.2} s with compiling",
        text.join(", ")
    );
    let wrong = apart.iter().find(|(_, by)| by.is_nan() || *by >= TOLERANCE);
    Ok(wrong.map(|(part, by)| format!("{name}: {part} off by {by:.0e} of the largest")))
}

fn by_twin(network: &Network, train: &Batch, clean: &Batch) -> Result<TwinStep> {
    let facts = DatasetFacts { classes: CLASSES, ..DatasetFacts::default() };
    let Some(mut method) = L2rw::default().twin(&facts) else { bail!("the method has no twin") };
    let seen = TwinInput {
        network: Some(twin::classifier(network)?),
        classes: CLASSES,
        learning_rate: RATE.into(),
        inputs: train.inputs(),
        labels: train.labels.clone(),
        clean_inputs: clean.inputs(),
        clean_labels: clean.labels.clone(),
        parameters: network.initial_parameters(1).into_iter().map(f64::from).collect(),
        ..TwinInput::default()
    };
    let mut memory = Memory::new(seen.parameters.len());
    Ok(twin::step(&seen, &mut method, &mut memory))
}

fn on_device(
    context: &Context,
    network: &Network,
    train: &Batch,
    clean: &Batch,
) -> Result<TwinStep> {
    let shape = network.input();
    let options = TrainerOptions {
        batch: BATCHES[0],
        clean_batch: BATCHES[1],
        schedule: Schedule::constant(RATE),
        optimizer: Optimizer::PLAIN,
        weight_decay: 0.0,
        ..TrainerOptions::cifar(L2rw::default())
    };
    let mut trainer = Trainer::for_batches(context, network, &options)?;
    let [train, clean] =
        [train, clean].map(|batch| Examples::new(&batch.pixels, &batch.labels, shape));
    trainer.step_on(train, Some(clean))?;
    let Some(report) = trainer.take_report(true)? else { bail!("the step has no report") };
    let Some(parameters) = trainer.model().parameters() else { bail!("there are no parameters") };
    let words = read_back(context, parameters, parameters.size())?;
    let doubles = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect();
    Ok(TwinStep {
        losses: doubles(&report.losses),
        similarities: doubles(&report.similarities),
        weights: doubles(&report.weights),
        parameters: words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect(),
    })
}
