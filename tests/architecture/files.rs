//! First lines, width and length of files.

use super::source::{expect_none, sources};

const COLUMNS: usize = 100;
const LINES: usize = 600;

#[test]
fn every_file_begins_with_a_comment_that_says_what_it_is() {
    let lacks = |path: &str, text: &str| {
        let mark = if path.ends_with(".rs") { "//! " } else { "// " };
        !text.strip_prefix(mark).is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()))
    };
    let offenders: Vec<String> = sources()
        .into_iter()
        .filter(|file| lacks(&file.path, &file.text))
        .map(|file| format!("{}:1: {}", file.path, file.text.lines().next().unwrap_or_default()))
        .collect();
    expect_none(
        "Say in the first line what the file is for, behind `//! ` in Rust and `// ` in WGSL:",
        &offenders,
    );
}

#[test]
fn no_line_is_wider_than_100_columns() {
    let mut offenders = Vec::new();
    for file in sources() {
        for (i, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS {
                let (path, line, start) = (&file.path, i + 1, line.trim_start());
                let start: String = start.chars().take(50).collect();
                offenders.push(format!("{path}:{line}: {columns} columns: {start}…"));
            }
        }
    }
    expect_none(
        "Break these lines before column 101 (strings with `\\` at the end of a line; cargo fmt \
         does code, but not comments):",
        &offenders,
    );
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let offenders: Vec<String> = sources()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, path)| format!("{path}:{LINES}: goes on to line {lines}"))
        .collect();
    expect_none(
        "A file as long as these holds two things. Give each a file of its own:",
        &offenders,
    );
}
