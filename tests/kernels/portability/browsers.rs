//! What browsers ask of the kernels: Tint's rules on uniformity, and pipelines in Dawn, which is
//! the WebGPU of Chrome and Edge.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use l2rw::gpu::{Access, Dispatch, Kernel};
use naga::{Binding, BuiltIn, TypeInner};

use super::super::translation::{
    accesses, dispatches, has_matrices, is_rounding, is_shared, is_wide, parsed,
};
use super::{sources, written};

/// Whether browsers can get a kernel: they have neither 64-bit integers nor cooperative matrices,
/// nor is a subgroup of one size for certain.
fn is_for_browsers(kernel: &Kernel) -> bool {
    !is_wide(kernel) && !has_matrices(kernel) && !is_shared(kernel)
}

/// Whether an input is the same for all invocations of a workgroup.
fn is_uniform(binding: &Binding) -> bool {
    matches!(binding, Binding::BuiltIn(BuiltIn::WorkGroupId | BuiltIn::NumWorkGroups))
}

#[test]
fn inputs_that_a_workgroup_shares_and_others_never_travel_in_one_struct() {
    let mut mixed = Vec::new();
    for kernel in sources() {
        let module = parsed(&kernel).0;
        for argument in module.entry_points.iter().flat_map(|entry| &entry.function.arguments) {
            let TypeInner::Struct { members, .. } = &module.types[argument.ty].inner else {
                continue;
            };
            let bindings = || members.iter().filter_map(|member| member.binding.as_ref());
            if bindings().any(is_uniform) && !bindings().all(is_uniform) {
                mixed.push(format!("{} ({})", kernel.variant(), kernel.origin()));
            }
        }
    }
    assert!(mixed.is_empty(), "browsers refuse barriers behind such a struct: {mixed:#?}");
}

#[test]
fn tint_accepts_every_source_that_a_browser_can_get() {
    if Command::new("tint").arg("--version").output().is_err() {
        // scripts/unchecked.sh says so in the last lines of `make test`.
        eprintln!("tint is not installed: not checked");
        return;
    }
    let kernels: Vec<Kernel> = sources().into_iter().filter(is_for_browsers).collect();
    assert!(kernels.len() > 50, "only {} sources are for browsers", kernels.len());
    let texts: Vec<_> = kernels.iter().map(|k| ("wgsl".to_owned(), k.source())).collect();
    let mut refused = Vec::new();
    for (kernel, file) in kernels.iter().zip(written("wgsl", &texts)) {
        let output = Command::new("tint")
            .args(["--format", "wgsl", "-o"])
            .arg(file.with_extension("out"))
            .arg(&file)
            .output()
            .expect("tint runs");
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            refused.push(format!("{} ({}):\n{words}", kernel.variant(), kernel.origin()));
        }
    }
    assert!(refused.is_empty(), "{} refused:\n{}", refused.len(), refused.join("\n"));
    println!("tint: {} sources, 0 refused", kernels.len());
}

/// A pipeline as `scripts/dawn.mjs` reads it.
fn described(dispatch: &Dispatch, file: &Path) -> serde_json::Value {
    let kernel = &dispatch.kernel;
    let constants = kernel.constants.iter().map(|&(name, value)| (name.to_owned(), value.into()));
    let kind = |access| match access {
        Access::Uniform => "uniform",
        Access::Read => "read-only-storage",
        Access::Write | Access::ReadWrite => "storage",
    };
    serde_json::json!({
        "name": format!("{} ({})", kernel.variant(), kernel.origin()),
        "file": file.file_name().and_then(|name| name.to_str()),
        "entry": kernel.entry,
        "constants": serde_json::Map::from_iter(constants),
        "bindings": accesses(dispatch).into_iter().map(kind).collect::<Vec<_>>(),
        "f16": is_rounding(kernel),
    })
}

#[test]
fn dawn_makes_every_pipeline_that_a_browser_can_get() {
    let Some(modules) = std::env::var_os("L2RW_DAWN") else {
        eprintln!("L2RW_DAWN names no folder of node_modules with webgpu: not checked");
        return;
    };
    let kernels: Vec<Kernel> = sources().into_iter().filter(is_for_browsers).collect();
    let texts: Vec<_> = kernels.iter().map(|k| ("wgsl".to_owned(), k.source())).collect();
    let files = written("dawn", &texts);
    let by_text: HashMap<&str, &PathBuf> =
        texts.iter().map(|(_, text)| text.as_str()).zip(&files).collect();
    let wanted = dispatches().into_iter().filter(|dispatch| is_for_browsers(&dispatch.kernel));
    let pipelines: Vec<_> =
        wanted.map(|d| described(d, by_text[d.kernel.source().as_str()])).collect();
    assert!(pipelines.len() > 500, "only {} pipelines are for browsers", pipelines.len());
    let folder = files[0].parent().expect("a folder");
    let list = serde_json::to_vec(&pipelines).expect("plain values");
    std::fs::write(folder.join("pipelines.json"), list).expect("a list is written");
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dawn.mjs"))
        .arg(modules)
        .arg(folder)
        .output()
        .expect("node runs");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success(), "{}", words.chars().take(5_000).collect::<String>());
    println!("{words}");
}
