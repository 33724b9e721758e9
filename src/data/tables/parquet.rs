//! Tables as Parquet files.

use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::{DEFLATE_INFLATION, DataError, Role, Rows, Table, TableOptions, headers, io, wrong};

/// A list of numbers lies three deep.
const DEEPEST: usize = 100;

/// What a file of any size may become in memory: some writers make pages of a megabyte, and a
/// constant column of a million rows takes next to nothing.
const BLANK: u64 = 16 << 20;

pub(super) fn read(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let bytes = std::fs::read(path).map_err(|reason| io(path, reason))?;
    let most = (bytes.len() as u64).saturating_mul(DEFLATE_INFLATION).max(BLANK);
    parse(path, bytes.into(), most, options)
}

/// Takes no more than about so many bytes of memory, for a page or for the table.
fn parse(path: &Path, bytes: Bytes, most: u64, options: &TableOptions) -> Result<Table, DataError> {
    let failed = |error: ParquetError| wrong(path, error.to_string());
    check_depth(&bytes).map_err(|reason| wrong(path, reason))?;
    let reader = SerializedFileReader::new(bytes.clone()).map_err(failed)?;
    let metadata = reader.metadata();
    check_pages(&bytes, metadata, most).map_err(|reason| wrong(path, reason))?;
    let schema = metadata.file_metadata().schema();
    let columns: Vec<String> =
        schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let mut lists = Lists { widths: vec![None; columns.len()], left: most };
    let mut rows = Rows::new(path, &columns, options)?;
    for (index, row) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let row = row.map_err(failed)?;
        lists
            .take(&row, &format!("row {index}"), &mut rows)
            .map_err(|reason| wrong(path, reason))?;
    }
    let features = lists.features(&rows);
    rows.end(path, features)
}

/// Refuses columns that lie too deep in others.
fn check_depth(bytes: &Bytes) -> Result<(), String> {
    match headers::schema_depth(bytes) {
        Some(..=DEEPEST) => Ok(()),
        Some(depth) => Err(format!("its columns lie {depth} deep in each other: flatten them")),
        None => Err("it does not end as a Parquet file does: it is cut or damaged".into()),
    }
}

/// Refuses pages that would become more than so many bytes.
fn check_pages(bytes: &Bytes, metadata: &ParquetMetaData, most: u64) -> Result<(), String> {
    for (group, columns) in metadata.row_groups().iter().enumerate() {
        for column in columns.columns() {
            let (start, len) = column.byte_range();
            let end = usize::try_from(start.saturating_add(len)).ok();
            let chunk = end.and_then(|end| bytes.get(start as usize..end));
            let place = || {
                format!("row group {group}, column '{}'", column.column_path().parts().join("."))
            };
            match chunk.and_then(headers::largest_page) {
                Some(largest) if largest <= most => {}
                Some(largest) => {
                    let (held, place) = (bytes.len(), place());
                    return Err(format!(
                        "{place}: a page says that it becomes {largest} bytes, which the {held} \
                         bytes of the file can hardly hold"
                    ));
                }
                None => return Err(format!("{}: its pages are damaged", place())),
            }
        }
    }
    Ok(())
}

/// Columns that may hold a list of numbers in each row.
struct Lists {
    /// Of a list, as many numbers as the first row has.
    widths: Vec<Option<usize>>,
    /// Bytes that the rows may still take.
    left: u64,
}

impl Lists {
    fn take(&mut self, row: &Row, place: &str, rows: &mut Rows<'_>) -> Result<(), String> {
        for (column, (_, field)) in row.get_column_iter().enumerate() {
            let cells = match field {
                Field::ListInternal(list) => list.elements(),
                single => std::slice::from_ref(single),
            };
            let kept = match (rows.roles[column], field) {
                (Role::Feature, _) => size_of::<f32>() * cells.len(),
                (Role::Ignored, _) => continue,
                (_, Field::Str(text)) => size_of::<String>() + text.len(),
                _ => size_of::<String>(),
            };
            self.left = self.left.checked_sub(kept as u64).ok_or_else(|| {
                format!("{place}: the rows take more memory than a file of its size should")
            })?;
            if rows.roles[column] != Role::Feature {
                rows.text(&text(field), place, column);
                continue;
            }
            let width = *self.widths[column].get_or_insert(cells.len());
            if cells.len() != width {
                let (name, found) = (&rows.columns[column], cells.len());
                rows.faults.add(|| {
                    format!("{place}, column '{name}': {found} numbers, {width} in the rows before")
                });
                continue;
            }
            for cell in cells {
                rows.number(number(cell), &text(cell), place, column);
            }
        }
        Ok(())
    }

    /// The names of the features, numbered where there is a list of them.
    fn features(&self, rows: &Rows<'_>) -> Vec<String> {
        let mut features = Vec::new();
        for (column, name) in rows.columns.iter().enumerate() {
            if rows.roles[column] == Role::Feature {
                match self.widths[column] {
                    Some(1) | None => features.push(name.clone()),
                    Some(width) => {
                        features.extend((0..width).map(|place| format!("{name}.{place}")));
                    }
                }
            }
        }
        features
    }
}

fn number(field: &Field) -> Option<f64> {
    Some(match *field {
        Field::Bool(value) => f64::from(u8::from(value)),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value as f64,
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value as f64,
        Field::Float16(value) => value.into(),
        Field::Float(value) => value.into(),
        Field::Double(value) => value,
        _ => return None,
    })
}

fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        other => other.to_string(),
    }
}
