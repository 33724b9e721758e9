//! What graphics interfaces and their compilers ask of the kernels that naga lets through: here
//! DirectX, the others in a file each.

mod browsers;
mod limits;
mod metal;
mod pipelines;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use l2rw::gpu::Kernel;
use naga::{Expression, Handle, Module, Type, TypeInner};

use super::translation::{has_matrices, is_shared, kernels, parsed, to_hlsl, with_constants};

/// Kernels with different texts.
fn sources() -> Vec<Kernel> {
    let mut seen = HashSet::new();
    kernels().into_iter().filter(|kernel| seen.insert(kernel.source())).collect()
}

/// Writes each text into an empty folder below the build's, and names the files.
fn written(folder: &str, texts: &[(String, String)]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the texts");
    let write = |(number, (name, text)): (usize, &(String, String))| {
        let path = folder.join(format!("{number}.{name}"));
        std::fs::write(&path, text).expect("a text is written");
        path
    };
    texts.iter().enumerate().map(write).collect()
}

/// Types that a zero is made of.
fn zeros(module: &Module) -> Vec<Handle<Type>> {
    let functions = module.functions.iter().map(|(_, function)| function);
    let all = functions.chain(module.entry_points.iter().map(|entry| &entry.function));
    let expressions = all.flat_map(|function| function.expressions.iter());
    let zero = |expression: &Expression| match expression {
        Expression::ZeroValue(ty) => Some(*ty),
        _ => None,
    };
    expressions.filter_map(|(_, expression)| zero(expression)).collect()
}

/// Two names of one type. naga's HLSL has a function for each type that a zero is made of, under a
/// name that both types then share.
fn double_type(module: &Module) -> Option<String> {
    let zeros = zeros(module);
    let mut known: HashMap<&TypeInner, Vec<(Handle<Type>, &Type)>> = HashMap::new();
    for (handle, ty) in module.types.iter() {
        known.entry(&ty.inner).or_default().push((handle, ty));
    }
    let clash = known.into_values().find(|same| {
        let named = same.iter().filter(|(_, ty)| ty.name.is_some()).count();
        let zeroed = same.iter().filter(|(handle, _)| zeros.contains(handle)).count();
        named > 1 || zeroed > 1
    })?;
    let names: Vec<_> = clash.iter().map(|(_, ty)| ty.name.as_deref().unwrap_or("?")).collect();
    Some(format!("{names:?}"))
}

#[test]
fn no_kernel_has_two_names_for_one_type() {
    let clash = |kernel: Kernel| {
        let names = double_type(&parsed(&kernel).0)?;
        Some(format!("{names} in {}", kernel.variant()))
    };
    let clashes: BTreeSet<String> = sources().into_iter().filter_map(clash).collect();
    assert!(clashes.is_empty(), "write `alias B = A;` or the type itself: {clashes:#?}");
}

/// DXC, where `make portability` or the caller has put it.
fn dxc() -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portability/libdxcompiler.so");
    let library = std::env::var_os("L2RW_DXC").map_or(fetched, PathBuf::from);
    library.exists().then_some(library)
}

#[test]
fn dxc_compiles_every_kernel_that_directx_can_get() {
    let Some(library) = dxc() else {
        eprintln!("DXC is not there (make portability): not checked");
        return;
    };
    let mut texts = BTreeSet::new();
    // No adapter of DirectX 12 has cooperative matrices in wgpu, or subgroups of 8 for certain.
    for kernel in kernels().iter().filter(|k| !has_matrices(k) && !is_shared(k)) {
        let (module, info) = parsed(kernel);
        let text = with_constants(kernel, &module, &info)
            .and_then(|(module, info)| to_hlsl(kernel.entry, &module, &info));
        texts.insert(text.unwrap_or_else(|error| panic!("{}: {error}", kernel.variant())));
    }
    let texts: Vec<_> = texts.into_iter().map(|text| ("hlsl".to_owned(), text)).collect();
    let files = written("hlsl", &texts);
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dxc.py"))
        .arg(library)
        .arg(files[0].parent().expect("a folder"))
        .output()
        .expect("python3 runs");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success(), "{}", words.chars().take(5_000).collect::<String>());
    println!("{words}");
}
