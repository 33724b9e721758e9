//! Paths and links in comments and documents.

use super::source::{File, exists, expect_none, files_below, folder_of, normal, sources};

/// What a path from the repository's root begins with.
const FOLDERS: [&str; 7] =
    ["src/", "shaders/", "tests/", "examples/", "benches/", "docs/", "scripts/"];

fn documents() -> Vec<File> {
    let files = files_below("", &["md"]);
    assert!(files.len() > 10, "only {} documents were found", files.len());
    files
}

/// Paths in a text that begin in one of the [`FOLDERS`], without those that are patterns.
fn paths(text: &str) -> Vec<&str> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_./-<>{}*$…".contains(c);
    let words = text.split(|c| !in_path(c)).map(|word| word.trim_end_matches(['.', '-', '/']));
    let from_root = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder));
    words.filter(from_root).filter(|word| !word.contains(['<', '{', '*', '$', '…'])).collect()
}

#[test]
fn every_path_in_a_comment_or_document_exists() {
    let mut offenders = Vec::new();
    let mut check = |file: &File, line: usize, text: &str| {
        for path in paths(text).into_iter().filter(|path| !exists(path)) {
            offenders.push(format!("{}:{line}: {path}", file.path));
        }
    };
    for file in sources() {
        for (line, comment) in file.comments() {
            check(&file, line, comment);
        }
    }
    let scripts = files_below("scripts", &["sh", "py"]);
    let programs = files_below("benches", &["py", "txt"]);
    let whole = documents().into_iter().chain(scripts).chain(programs);
    for file in whole.chain([File::read("Makefile")]) {
        for (i, line) in file.text.lines().enumerate() {
            check(&file, i + 1, line);
        }
    }
    expect_none(
        "Nothing is where these say. Name what there is, in full from the root:",
        &offenders,
    );
}

/// Places of a document that a link can point to, as GitHub names them.
fn anchors(document: &str) -> Vec<String> {
    let mut fenced = false;
    let headings = document.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    let name = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(name).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut offenders = Vec::new();
    for file in documents() {
        for (start, _) in file.text.match_indices("](") {
            let target = file.text[start + 2..].split([')', ' ', '\n']).next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => file.path.clone(),
                path => normal(&format!("{}/{path}", folder_of(&file.path))),
            };
            let at = file.at(start);
            if !exists(&path) {
                offenders.push(format!("{at}: {target}: there is no {path}"));
            } else if !anchor.is_empty() && path.ends_with(".md") {
                let known = anchors(&File::read(&path).text);
                if !known.iter().any(|name| name == anchor) {
                    let known = known.join(", ");
                    offenders.push(format!("{at}: {target}: {path} has no such heading: {known}"));
                }
            }
        }
    }
    expect_none("Mend these links, which are relative to the document's folder:", &offenders);
}

#[test]
fn paths_are_found_in_texts_and_patterns_are_not_paths() {
    let text = "See `src/gpu/order.rs`, (tests/kernels/). Not tests/<name>.rs, ../src/x or a/src/y";
    assert_eq!(paths(text), ["src/gpu/order.rs", "tests/kernels"]);
}
