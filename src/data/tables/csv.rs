//! Tables as text, one row a line below a line of names.

use std::path::Path;

use csv::{ReaderBuilder, Trim};

use super::{DataError, Role, Rows, Table, TableOptions, wrong};

pub(super) fn read(path: &Path, delimiter: u8, options: &TableOptions) -> Result<Table, DataError> {
    let failed = |error: csv::Error| wrong(path, error.to_string());
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(Trim::All)
        .from_path(path)
        .map_err(failed)?;
    let head = reader.headers().map_err(failed)?;
    let strip = |name: &str| name.trim_start_matches('\u{feff}').to_owned();
    let columns: Vec<String> = head.iter().map(strip).collect();
    if columns.iter().all(|name| name.parse::<f64>().is_ok()) {
        let reason = "its first line holds numbers: put the names of the columns there".to_owned();
        return Err(wrong(path, reason));
    }
    let mut rows = Rows::new(path, &columns, options)?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("line {line}");
        for (column, cell) in record.iter().enumerate() {
            match rows.roles[column] {
                Role::Feature => rows.number(cell.parse().ok(), cell, &place, column),
                _ => rows.text(cell, &place, column),
            }
        }
    }
    let features = columns.iter().zip(&rows.roles).filter(|(_, role)| **role == Role::Feature);
    let features = features.map(|(name, _)| name.clone()).collect();
    rows.end(path, features)
}
