//! What somebody has decided about doubtful labels: the page's export, read back.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::cells::as_text;

/// Names of the columns, as the page writes them.
pub const COLUMNS: [&str; 3] = ["example", "decision", "label"];

/// A line of the file.
#[derive(Deserialize)]
struct Row {
    example: String,
    decision: String,
    label: Option<String>,
}

/// What was decided about an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// The label is right.
    Right,
    /// It is this class instead.
    Wrong(u32),
    /// It is none of the classes.
    LeaveOut,
}

/// Names of examples that nobody knows, of which an error tells the first few.
const TOLD: usize = 10;

/// Reads `example,decision,label` for examples of these names: the decision about each.
pub fn read(
    path: &Path,
    names: &[String],
    class_names: &[String],
) -> Result<Vec<Option<Decision>>> {
    let place = || format!("{}", path.display());
    let mut reader = csv::Reader::from_path(path).with_context(place)?;
    let cells = names.iter().enumerate().map(|(index, name)| (as_text(name).into_owned(), index));
    let known: HashMap<String, usize> = cells.collect();
    let mut decisions = vec![None; names.len()];
    let mut unknown = Vec::new();
    for (line, row) in reader.deserialize().enumerate() {
        let row: Row = row.with_context(place)?;
        let line = line + 2;
        let Some(&index) = known.get(&row.example) else {
            unknown.push(row.example);
            continue;
        };
        let label = row.label.filter(|label| !label.is_empty());
        let decision = match (row.decision.as_str(), label) {
            ("right", _) => Decision::Right,
            ("wrong", None) => Decision::LeaveOut,
            ("wrong", Some(label)) => {
                let class = class_names.iter().position(|name| as_text(name) == label);
                let Some(class) = class else {
                    bail!("{}: line {line}: '{label}' is no class of the data", path.display());
                };
                Decision::Wrong(class as u32)
            }
            (other, _) => {
                bail!("{}: line {line}: '{other}' is neither right nor wrong", path.display())
            }
        };
        ensure!(
            decisions[index].is_none_or(|before| before == decision),
            "{}: line {line}: '{}' is decided twice, and not alike",
            path.display(),
            row.example
        );
        decisions[index] = Some(decision);
    }
    if !unknown.is_empty() {
        let (count, first) = (unknown.len(), &unknown[..unknown.len().min(TOLD)]);
        bail!("{}: {count} examples are not in the data: {}", path.display(), first.join(", "));
    }
    Ok(decisions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(text: &str) -> Result<Vec<Option<Decision>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.csv");
        std::fs::write(&path, text).unwrap();
        let names = ["a.png", "=b.png", "c, d.png"].map(str::to_owned);
        read(&path, &names, &["cat".to_owned(), "-dog".to_owned()])
    }

    #[test]
    fn decisions_are_found_by_the_names_that_tables_have() {
        let text = "example,decision,label\n'=b.png,wrong,'-dog\n\"c, d.png\",wrong,\n";
        let expected = [None, Some(Decision::Wrong(1)), Some(Decision::LeaveOut)];
        assert_eq!(decided(text).unwrap(), expected);
        assert_eq!(
            decided("example,decision,label\na.png,right,cat\n").unwrap()[0],
            Some(Decision::Right)
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (row, part) in [
            ("e.png,right,cat", "e.png"),
            ("a.png,wrong,cow", "line 2: 'cow'"),
            ("a.png,perhaps,cat", "'perhaps'"),
            ("a.png,right,cat\na.png,wrong,", "line 3: 'a.png' is decided twice"),
        ] {
            let error = decided(&format!("{}\n{row}\n", COLUMNS.join(","))).unwrap_err();
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }
}
