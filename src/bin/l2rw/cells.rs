//! Cells of the tables that are written.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Result;
use l2rw::files::write_atomic;

/// What a formula begins with.
pub const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A name as a spreadsheet takes it for text: what begins like a formula gets an apostrophe.
pub fn as_text(name: &str) -> Cow<'_, str> {
    match name.starts_with(FORMULA) {
        true => Cow::Owned(format!("'{name}")),
        false => Cow::Borrowed(name),
    }
}

/// Writes a table whole or not at all.
pub fn write_csv(path: &Path, csv: csv::Writer<Vec<u8>>) -> Result<()> {
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    Ok(write_atomic(path, &bytes)?)
}
