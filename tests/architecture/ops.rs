//! The four places of an op, and the table of ops.

use std::collections::BTreeSet;

use super::source::{File, exists, expect_none, files_below};

/// Modules in files of their own that a text declares behind `mark`.
fn modules(code: &str, mark: &str) -> Vec<String> {
    let lines = code.lines().filter_map(|line| line.trim().strip_prefix(mark));
    lines.filter_map(|line| Some(line.strip_suffix(';')?.to_owned())).collect()
}

#[test]
fn every_op_has_a_shader_a_twin_and_a_file_of_tests_by_its_name() {
    let (ops, kernels) = (File::read("src/ops/mod.rs"), File::read("tests/kernels.rs"));
    let tested = modules(&kernels.code(), "mod ");
    let names = modules(&ops.code(), "pub mod ");
    assert!(names.len() > 10, "only {} ops were found in src/ops/mod.rs", names.len());
    let mut offenders = Vec::new();
    for op in names {
        let line = format!("pub mod {op};");
        let at = ops.at(ops.text.find(&line).unwrap_or_default());
        let mut expect = |holds: bool, lacking: String| {
            if !holds {
                offenders.push(format!("{at}: `{op}` has no {lacking}"));
            }
        };
        let (file, folder) = (format!("shaders/{op}.wgsl"), format!("shaders/{op}"));
        expect(exists(&file) || exists(&folder), format!("{file} or {folder}/"));
        for file in [format!("src/reference/{op}.rs"), format!("tests/kernels/{op}.rs")] {
            expect(exists(&file), file);
        }
        expect(tested.contains(&op), format!("line `mod {op};` in tests/kernels.rs"));
    }
    expect_none(
        "An op is four files of one name (CONTRIBUTING.md, section An op). Add what is missing, or \
         make the module private if it is a part of other ops:",
        &offenders,
    );
}

#[test]
fn the_table_of_ops_names_every_op_and_every_kernel() {
    let file = File::read("src/ops/mod.rs");
    let head = file.text.lines().map_while(|line| line.strip_prefix("//!"));
    let rows = head.enumerate().filter(|(_, line)| line.contains(" | ")).skip(1);
    let mut offenders = Vec::new();
    let (mut ops, mut kernels) = (Vec::new(), BTreeSet::new());
    for (i, row) in rows {
        let at = format!("{}:{}", file.path, i + 1);
        let [op, shaders, twin, test] = row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            offenders.push(format!("{at}: a row has four columns"));
            continue;
        };
        ops.push(op);
        let mut named =
            vec![format!("src/reference/{twin}.rs"), format!("tests/kernels/{test}.rs")];
        for path in shaders.split(", ").map(|shader| format!("shaders/{shader}")) {
            named.push(if exists(&path) { path.clone() } else { format!("{path}.wgsl") });
            kernels.insert(path);
        }
        let missing = named.iter().filter(|path| !exists(path));
        offenders.extend(missing.map(|path| format!("{at}: there is no {path}")));
    }
    let public = modules(&file.code(), "pub mod ");
    if ops != public {
        offenders.push(format!("{}: rows {ops:?}, public modules {public:?}", file.path));
    }
    for shader in files_below("shaders", &["wgsl"]) {
        let has_row = kernels.iter().any(|kernel| {
            let rest = shader.path.strip_prefix(&**kernel);
            rest.is_some_and(|rest| rest == ".wgsl" || rest.starts_with('/'))
        });
        let is_of_op = !shader.path.starts_with("shaders/weighting/");
        if is_of_op && !has_row && shader.code().contains("@compute") {
            offenders.push(format!("{}:1: a kernel in no row of {}", shader.path, file.path));
        }
    }
    expect_none(
        "The table at the head of src/ops/mod.rs has a row for each public module, in their order, \
         and names every kernel but those of weighting methods:",
        &offenders,
    );
}
