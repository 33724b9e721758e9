//! Which module of the crate may use which.

use super::source::{
    File, bracketed, entries, expect_none, files_below, folder_of, identifier, normal, strings,
    words,
};

/// The modules at the top of `src/`, each with those that it may use. ARCHITECTURE.md, section 3,
/// draws the same.
const MAY_USE: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("gpu", &["files"]),
    ("ops", &["gpu"]),
    ("reference", &["ops"]),
    ("nn", &["ops"]),
    ("plan", &["gpu", "ops", "reference", "nn"]),
    ("weighting", &["gpu", "ops", "reference", "nn", "plan"]),
    ("train", &["gpu", "ops", "reference", "nn", "plan", "weighting", "data", "files"]),
    ("layer_weights", &["gpu", "ops"]),
    ("data", &["reference", "files"]),
    ("report", &["files"]),
];

/// Programs are no modules: they use the library's public interface.
const PROGRAMS: &str = "src/bin/";

/// Folders of unit tests that look further than the module they belong to.
const TESTS_MAY_USE: &[(&str, &[&str])] = &[("src/weighting/tests/", &["train"])];

/// Macros that are exported at the crate's root, with the modules that they belong to.
const MACROS: &[(&str, &str)] = &[("weight_shader", "weighting")];

fn module_of(path: &str) -> &str {
    let name = path.trim_start_matches("src/").split('/').next().unwrap_or_default();
    name.trim_end_matches(".rs")
}

fn may_use(module: &str) -> &'static [&'static str] {
    MAY_USE.iter().find(|(name, _)| *name == module).map_or(&[], |(_, allowed)| allowed)
}

/// Depth of the module at a place of a file below the crate's root. A module in braces begins and
/// ends at the margin.
fn depth(path: &str, code: &str) -> usize {
    let file = path.trim_end_matches("/mod.rs").split('/').count() - 1;
    let is_module = |line: &&str| line.starts_with("mod ") || line.starts_with("pub mod ");
    let open = code.lines().filter(is_module).filter(|line| line.ends_with('{')).count();
    let closed = code.lines().scan(false, |inside, line| {
        let ends = *inside && line == "}";
        *inside = (*inside && !ends) || (is_module(&line) && line.ends_with('{'));
        Some(ends)
    });
    file + open - closed.filter(|&ends| ends).count()
}

/// What stands behind `crate::`, or behind `super::` where that is the crate: places and names.
fn imports(file: &File) -> Vec<(usize, String)> {
    let code = file.code();
    let mut found = Vec::new();
    for start in words(&code, "crate") {
        let Some(rest) = code[start..].strip_prefix("crate::") else { continue };
        found.extend(heads(rest).into_iter().map(|name| (start, name.to_owned())));
    }
    for start in words(&code, "super").filter(|&start| !code[..start].ends_with("::")) {
        let rest = code[start..].trim_start_matches("super::");
        let steps = (code[start..].len() - rest.len()) / "super::".len();
        if steps >= depth(&file.path, &code[..start]) {
            found.extend(heads(rest).into_iter().map(|name| (start, name.to_owned())));
        }
    }
    found
}

