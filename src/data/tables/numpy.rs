//! Arrays of NumPy.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use npyz::half::f16;
use npyz::npz::{NpzArchive, file_name_from_array_name};
use npyz::{DType, NpyFile, Order, TypeChar};

use super::{
    DEFLATE_INFLATION, DataError, Faults, Table, TableOptions, io, narrowed, shortened, truth,
    wrong,
};

/// The numbers or names of an array with its shape, the last dimension the fastest.
struct Array {
    shape: Vec<usize>,
    cells: Cells,
}

enum Cells {
    Numbers(Vec<f64>),
    /// Kept as such, so that large ones stay exact.
    Integers(Vec<i64>),
    Names(Vec<String>),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(all) => all.len(),
            Self::Integers(all) => all.len(),
            Self::Names(all) => all.len(),
        }
    }

    /// As text, for labels. A number without a fraction is an integer.
    fn texts(self) -> Vec<String> {
        match self {
            Self::Names(names) => names,
            Self::Integers(all) => all.iter().map(i64::to_string).collect(),
            Self::Numbers(all) => all.iter().map(f64::to_string).collect(),
        }
    }
}

pub(super) fn read_npy(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let features = open_npy(path)?;
    let labels = options.labels_file.as_deref().map(|file| Ok((file, open_npy(file)?)));
    let trusted = options.trusted_file.as_deref().map(|file| Ok((file, open_npy(file)?)));
    table(path, features, labels.transpose()?, trusted.transpose()?)
}

fn open_npy(path: &Path) -> Result<Array, DataError> {
    let file = File::open(path).map_err(|reason| io(path, reason))?;
    let held = file.metadata().map_err(|reason| io(path, reason))?.len();
    // What the header should have been is told with the whole of what it is.
    let failed = |reason: std::io::Error| wrong(path, shortened(&reason.to_string()));
    let mut file = BufReader::new(file);
    check_header(&mut file).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let file = NpyFile::new(file).map_err(failed)?;
    of_file(path, file, "the array", held)
}

/// Refuses a header with brackets in brackets, for which its parser takes time without end. Those
/// of NumPy have three within each other at most. Whatever else is wrong, the parser says.
fn check_header(file: &mut impl Read) -> Result<(), std::io::Error> {
    const DEEPEST: usize = 8;
    let mut fixed = [0; 10];
    if file.read_exact(&mut fixed).is_err() {
        return Ok(());
    }
    let [.., version, _, low, high] = fixed;
    let mut upper = [0; 2];
    if version > 1 && file.read_exact(&mut upper).is_err() {
        return Ok(());
    }
    let len = u32::from_le_bytes([low, high, upper[0], upper[1]]);
    let mut depth = 0usize;
    for byte in BufReader::new(file.take(len.into())).bytes() {
        match byte? {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(std::io::Error::other("its header has too many brackets in each other"));
        }
    }
    Ok(())
}

/// Of an `.npz`, the only array of two dimensions holds the features.
pub(super) fn read_npz(path: &Path, options: &TableOptions) -> Result<Table, DataError> {
    let failed = |reason| io(path, reason);
    let mut archive = NpzArchive::open(path).map_err(failed)?;
    let held = std::fs::metadata(path).map_err(failed)?.len();
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut arrays = Vec::new();
    for name in &names {
        if options.ignored.contains(name) {
            continue;
        }
        if let Ok(mut entry) = archive.zip_archive().by_name(&file_name_from_array_name(name)) {
            check_header(&mut entry).map_err(failed)?;
        }
        let most = held.saturating_mul(DEFLATE_INFLATION);
        if let Some(file) = archive.by_name(name).map_err(failed)? {
            arrays.push((name, of_file(path, file, name, most)?));
        }
    }
    let mut take = |wanted: &[&str]| {
        let found = arrays.iter().position(|(name, _)| wanted.contains(&name.as_str()));
        found.map(|index| (path, arrays.swap_remove(index).1))
    };
    let labels = take(&[options.label.as_str(), "labels", "y"]);
    let trusted = take(&[options.trusted.as_str()]);
    arrays.retain(|(_, array)| array.shape.len() == 2);
    match <[_; 1]>::try_from(arrays) {
        Ok([(_, features)]) => table(path, features, labels, trusted),
        Err(arrays) => {
            let (count, names) = (arrays.len(), names.join(", "));
            let reason = format!(
                "{count} arrays of two dimensions could be the features, of {names}: leave out \
                 all but one"
            );
            Err(wrong(path, reason))
        }
    }
}

