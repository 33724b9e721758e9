//! The four places of an op.

use super::source::{File, exists, expect_none};

#[test]
fn every_op_has_a_shader_a_twin_and_a_file_of_tests_by_its_name() {
    let (ops, kernels) = (File::read("src/ops/mod.rs"), File::read("tests/kernels.rs"));
    let modules = |code: &str, mark: &str| -> Vec<String> {
        let lines = code.lines().filter_map(|line| line.trim().strip_prefix(mark));
        lines.filter_map(|line| Some(line.strip_suffix(';')?.to_owned())).collect()
    };
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