/// First names of a path, of which a group in braces has several.
fn heads(path: &str) -> Vec<&str> {
    if !path.starts_with('{') {
        return vec![identifier(path)];
    }
    let mut depth = 0_i32;
    let branches = bracketed(path).split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    branches.map(|branch| identifier(branch.trim_start())).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_what_is_in_the_table() {
    let mut offenders = Vec::new();
    let library = |file: &&File| file.path != "src/lib.rs" && !file.path.starts_with(PROGRAMS);
    for file in files_below("src", &["rs"]).iter().filter(library) {
        let module = module_of(&file.path);
        let further = TESTS_MAY_USE.iter().filter(|(folder, _)| file.path.starts_with(folder));
        let allowed: Vec<&str> =
            further.fold(may_use(module).to_vec(), |all, (_, more)| [all, more.to_vec()].concat());
        for (start, name) in imports(file) {
            let at = file.at(start);
            let owner = MACROS.iter().find(|(name_of, _)| *name_of == name);
            let owner = owner.map_or(name.as_str(), |(_, module)| module);
            if MAY_USE.iter().all(|(module, _)| *module != owner) {
                offenders.push(format!("{at}: `{name}` is no module of the table"));
            } else if owner != module && !allowed.contains(&owner) {
                let allowed = allowed.join(", ");
                offenders.push(format!("{at}: `{module}` uses `{name}`; it may use [{allowed}]"));
            }
        }
    }
    expect_none(
        "Take the name from a module that may be used, or move what is needed down to one (a name \
         that is re-exported has an owner further down). Where the order itself is to change, \
         change MAY_USE in tests/architecture/imports.rs and ARCHITECTURE.md:",
        &offenders,
    );
}

/// What is left of the table without the modules that no circle goes through.
fn circle() -> Vec<String> {
    let mut left = MAY_USE.to_vec();
    loop {
        let is_left = |name: &str| left.iter().any(|(module, _)| *module == name);
        let is_used = |name: &str| left.iter().any(|(_, uses)| uses.contains(&name));
        let uses_one = |uses: &[&str]| uses.iter().any(|name| is_left(name));
        let within = left.iter().filter(|(module, uses)| is_used(module) && uses_one(uses));
        let within: Vec<_> = within.copied().collect();
        if within.len() == left.len() {
            return left.iter().map(|(module, uses)| format!("{module} -> {uses:?}")).collect();
        }
        left = within;
    }
}

#[test]
fn the_table_of_imports_has_every_module_and_no_circle() {
    let mut present: Vec<String> = entries("src").into_iter().map(|(name, _)| name).collect();
    present.retain(|name| name != "lib.rs" && !PROGRAMS.ends_with(&format!("{name}/")));
    let present: Vec<&str> = present.iter().map(|name| name.trim_end_matches(".rs")).collect();
    let mut offenders = Vec::new();
    for name in &present {
        if MAY_USE.iter().all(|(module, _)| module != name) {
            offenders.push(format!("src/{name}: not in the table"));
        }
    }
    for (module, _) in MAY_USE.iter().filter(|(module, _)| !present.contains(module)) {
        offenders.push(format!("{module}: in the table, but there is no such module"));
    }
    offenders.extend(circle().into_iter().map(|edge| format!("part of a circle: {edge}")));
    expect_none("Mend MAY_USE in tests/architecture/imports.rs:", &offenders);
}

#[test]
fn the_library_takes_nothing_from_its_tests_and_does_not_import_itself() {
    let mut offenders = Vec::new();
    for file in files_below("src", &["rs"]) {
        let code = file.code();
        for include in ["#[path", "include!(", "include_str!(", "include_bytes!("] {
            for (start, _) in code.match_indices(include) {
                let open = start + include.find(['(', '[']).unwrap_or_default();
                let target: String = strings(bracketed(&code[open..])).collect();
                let path = match target.strip_prefix("CARGO_MANIFEST_DIR/") {
                    Some(from_root) => normal(from_root),
                    None => normal(&format!("{}/{target}", folder_of(&file.path))),
                };
                if path.starts_with("tests/") {
                    offenders.push(format!("{}: `{include}` of {path}", file.at(start)));
                }
            }
        }
        for (start, _) in code.match_indices("extern crate self") {
            offenders.push(format!("{}: `extern crate self`", file.at(start)));
        }
    }
    expect_none(
        "The library must build without tests/, and macros reach it by `$crate`. Move what both \
         need into src/, and write `crate::`:",
        &offenders,
    );
}

#[test]
fn imports_are_found_in_groups_and_behind_super() {
    let text = "use crate::{gpu::{A, B}, ops};\n// crate::nn\nuse super::plan::C;\n\
                mod tests {\n    use super::D;\n    use super::super::train::E;\n}\n\
                use super::data::F;\n";
    let file = File { path: "src/report/mod.rs".to_owned(), text: text.to_owned() };
    let found: Vec<(String, String)> =
        imports(&file).into_iter().map(|(start, name)| (file.at(start), name)).collect();
    let lines = [(1, "gpu"), (1, "ops"), (3, "plan"), (6, "train"), (8, "data")];
    let expected = lines.map(|(line, name)| (format!("src/report/mod.rs:{line}"), name.to_owned()));
    assert_eq!(found, expected);
}
