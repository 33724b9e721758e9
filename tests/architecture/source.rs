//! Files of the repository as text, and what the rules need to read in them.

use std::fs;
use std::path::Path;

/// A file of the repository.
pub struct File {
    /// From the repository's root on, with `/` on every system.
    pub path: String,
    /// The content.
    pub text: String,
}

impl File {
    /// The file at a path from the root on.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text: text.replace("\r\n", "\n") }
    }

    /// The text without its comments: as long, and with the same lines.
    pub fn code(&self) -> String {
        let lines = self.text.lines().map(|line| {
            let comment = comment_start(line).unwrap_or(line.len());
            format!("{}{}", &line[..comment], " ".repeat(line.len() - comment))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Every comment with the number of its line.
    pub fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.filter_map(|(i, line)| Some((i + 1, &line[comment_start(line)?..])))
    }

    /// `path:line` of a place in the text.
    pub fn at(&self, offset: usize) -> String {
        let line = self.text[..offset].matches('\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}

/// Where a line's comment begins; the `//` of an address begins none.
fn comment_start(line: &str) -> Option<usize> {
    line.match_indices("//").map(|(i, _)| i).find(|&i| !line[..i].ends_with(':'))
}

/// Whether there is a file or folder at a path from the root on.
pub fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

/// All files below a folder (`""` for the root) with one of the extensions, in order. What builds
/// leave behind, and what is hidden, is left out.
pub fn files_below(folder: &str, extensions: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    for (name, is_folder) in entries(folder) {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let extension = name.rsplit('.').next().unwrap_or_default();
        if is_folder && !name.starts_with('.') && name != "target" && name != "out" {
            files.extend(files_below(&path, extensions));
        } else if !is_folder && extensions.contains(&extension) {
            files.push(File::read(&path));
        }
    }
    files
}

/// All Rust and WGSL files.
pub fn sources() -> Vec<File> {
    let files: Vec<File> = ["src", "shaders", "tests", "examples", "benches"]
        .iter()
        .flat_map(|folder| files_below(folder, &["rs", "wgsl"]))
        .collect();
    assert!(files.len() > 200, "only {} files were found", files.len());
    files
}

/// Names in a folder, and whether they are folders, in order.
pub fn entries(folder: &str) -> Vec<(String, bool)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut entries: Vec<(String, bool)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into(), entry.path().is_dir()))
        .collect();
    entries.sort();
    entries
}

/// Whether a character can stand in an identifier.
pub fn in_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifier that a text begins with, which may be empty.
pub fn identifier(text: &str) -> &str {
    &text[..text.find(|c| !in_identifier(c)).unwrap_or(text.len())]
}

/// Offsets of the places at which `word` stands by itself.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    let alone = |&i: &usize| {
        !text[..i].ends_with(in_identifier) && !text[i + word.len()..].starts_with(in_identifier)
    };
    text.match_indices(word).map(|(i, _)| i).filter(alone)
}

/// What a text that begins with an opening bracket has up to the closing one, both left out.
pub fn bracketed(text: &str) -> &str {
    let mut depth = 0_usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth <= 1 => return &text[1..i],
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// The string literals of a text, without escapes.
pub fn strings(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// `a/b/../c` as `a/c`.
pub fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The folder that a path lies in; empty for the root.
pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Fails where there are offenders: says what to do, then lists all of them.
#[track_caller]
pub fn expect_none(what_to_do: &str, offenders: &[String]) {
    let list = offenders.join("\n  ");
    assert!(offenders.is_empty(), "{what_to_do}\n  {list}\n({} in all)", offenders.len());
}
