//! Tables as Parquet files.

use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::{DataError, Role, Rows, Table, TableOptions, io, wrong};

pub(super) fn read(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let failed = |error: ParquetError| wrong(path, error.to_string());
    let file = File::open(path).map_err(|reason| io(path, reason))?;
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns: Vec<String> =
        schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Rows::new(path, &columns, options)?;
    // Of a list, as many as the first row has.
    let mut widths: Vec<Option<usize>> = vec![None; columns.len()];
    for (index, row) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let row = row.map_err(failed)?;
        let place = format!("row {index}");
        for (column, (_, field)) in row.get_column_iter().enumerate() {
            if rows.roles[column] != Role::Feature {
                rows.text(&text(field), &place, column);
                continue;
            }
            let cells = match field {
                Field::ListInternal(list) => list.elements(),
                single => std::slice::from_ref(single),
            };
            let width = *widths[column].get_or_insert(cells.len());
            if cells.len() != width {
                let (name, found) = (&columns[column], cells.len());
                rows.faults.add(|| {
                    format!("{place}, column '{name}': {found} numbers, {width} in the rows before")
                });
                continue;
            }
            for cell in cells {
                rows.number(number(cell), &text(cell), &place, column);
            }
        }
    }
    let mut features = Vec::new();
    for (column, name) in columns.iter().enumerate() {
        if rows.roles[column] == Role::Feature {
            match widths[column] {
                Some(1) | None => features.push(name.clone()),
                Some(width) => features.extend((0..width).map(|place| format!("{name}.{place}"))),
            }
        }
    }
    rows.end(path, features)
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
