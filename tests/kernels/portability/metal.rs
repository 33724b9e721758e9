//! MSL, Metal's language, held to what can be said without a Mac: how each entry point takes its
//! buffers, names that Metal's headers have taken, and what clang says to the text as C++.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use l2rw::gpu::{Access, Dispatch, Kernel};

use super::super::translation::{accesses, dispatches, is_shared, parsed, to_msl, with_constants};
use super::written;

/// Whether adapters of Metal get a kernel: their matrices have sides of 8, and their subgroups are
/// no eight invocations.
fn is_for_metal(kernel: &Kernel) -> bool {
    let part = |path| kernel.shader.parts.iter().any(|part| part.path.ends_with(path));
    !part("staged/matrix/16.wgsl") && !is_shared(kernel)
}

/// The texts of all pipelines, without naga's runtime checks and with them.
fn texts() -> Vec<(&'static Dispatch, String)> {
    let mut modules = HashMap::new();
    let mut texts = Vec::new();
    for dispatch in dispatches().into_iter().filter(|d| is_for_metal(&d.kernel)) {
        let kernel = &dispatch.kernel;
        let (module, info) = modules.entry(kernel.source()).or_insert_with(|| parsed(kernel));
        let text = |checked| {
            let (module, info) = with_constants(kernel, module, info)?;
            to_msl(dispatch, &module, &info, checked)
        };
        for checked in [false, true] {
            let text = text(checked).unwrap_or_else(|error| panic!("{kernel}: {error}"));
            texts.push((dispatch, text));
        }
    }
    texts
}

/// Arguments of the entry point, a line each in naga's text.
fn arguments(text: &str) -> Vec<&str> {
    let head = text.split_once("kernel void ").expect("an entry point").1;
    let list = head.split_once("(\n").expect("arguments").1.split_once("\n) {").expect("a body").0;
    list.lines().map(|line| line.trim_start_matches([' ', ','])).collect()
}

/// What is wrong with an argument, given how each buffer is used: the last one holds their sizes.
fn fault(argument: &str, accesses: &[Access], taken: &mut BTreeSet<usize>) -> Option<String> {
    let Some((_, rest)) = argument.split_once("[[buffer(") else {
        // Built-in inputs come as values, workgroup memory from the encoder.
        let builtin = argument.ends_with("]]") && !argument.contains(['&', '*']);
        let memory = argument.starts_with("threadgroup ") && argument.contains('&');
        return (!builtin && !memory).then(|| "neither an input nor workgroup memory".into());
    };
    let slot = rest.split_once(")]]").and_then(|(slot, _)| slot.parse::<usize>().ok());
    let Some(slot) = slot.filter(|&slot| slot < 31 && taken.insert(slot)) else {
        return Some("a buffer number beyond 30, or taken".into());
    };
    let (space, constant) = match accesses.get(slot) {
        Some(Access::Read) => ("device ", true),
        // What is only read here may be written by another kernel with the same layout.
        Some(Access::Write | Access::ReadWrite) => ("device ", false),
        Some(Access::Uniform) => ("constant ", false),
        None if slot == accesses.len() => ("constant _mslBufferSizes&", false),
        None => return Some(format!("only {} buffers are bound", accesses.len())),
    };
    let fits = argument.starts_with(space) && (!constant || argument.contains(" const&"));
    (!fits).then(|| format!("bound as {:?}", accesses.get(slot)))
}

#[test]
fn metal_gets_every_buffer_where_and_as_it_is_bound() {
    let (mut wrong, mut entries) = (BTreeMap::new(), 0);
    for (dispatch, text) in texts() {
        entries += 1;
        let (accesses, mut taken) = (accesses(dispatch), BTreeSet::new());
        for argument in arguments(&text) {
            if let Some(fault) = fault(argument, &accesses, &mut taken) {
                wrong.insert(format!("{}: {argument}", dispatch.kernel.variant()), fault);
            }
        }
    }
    assert!(entries > 1000, "only {entries} entry points");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The name by which an entry point knows which invocation zeroes workgroup memory.
fn zeroing(text: &str) -> Option<&str> {
    let body = text.split_once("kernel void ")?.1.split_once("\n) {\n")?.1;
    body.strip_prefix("    if (")?.split_once(" == 0u) {\n")?.0.into()
}

#[test]
fn metal_knows_which_invocation_zeroes_workgroup_memory() {
    let (mut unknown, mut zeroed) = (BTreeSet::new(), 0);
    for (dispatch, text) in texts() {
        let Some(name) = zeroing(&text) else { continue };
        zeroed += 1;
        let argument = format!("uint {name} [[thread_index_in_threadgroup]]");
        if !arguments(&text).contains(&argument.as_str()) {
            unknown.insert(format!("{}: {name}", dispatch.kernel.variant()));
        }
    }
    assert!(zeroed > 50, "only {zeroed} kernels zero workgroup memory");
    assert!(
        unknown.is_empty(),
        "naga takes the name of the struct's member, but renames the argument if anything else has \
         that name: give the member another one: {unknown:#?}"
    );
}

/// Words of the Metal Shading Language Specification (keywords, attributes that are words, macros
/// of its headers) and of C's headers behind it that naga's list of reserved words lacks. clang
/// finds those of C++.
const TAKEN: [&str; 34] = [
    "ulong",
    "mesh",
    "object",
    "visible",
    "stitchable",
    "intersection",
    "coherent",
    "invariant",
    "early_fragment_tests",
    "assume",
    "likely",
    "unlikely",
    "offsetof",
    "NULL",
    "EOF",
    "I",
    "FP_NAN",
    "FP_INFINITE",
    "FP_ZERO",
    "FP_SUBNORMAL",
    "FP_NORMAL",
    "NDEBUG",
    "SIZE_MAX",
    "PTRDIFF_MAX",
    "INT8_MAX",
    "INT16_MAX",
    "INT32_MAX",
    "INT64_MAX",
    "UINT8_MAX",
    "UINT16_MAX",
    "UINT32_MAX",
    "UINT64_MAX",
    "INT32_MIN",
    "INT64_MIN",
];

/// What names of Apple's headers and of its compiler begin with.
const TAKEN_BEGINNINGS: [&str; 11] = [
    "__",
    "simd_",
    "simdgroup_",
    "vector_float",
    "vector_half",
    "vector_int",
    "vector_uint",
    "matrix_float",
    "matrix_half",
    "metal_",
    "METAL_",
];

/// Names in a text that naga or a kernel has made up: what is not Metal's by its own name.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        // Attributes are no names.
        line.split("[[").next().unwrap_or_default()
    });
    let words = lines.flat_map(move |line| line.split(move |c| !in_name(c)));
    words.filter(|word| !word.contains(':') && word.starts_with(|c: char| !c.is_ascii_digit()))
}

