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
use naga::valid::FunctionInfo;
use naga::{BinaryOperator, Expression, Function, Handle, Module, ScalarKind, Type, TypeInner};

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

/// Names that a module gives to what is not inside a function.
fn global_names(module: &Module) -> Vec<&str> {
    let variables = module.global_variables.iter().map(|(_, variable)| variable.name.as_ref());
    let constants = module.constants.iter().map(|(_, constant)| constant.name.as_ref());
    let overrides = module.overrides.iter().map(|(_, constant)| constant.name.as_ref());
    let functions = module.functions.iter().map(|(_, function)| function.name.as_ref());
    let types = module.types.iter().map(|(_, ty)| ty.name.as_ref());
    let names = variables.chain(constants).chain(overrides).chain(functions).chain(types);
    names.flatten().map(String::as_str).collect()
}

#[test]
fn no_kernel_takes_a_name_from_newer_compilers_of_hlsl() {
    // A namespace of shader model 6.9, which DXC declares for every model; naga lets it through.
    let taken = |kernel: &Kernel| global_names(&parsed(kernel).0).contains(&"dx");
    let sources = sources();
    let clashes: BTreeSet<String> =
        sources.iter().filter(|kernel| taken(kernel)).map(Kernel::variant).collect();
    assert!(clashes.is_empty(), "something is called `dx` in {clashes:#?}");
}

/// Whether a function asks if a signed number divides, and indexes an array by the quotient.
fn indexes_by_tested_quotient(function: &Function, info: &FunctionInfo, module: &Module) -> bool {
    let inner = |handle: Handle<Expression>| info[handle].ty.inner_with(&module.types);
    let dividend = |handle: Handle<Expression>, wanted| match function.expressions[handle] {
        Expression::Binary { op, left, .. } if op == wanted => Some(left),
        _ => None,
    };
    let tested = |expression: &Expression| match expression {
        Expression::Binary {
            op: BinaryOperator::Equal | BinaryOperator::NotEqual, left, ..
        } => dividend(*left, BinaryOperator::Modulo),
        _ => None,
    };
    let tested: HashSet<_> = function.expressions.iter().filter_map(|(_, e)| tested(e)).collect();
    function.expressions.iter().any(|(_, expression)| match expression {
        Expression::Access { index, .. } => {
            dividend(*index, BinaryOperator::Divide).is_some_and(|number| {
                let is_signed = inner(number).scalar_kind() == Some(ScalarKind::Sint);
                is_signed && tested.contains(&number)
            })
        }
        _ => false,
    })
}

#[test]
fn no_kernel_tests_a_signed_remainder_and_indexes_by_the_quotient() {
    // FXC, DirectX's older compiler, drops the body of `if t - t / 1 == 0 { … array[t / 1] … }`,
    // and so of naga's `if t % STRIDE == 0` for a stride of 1. Unsigned remainders are operators.
    let indexes = |kernel: &Kernel| {
        let (module, info) = parsed(kernel);
        let in_functions = module.functions.iter().map(|(at, function)| (function, &info[at]));
        let entries = module.entry_points.iter().enumerate();
        let in_entries = entries.map(|(at, entry)| (&entry.function, info.get_entry_point(at)));
        in_functions.chain(in_entries).any(|(f, info)| indexes_by_tested_quotient(f, info, &module))
    };
    let sources = sources();
    let found: BTreeSet<String> =
        sources.iter().filter(|kernel| indexes(kernel)).map(Kernel::variant).collect();
    assert!(found.is_empty(), "divide unsigned numbers instead: {found:#?}");
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
