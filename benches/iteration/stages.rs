//! Where the time of an L2RW step goes: stages by the device's clock, the host's share apart from
//! them, and memory.

use std::time::Instant;

use anyhow::Result;
use l2rw::gpu::{Context, Lifetime, Recording};
use l2rw::nn::Network;
use l2rw::train::Trainer;
use serde::Serialize;

use crate::support::{
    BATCH, Spread, dispatch_seconds, l2rw, megabytes, print_table, progress, route_name, time_step,
    trainer,
};

/// Enough: a stage is the sum over many dispatches, and every round takes three steps.
const MOST_ROUNDS: usize = 3;

/// An L2RW step by the network's own route, n = m.
#[derive(Serialize)]
pub struct Model {
    pub model: String,
    pub n: usize,
    pub m: usize,
    pub route: Option<&'static str>,
    /// In order of execution.
    pub stages: Vec<Stage>,
    pub dispatches: usize,
    /// How often the device waits for dispatches to end.
    pub barriers: usize,
    pub submissions_per_step: f64,
    /// From a command encoder to a command buffer.
    pub encode_s: Spread,
    /// The queue's acceptance of that buffer.
    pub submit_s: Spread,
    /// All that a step does on the host, results of an earlier one not awaited.
    pub host_s: Spread,
    pub memory: Memory,
}

/// Dispatches of one name for their phase.
#[derive(Serialize)]
pub struct Stage {
    pub stage: &'static str,
    pub seconds: f64,
    pub share: f64,
    pub dispatches: usize,
    pub gflop: f64,
}

/// Bytes on the device.
#[derive(Serialize)]
pub struct Memory {
    /// Transient and output tensors, sharing accounted for.
    pub transient: u64,
    /// Parameters, momentum, gradients, running statistics and the like.
    pub state: u64,
    pub parameters: u64,
    pub data_set: u64,
}

pub fn measure(context: &Context, networks: &[Network], rounds: usize) -> Result<Vec<Model>> {
    let bar = progress(networks.len(), "stages");
    let mut models = Vec::new();
    for network in networks {
        bar.set_message(format!("stages of {}", network.name));
        models.push(model(context, network, rounds.min(MOST_ROUNDS))?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&models);
    Ok(models)
}

fn model(context: &Context, network: &Network, rounds: usize) -> Result<Model> {
    let mut trainer = trainer(context, network, BATCH, BATCH, l2rw(None))?;
    // The first step compiles.
    time_step(&mut trainer)?;
    let (mut host, mut encode, mut submit) = (Vec::new(), Vec::new(), Vec::new());
    let mut submissions = 0;
    for _ in 0..rounds {
        let before = context.submissions();
        host.push(host_seconds(context, &mut trainer)?);
        submissions += context.submissions() - before;
        let (encoding, submitting) = encode_and_submit(context, &trainer)?;
        encode.push(encoding);
        submit.push(submitting);
    }
    let recording = &trainer.plan().recording;
    let seconds = dispatch_seconds(context, trainer.executable(), rounds)?;
    let seconds: Vec<f64> = seconds.into_iter().map(|spread| spread.median).collect();
    Ok(Model {
        model: network.name.clone(),
        n: BATCH,
        m: BATCH,
        route: trainer.plan().route.map(route_name),
        stages: stages(recording, &seconds),
        dispatches: seconds.len(),
        barriers: recording.barriers(),
        submissions_per_step: submissions as f64 / rounds as f64,
        encode_s: Spread::of(encode)?,
        submit_s: Spread::of(submit)?,
        host_s: Spread::of(host)?,
        memory: memory(&trainer),
    })
}

/// Seconds until a step returns, its results not awaited. The queue is empty before and after.
fn host_seconds(context: &Context, trainer: &mut Trainer) -> Result<f64> {
    let start = Instant::now();
    trainer.step()?;
    let seconds = start.elapsed().as_secs_f64();
    trainer.take_report(true)?;
    context.device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(seconds)
}

/// Seconds of encoding the iteration, and of submitting it. The queue is empty before and after.
fn encode_and_submit(context: &Context, trainer: &Trainer) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut encoder = context.device.create_command_encoder(&Default::default());
    trainer.executable().encode(&mut encoder.begin_compute_pass(&Default::default()));
    let commands = encoder.finish();
    let encoding = start.elapsed().as_secs_f64();
    let start = Instant::now();
    context.queue.submit([commands]);
    let submitting = start.elapsed().as_secs_f64();
    context.device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok((encoding, submitting))
}

fn stages(recording: &Recording, seconds: &[f64]) -> Vec<Stage> {
    let total: f64 = seconds.iter().sum();
    let mut stages: Vec<Stage> = Vec::new();
    for (dispatch, seconds) in recording.dispatches.iter().zip(seconds) {
        let at = stages.iter().position(|s| s.stage == dispatch.stage).unwrap_or_else(|| {
            let stage = dispatch.stage;
            stages.push(Stage { stage, seconds: 0.0, share: 0.0, dispatches: 0, gflop: 0.0 });
            stages.len() - 1
        });
        stages[at].seconds += seconds;
        stages[at].share += seconds / total;
        stages[at].dispatches += 1;
        stages[at].gflop += dispatch.flops as f64 * 1e-9;
    }
    stages
}

fn memory(trainer: &Trainer) -> Memory {
    let external =
        trainer.plan().recording.tensors.iter().filter(|tensor| {
            matches!(tensor.lifetime, Lifetime::External | Lifetime::ExternalUniform)
        });
    let (data, state): (Vec<_>, Vec<_>) = external.partition(|t| t.label.contains("/dataset"));
    let bytes = |tensors: &[&l2rw::gpu::Tensor]| tensors.iter().map(|t| t.bytes()).sum();
    Memory {
        transient: trainer.activation_bytes(),
        state: bytes(&state),
        parameters: 4 * trainer.network().parameters_len as u64,
        data_set: bytes(&data),
    }
}

fn print(models: &[Model]) {
    let mut rows = Vec::new();
    for model in models {
        for stage in &model.stages {
            rows.push(vec![
                model.model.clone(),
                stage.stage.to_owned(),
                stage.dispatches.to_string(),
                format!("{:.3}", stage.seconds * 1e3),
                format!("{:.1}", stage.share * 100.0),
                format!("{:.2}", stage.gflop / stage.seconds),
            ]);
        }
    }
    let header = ["model", "stage", "dispatches", "ms", "%", "GFLOP/s"];
    print_table("Stages of an L2RW step, n = m = 100 (device time)", 2, &header, &rows);

    let micro = |spread: Spread| format!("{:.0}", spread.median * 1e6);
    let row = |model: &Model| {
        let memory = &model.memory;
        vec![
            model.model.clone(),
            model.route.unwrap_or_default().to_owned(),
            model.dispatches.to_string(),
            model.barriers.to_string(),
            model.submissions_per_step.to_string(),
            micro(model.encode_s),
            micro(model.submit_s),
            micro(model.host_s),
            megabytes(memory.transient),
            megabytes(memory.state),
            megabytes(memory.parameters),
            megabytes(memory.data_set),
        ]
    };
    let rows: Vec<_> = models.iter().map(row).collect();
    let header = [
        "model",
        "route",
        "dispatches",
        "barriers",
        "submissions",
        "encode µs",
        "submit µs",
        "step µs",
        "transient MB",
        "state MB",
        "parameters MB",
        "data MB",
    ];
    print_table("The host's share of a step, and device memory", 2, &header, &rows);
}