#[test]
fn no_name_of_a_kernel_is_one_that_metal_has_taken() {
    let own = ["__local_invocation_index", "simdgroup_load", "simdgroup_store"];
    let own = |name: &str| own.contains(&name) || name == "simdgroup_multiply_accumulate";
    let mut taken = BTreeSet::new();
    for (dispatch, text) in texts() {
        let begins = |name: &str| TAKEN_BEGINNINGS.iter().any(|start| name.starts_with(start));
        let is_taken = |name: &&str| (TAKEN.contains(name) || begins(name)) && !own(name);
        for name in names(&text).filter(is_taken) {
            taken.insert(format!("{name} in {}", dispatch.kernel.variant()));
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

/// Texts in one file for clang, each in a namespace of its own and under a name of its own.
fn joined(texts: &[(String, String)]) -> String {
    let mut all = String::new();
    for (number, (name, text)) in texts.iter().enumerate() {
        let vectors: Vec<&str> = text.lines().filter_map(name_of_vector).collect();
        for vector in &vectors {
            all += &format!("#define {vector}(...) made<{vector}>(__VA_ARGS__)\n");
        }
        all += &format!("namespace text_{number} {{\n#line 1 \"{name}\"\n");
        for line in text.lines() {
            all += &as_cpp(line);
            all += "\n";
        }
        all += "}\n";
        for vector in vectors {
            all += &format!("#undef {vector}\n");
        }
    }
    all
}

/// `Taps` of `typedef metal::uint4 Taps;`, with which vectors are made.
fn name_of_vector(line: &str) -> Option<&str> {
    let (ty, name) = line.strip_prefix("typedef metal::")?.strip_suffix(';')?.split_once(' ')?;
    let is_vector = ty.ends_with(['2', '3', '4']) && !ty.contains('x');
    (is_vector && !name.contains('[')).then_some(name)
}

/// What of MSL's grammar C++ and `metal.h` together lack.
fn as_cpp(line: &str) -> String {
    match line.trim_start().strip_suffix(" = {};") {
        _ if line.starts_with("#include") => String::new(),
        Some(name) if !name.contains(' ') => format!("zero({name});"),
        _ => line.to_owned(),
    }
}

#[test]
fn clang_accepts_every_kernel_for_metal_as_cpp() {
    if Command::new("clang").arg("--version").output().is_err() {
        // scripts/unchecked.sh says so in the last lines of `make test`.
        eprintln!("clang is not installed: not checked");
        return;
    }
    let mut seen = BTreeSet::new();
    let texts: Vec<(String, String)> = texts()
        .into_iter()
        .filter(|(_, text)| seen.insert(text.clone()))
        .map(|(dispatch, text)| (dispatch.kernel.variant(), text))
        .collect();
    let files: Vec<_> = texts.chunks(50).map(|some| ("cpp".to_owned(), joined(some))).collect();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/portability/metal.h");
    let mut refused = String::new();
    for file in written("msl", &files) {
        let output = Command::new("clang")
            .args(["--target=arm64-apple-macos", "-x", "c++", "-std=c++14", "-fsyntax-only"])
            // Metal has no doubles.
            .args(["-Xclang", "-cl-single-precision-constant", "-Wno-everything", "-include"])
            .arg(&header)
            .arg(file)
            .output()
            .expect("clang runs");
        if !output.status.success() {
            refused += &String::from_utf8_lossy(&output.stderr);
        }
    }
    assert!(refused.is_empty(), "{}", refused.chars().take(5_000).collect::<String>());
    println!("clang: {} texts of MSL, 0 refused", texts.len());
}
