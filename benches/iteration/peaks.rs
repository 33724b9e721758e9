//! What the adapter can do at most: multiply-adds on registers alone, and a copy.

use anyhow::Result;
use l2rw::gpu::{
    Access, Context, DeviceTensors, ElementType, Executable, Kernel, Part, Recorder, Shader,
    fold_workgroups,
};
use serde::Serialize;

use crate::support::{dispatch_seconds, executable, print_table, progress};

static FMA: Shader =
    Shader::new("fma", &[Part::new("benches/iteration/fma.wgsl", include_str!("fma.wgsl"))]);
static COPY: Shader =
    Shader::new("copy", &[Part::new("benches/iteration/copy.wgsl", include_str!("copy.wgsl"))]);

/// Independent sums of an invocation.
const SUMS: [&str; 3] = ["sums_2", "sums_4", "sums_8"];
const WORKGROUPS: [usize; 3] = [32, 64, 256];
/// Floating point operations of an invocation's round: 16 multiply-adds on four lanes.
const FLOPS_PER_ROUND: u64 = 16 * 4 * 2;
/// A dispatch this long is timed to a percent, and no driver's watchdog minds it.
const LONG_ENOUGH_S: f64 = 0.02;

/// The best variant of each.
#[derive(Serialize)]
pub struct Peaks {
    pub gflop_per_s: f64,
    pub fma_variant: String,
    pub gb_per_s: f64,
    pub copy_variant: String,
}

impl Peaks {
    /// The least seconds in which the adapter can do this much (the roofline).
    pub fn least_seconds(&self, flops: u64, bytes: u64) -> f64 {
        let computing = flops as f64 * 1e-9 / self.gflop_per_s;
        computing.max(bytes as f64 * 1e-9 / self.gb_per_s)
    }
}

pub fn measure(context: &Context, rounds: usize) -> Result<Peaks> {
    let bar = progress(2, "peaks of the adapter");
    let (gflop_per_s, fma_variant) = fma(context, rounds)?;
    bar.inc(1);
    let (gb_per_s, copy_variant) = copy(context, rounds)?;
    bar.finish_and_clear();
    let row = |what: &str, value: f64, unit: &str, variant: &str| {
        vec![what.to_owned(), variant.to_owned(), format!("{value:.1} {unit}")]
    };
    let rows = [
        row("multiply-adds", gflop_per_s, "GFLOP/s", &fma_variant),
        row("copy", gb_per_s, "GB/s", &copy_variant),
    ];
    print_table("Measured peaks of the adapter", 2, &["", "variant", ""], &rows);
    Ok(Peaks { gflop_per_s, fma_variant, gb_per_s, copy_variant })
}

/// Seconds of each dispatch at its best: a peak is what nothing disturbed.
fn fastest_runs(context: &Context, executable: &Executable, rounds: usize) -> Result<Vec<f64>> {
    let spreads = dispatch_seconds(context, executable, rounds)?;
    Ok(spreads.into_iter().map(|spread| spread.min).collect())
}

/// Fastest variant, in operations or bytes a second.
fn best(rates: impl Iterator<Item = (f64, String)>) -> (f64, String) {
    let faster = |a: (f64, String), b: (f64, String)| if b.0 > a.0 { b } else { a };
    rates.fold((0.0, String::new()), faster)
}

fn fma(context: &Context, measured: usize) -> Result<(f64, String)> {
    let invocations: usize = if context.is_software() { 1 << 12 } else { 1 << 19 };
    let mut rec = Recorder::new();
    let rounds = rec.external("rounds", ElementType::U32, 1);
    let results = rec.external("results", ElementType::F32, 4 * invocations);
    let mut names = Vec::new();
    for entry in SUMS {
        for workgroup in WORKGROUPS {
            for fused in [true, false] {
                let kernel =
                    Kernel::new(&FMA, entry).size("WORKGROUP", workgroup).constant("FUSED", fused);
                let bindings = vec![rec.read(rounds), rec.whole(results, Access::ReadWrite)];
                rec.dispatch(kernel, bindings, fold_workgroups(invocations / workgroup), 0);
                let form = if fused { "fused" } else { "product and sum" };
                names.push(format!("{entry}, {form}, workgroups of {workgroup}"));
            }
        }
    }
    let mut tensors = DeviceTensors::new();
    let storage = wgpu::BufferUsages::STORAGE;
    let zeros = vec![0; 16 * invocations];
    tensors.insert("results", pollster::block_on(context.upload("results", &zeros, storage))?);
    let control = pollster::block_on(context.upload("rounds", &[0; 4], storage))?;
    tensors.insert("rounds", control.clone());
    // SAFETY: the kernels of this bench keep to their bindings and end after `rounds`.
    let executable = unsafe { Executable::trusted(context, rec.finish()?, &tensors) }?;

    let run = |rounds: u32, measured| -> Result<Vec<f64>> {
        context.queue.write_buffer(&control, 0, bytemuck::bytes_of(&rounds));
        fastest_runs(context, &executable, measured)
    };
    let fastest = |seconds: &[f64]| seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let mut rounds = 16;
    while fastest(&run(rounds, 1)?) < LONG_ENOUGH_S && rounds < 1 << 24 {
        rounds *= 2;
    }
    let seconds = run(rounds, measured)?;
    let gflop = (invocations as u64 * u64::from(rounds) * FLOPS_PER_ROUND) as f64 * 1e-9;
    Ok(best(seconds.into_iter().map(|s| gflop / s).zip(names)))
}

fn copy(context: &Context, measured: usize) -> Result<(f64, String)> {
    // Several times any cache.
    let wanted: u64 = if context.is_software() { 1 << 27 } else { 1 << 29 };
    let limits = context.device.limits();
    let bytes = wanted.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
    let len = (bytes / 4 / 64 * 64) as usize;
    let mut rec = Recorder::new();
    let source = rec.external("source", ElementType::F32, len);
    let target = rec.external("target", ElementType::F32, len);
    let mut names = Vec::new();
    for workgroup in [64, 256] {
        for each in [1, 4] {
            let kernel = Kernel::new(&COPY, "copy")
                .size("WORKGROUP", workgroup)
                .size("PER_INVOCATION", each);
            let bindings = vec![rec.read(source), rec.write(target)];
            let groups = (len / 4).div_ceil(workgroup * each);
            rec.dispatch(kernel, bindings, fold_workgroups(groups), 0);
            names.push(format!("{each} vec4 an invocation, workgroups of {workgroup}"));
        }
    }
    let executable = executable(context, rec.finish()?)?;
    let seconds = fastest_runs(context, &executable, measured)?;
    let gigabytes = 2.0 * 4.0 * len as f64 * 1e-9;
    Ok(best(seconds.into_iter().map(|s| gigabytes / s).zip(names)))
}
