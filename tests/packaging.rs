//! What is published: the package holds what its README links to, and no dependency asks for a
//! newer compiler than the crate says.

use std::process::Command;

/// What a cargo command prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// Targets of a markdown text's links that are no address and no place in the text itself.
fn relative_links(markdown: &str) -> Vec<&str> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

/// `1.89` or `1.89.0` as numbers that compare.
fn version(text: &str) -> Vec<u32> {
    text.split('.').take(2).map(|number| number.parse().expect("a version")).collect()
}

#[test]
fn the_package_holds_the_licences_and_all_that_the_readme_links_to() {
    let list = cargo(&["package", "--list", "--allow-dirty", "--offline"]);
    let files: Vec<&str> = list.lines().collect();
    let readme = include_str!("../README.md");
    let links = relative_links(readme);
    assert!(links.len() > 5, "few links were found: {links:?}");
    let holds = |wanted: &&str| {
        let folder = format!("{}/", wanted.trim_end_matches('/'));
        files.iter().any(|file| file == wanted || file.starts_with(&folder))
    };
    let wanted = links.into_iter().chain(["LICENSE-MIT", "LICENSE-APACHE", "NOTICE"]);
    let missing: Vec<&str> = wanted.filter(|file| !holds(file)).collect();
    assert!(missing.is_empty(), "not in the package: {missing:?}");
}

#[test]
fn no_dependency_of_the_library_asks_for_a_newer_compiler() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--all-features"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let asked = |package: &serde_json::Value| package["rust_version"].as_str().map(version);
    let ours = packages.iter().find(|package| package["name"] == "l2rw").expect("this crate");
    let ours = asked(ours).expect("rust-version in Cargo.toml");
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| asked(package).is_some_and(|version| version > ours))
        .map(|package| format!("{} asks for {}", package["name"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "newer than {ours:?}: {newer:#?}");
}
