//! Time from the start to the end of the first L2RW step, with an empty shader cache and with a
//! filled one, each in a process of its own; and the peak memory of that process.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use l2rw::gpu::Context;
use l2rw::nn::Network;
use serde::{Deserialize, Serialize};

use crate::support::{BATCH, l2rw, print_table, progress, time_step, trainer};

#[derive(Serialize)]
pub struct Start {
    /// Whether the driver's shader cache is known to have been empty for `cold`; otherwise `cold`
    /// is merely the first of the two runs.
    pub cache_controlled: bool,
    pub models: Vec<Model>,
}

#[derive(Serialize)]
pub struct Model {
    pub model: String,
    pub cold: FirstStep,
    pub warm: FirstStep,
}

/// Seconds since the process began to open the adapter.
#[derive(Serialize, Deserialize)]
pub struct FirstStep {
    /// WGSL texts parsed and kernels compiled.
    pub modules: usize,
    pub pipelines: usize,
    /// The context is open.
    pub context_s: f64,
    /// Plan, pipelines, memory and data are ready.
    pub ready_s: f64,
    /// The first step's results are there.
    pub first_step_s: f64,
    /// Largest resident memory of the process; only Linux tells.
    pub peak_resident_bytes: Option<u64>,
}

pub fn measure(context: &Context, networks: &[Network], adapter: Option<&str>) -> Result<Start> {
    // Mesa's variable; other drivers ignore it.
    let cache_controlled = context.adapter.driver_info.contains("Mesa");
    let bar = progress(2 * networks.len(), "first step");
    let mut models = Vec::new();
    for network in networks {
        bar.set_message(format!("first step of {}", network.name));
        let cache = tempfile::tempdir()?;
        let cold = in_child(&network.name, adapter, cache.path())?;
        bar.inc(1);
        let warm = in_child(&network.name, adapter, cache.path())?;
        bar.inc(1);
        models.push(Model { model: network.name.clone(), cold, warm });
    }
    bar.finish_and_clear();
    print(&models);
    if !cache_controlled {
        println!(
            "  The shader cache of this driver was not controlled: \"cold\" is the first run."
        );
    }
    Ok(Start { cache_controlled, models })
}

fn in_child(model: &str, adapter: Option<&str>, cache: &Path) -> Result<FirstStep> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--first-step").arg(model);
    command.arg("--pipeline-cache").arg(cache.join("pipelines"));
    command.args(adapter.map(|name| format!("--adapter={name}")));
    command.env("MESA_SHADER_CACHE_DIR", cache).env_remove("MESA_SHADER_CACHE_DISABLE");
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the first step of {model} failed: {errors}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{model} printed no result"))
}

/// What the child process does.
pub fn child(adapter: Option<&str>, cache: Option<&Path>, network: &Network) -> Result<()> {
    let start = Instant::now();
    let mut context = Context::new(adapter)?;
    if let Some(folder) = cache {
        context = context.with_pipeline_cache(folder)?;
    }
    let context_s = start.elapsed().as_secs_f64();
    let mut trainer = trainer(&context, network, BATCH, BATCH, l2rw(None))?;
    let ready_s = start.elapsed().as_secs_f64();
    time_step(&mut trainer)?;
    let first_step_s = start.elapsed().as_secs_f64();
    context.keep_pipelines()?;
    let peak_resident_bytes = peak_resident_bytes();
    let (modules, pipelines) = context.compiled();
    let first =
        FirstStep { modules, pipelines, context_s, ready_s, first_step_s, peak_resident_bytes };
    println!("{}", serde_json::to_string(&first)?);
    Ok(())
}

/// `VmHWM` of proc(5).
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kibibytes)
}

fn print(models: &[Model]) {
    let row = |(model, cache, first): (&Model, &str, &FirstStep)| {
        let memory = first.peak_resident_bytes;
        vec![
            model.model.clone(),
            cache.to_owned(),
            first.modules.to_string(),
            first.pipelines.to_string(),
            format!("{:.2}", first.context_s),
            format!("{:.2}", first.ready_s),
            format!("{:.2}", first.first_step_s),
            memory.map_or("unknown".into(), |bytes| format!("{:.0}", bytes as f64 * 1e-6)),
        ]
    };
    let mut rows = Vec::new();
    for model in models {
        rows.push(row((model, "cold", &model.cold)));
        rows.push(row((model, "warm", &model.warm)));
    }
    let header = [
        "model",
        "shader cache",
        "modules",
        "pipelines",
        "context s",
        "ready s",
        "first step s",
        "peak RSS MB",
    ];
    print_table(
        "From the start to the end of the first L2RW step (n = m = 100)",
        2,
        &header,
        &rows,
    );
}
