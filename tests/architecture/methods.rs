//! The list of weighting methods in the documents.

use super::source::{File, expect_none, files_below, strings};

/// Names in the literals of `Variant`, with their places.
fn names_in_code() -> Vec<(String, String)> {
    let mut names = Vec::new();
    for file in files_below("src/weighting/methods", &["rs"]) {
        let code = file.code();
        for (start, _) in code.match_indices("Variant {") {
            let Some(field) = code[start..].find("name:") else { continue };
            let name = strings(&code[start + field..]).next().unwrap_or_default();
            names.push((name.to_owned(), file.at(start + field)));
        }
    }
    names
}

/// Names in backquotes in the first column of the first table, with their places.
fn names_in_table(document: &File) -> Vec<(String, String)> {
    let lines = document.text.lines().enumerate();
    let table = lines
        .skip_while(|(_, line)| !line.starts_with('|'))
        .take_while(|(_, line)| line.starts_with('|'))
        .skip(2);
    let mut names = Vec::new();
    for (i, line) in table {
        let cell = line.split('|').nth(1).unwrap_or_default();
        let place = format!("{}:{}", document.path, i + 1);
        let cell = cell.split('`').skip(1).step_by(2);
        names.extend(cell.map(|name| (name.to_owned(), place.clone())));
    }
    names
}

#[test]
fn the_table_of_methods_names_every_method_once_and_no_other() {
    let (code, table) = (names_in_code(), names_in_table(&File::read("docs/methods.md")));
    assert!(code.len() > 20, "only {} names were found in src/weighting/methods", code.len());
    let mut offenders = Vec::new();
    for (name, place) in &code {
        match table.iter().filter(|(other, _)| other == name).count() {
            0 => offenders.push(format!("{place}: `{name}` is not in docs/methods.md")),
            1 => {}
            rows => offenders.push(format!("{place}: `{name}` is {rows} times in docs/methods.md")),
        }
    }
    for (name, place) in table.iter().filter(|(name, _)| code.iter().all(|(has, _)| has != name)) {
        offenders.push(format!("{place}: `{name}` is no `Variant` in src/weighting/methods"));
    }
    expect_none(
        "The first column of the first table of docs/methods.md holds the names of all methods; \
         mend the table, or the name in the code:",
        &offenders,
    );
}