/// Reads an array from at most so many bytes.
fn of_file<R: Read>(
    path: &Path,
    file: NpyFile<R>,
    name: &str,
    most: u64,
) -> Result<Array, DataError> {
    let say = |reason: String| wrong(path, format!("{name}: {reason}"));
    let failed = |reason: std::io::Error| say(reason.to_string());
    if file.uses_pickled_array() {
        return Err(say("it holds Python objects: save it with a dtype of numbers or text".into()));
    }
    let (shape, order) = (file.shape().to_vec(), file.order());
    let DType::Plain(dtype) = file.dtype() else {
        return Err(say("its rows are records: save the features as one array".into()));
    };
    let elements = shape.iter().try_fold(1u64, |all, dim| all.checked_mul(*dim));
    let bytes = elements.and_then(|all| all.checked_mul(dtype.num_bytes()?.max(1) as u64));
    if bytes.is_none_or(|bytes| bytes > most) {
        return Err(say(format!("its header says {shape:?}, which the file cannot hold")));
    }
    let wide = |v: Vec<f64>| Cells::Numbers(v);
    let size = dtype.num_bytes().unwrap_or_default();
    let cells = match (dtype.type_char(), size) {
        (TypeChar::Float, 2) => {
            wide(file.into_vec::<f16>().map_err(failed)?.into_iter().map(f64::from).collect())
        }
        (TypeChar::Float, 4) => {
            wide(file.into_vec::<f32>().map_err(failed)?.into_iter().map(f64::from).collect())
        }
        (TypeChar::Float, 8) => wide(file.into_vec::<f64>().map_err(failed)?),
        (TypeChar::Bool, _) => integers(file.into_vec::<bool>().map_err(failed)?),
        (TypeChar::Int, 1) => integers(file.into_vec::<i8>().map_err(failed)?),
        (TypeChar::Int, 2) => integers(file.into_vec::<i16>().map_err(failed)?),
        (TypeChar::Int, 4) => integers(file.into_vec::<i32>().map_err(failed)?),
        (TypeChar::Int, 8) => integers(file.into_vec::<i64>().map_err(failed)?),
        (TypeChar::Uint, 1) => integers(file.into_vec::<u8>().map_err(failed)?),
        (TypeChar::Uint, 2) => integers(file.into_vec::<u16>().map_err(failed)?),
        (TypeChar::Uint, 4) => integers(file.into_vec::<u32>().map_err(failed)?),
        (TypeChar::Uint, 8) => {
            wide(file.into_vec::<u64>().map_err(failed)?.into_iter().map(|v| v as f64).collect())
        }
        (TypeChar::UnicodeStr | TypeChar::ByteStr, _) => {
            Cells::Names(file.into_vec::<String>().map_err(failed)?)
        }
        _ => return Err(say(format!("its type {dtype} is none of numbers, text or bool"))),
    };
    let shape = shape.into_iter().map(|dim| dim as usize).collect();
    Ok(Array { shape, cells }.in_rows(order))
}

fn integers<T: Into<i64>>(all: Vec<T>) -> Cells {
    Cells::Integers(all.into_iter().map(Into::into).collect())
}

impl Array {
    /// Column by column becomes row by row.
    fn in_rows(self, order: Order) -> Self {
        let (Order::Fortran, [rows, columns]) = (order, self.shape.as_slice()) else { return self };
        fn turned<T: Clone>(all: &[T], rows: usize, columns: usize) -> Vec<T> {
            let place = |i: usize| i % columns * rows + i / columns;
            (0..all.len()).map(|i| all[place(i)].clone()).collect()
        }
        let (rows, columns) = (*rows, *columns);
        let cells = match self.cells {
            Cells::Numbers(all) => Cells::Numbers(turned(&all, rows, columns)),
            Cells::Integers(all) => Cells::Integers(turned(&all, rows, columns)),
            Cells::Names(all) => Cells::Names(turned(&all, rows, columns)),
        };
        Self { cells, ..self }
    }
}

fn table(
    path: &Path,
    features: Array,
    labels: Option<(&Path, Array)>,
    trusted: Option<(&Path, Array)>,
) -> Result<Table, DataError> {
    let [rows, width] = features.shape[..] else {
        let shape = features.shape;
        let reason = format!("its shape is {shape:?}; needed is [rows, features]: reshape it");
        return Err(wrong(path, reason));
    };
    if rows * width == 0 {
        return Err(wrong(path, format!("its shape is [{rows}, {width}]: it holds nothing")));
    }
    let mut faults = Faults::default();
    let mut values = Vec::with_capacity(rows * width);
    let mut push = |index: usize, value: f64| match narrowed(value) {
        Some(value) => values.push(value),
        None => faults.add(|| {
            format!("row {}, column {}: {value} is no finite f32", index / width, index % width)
        }),
    };
    match features.cells {
        Cells::Numbers(all) => all.iter().enumerate().for_each(|(i, v)| push(i, *v)),
        Cells::Integers(all) => all.iter().enumerate().for_each(|(i, v)| push(i, *v as f64)),
        Cells::Names(_) => return Err(wrong(path, "it holds text where features are".into())),
    }
    faults.end(path)?;
    let of_rows = |(file, array): (&Path, Array)| match array.cells.len() {
        len if len == rows => Ok(array.cells.texts()),
        len => Err(wrong(file, format!("{len} labels for {rows} rows"))),
    };
    Ok(Table {
        name: path.display().to_string(),
        columns: (0..width).map(|column| column.to_string()).collect(),
        values,
        labels: labels.map(of_rows).transpose()?,
        trusted: trusted.map(|(file, array)| mask(file, array, rows)).transpose()?,
        names: None,
    })
}

/// A truth value for each row, or the numbers of the rows that are true.
fn mask(path: &Path, array: Array, rows: usize) -> Result<Vec<bool>, DataError> {
    if array.cells.len() == rows {
        let texts = array.cells.texts();
        if let Some(mask) = texts.iter().map(|text| truth(text)).collect() {
            return Ok(mask);
        }
        return Err(wrong(path, format!("{rows} values that are not all 0 or 1")));
    }
    let mut mask = vec![false; rows];
    let Cells::Integers(indices) = array.cells else {
        let reason = format!("needed are {rows} truth values, or the numbers of rows");
        return Err(wrong(path, reason));
    };
    for index in indices {
        match usize::try_from(index).ok().and_then(|index| mask.get_mut(index)) {
            Some(place) => *place = true,
            None => return Err(wrong(path, format!("row {index} is not one of 0 to {rows}"))),
        }
    }
    Ok(mask)
}
