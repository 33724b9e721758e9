//! Finds out which format the data set in a folder has, and reads it.

use std::path::{Path, PathBuf};

use super::pictures::{self, PictureFolder, PictureOptions, ReadNotes, picture_folder};
use super::{DataError, Source, cifar, idx};

const LOOKED_FOR: &str = "
  CIFAR-10, binary version: data_batch_1.bin to data_batch_5.bin, test_batch.bin, batches.meta.txt
  CIFAR-100, binary version: train.bin, test.bin, fine_label_names.txt
  MNIST-style IDX: {train,t10k}-images-idx3-ubyte[.gz] and {train,t10k}-labels-idx1-ubyte[.gz],
    each perhaps in a folder of its own name
  image folder: train/<class>/* and test/<class>/* (or val, valid, validation), of PNG, JPEG, WebP,
    BMP, GIF or TIFF pictures
The Python and Matlab versions of CIFAR are not read: get the binary version.";

#[derive(Clone, Copy)]
enum Format {
    Cifar10,
    Cifar100,
    Idx,
    ImageFolder,
}

/// Reads the data set in the folder `path`, or in the one folder below it that holds one.
///
/// Recognised are the binary versions of CIFAR-10 and CIFAR-100, the IDX files of MNIST
/// (gzip-compressed or not, with `.idx` or `-idx` in their names) and image folders,
/// `train/<class>/*` beside `test/<class>/*`, which may also be called `val`, `valid` or
/// `validation`. One file of a format is enough to recognise it; what is then missing is an error
/// that names it. Pictures are read with [`PictureOptions::default`]; what was done to them is
/// logged.
///
/// # Errors
///
/// [`DataError::NotRecognised`] says what was looked for where nothing fits,
/// [`DataError::Ambiguous`] which data sets there are where several do. Everything wrong with the
/// files themselves names the file and, where it applies, the byte offset.
pub fn open(path: &Path) -> Result<Source, DataError> {
    let (source, notes) = open_with(path, &PictureOptions::default())?;
    if notes != ReadNotes::default() {
        log::info!("{}: {notes}", path.display());
    }
    Ok(source)
}

/// As [`open`], with options for pictures, and with the notes of reading them. Those of other
/// formats are empty.
///
/// # Errors
///
/// As [`open`].
pub fn open_with(path: &Path, options: &PictureOptions) -> Result<(Source, ReadNotes), DataError> {
    let io = |action| move |reason| DataError::Io { path: path.to_owned(), action, reason };
    if !std::fs::metadata(path).map_err(io("open"))?.is_dir() {
        return Err(DataError::NotAFolder { path: path.to_owned() });
    }
    if let Some(format) = recognise(path)? {
        return read(path, format, options);
    }
    let mut below = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io("list"))? {
        let folder = entry.map_err(io("list"))?.path();
        // What cannot be looked into is not what was asked for.
        below.extend(recognise(&folder).ok().flatten().map(|format| (folder, format)));
    }
    match below.as_slice() {
        [] => Err(match idx::misnamed(path) {
            Some(path) => DataError::MisnamedIdx { path, names: idx::names() },
            None => DataError::NotRecognised {
                path: path.to_owned(),
                looked_for: LOOKED_FOR.to_owned(),
            },
        }),
        [(folder, format)] => read(folder, *format, options),
        _ => {
            let mut candidates = below.into_iter().map(|(folder, _)| folder).collect::<Vec<_>>();
            candidates.sort();
            Err(DataError::Ambiguous { path: path.to_owned(), candidates })
        }
    }
}

fn recognise(folder: &Path) -> Result<Option<Format>, DataError> {
    let has_file = |file: &str| folder.join(file).is_file();
    let has_cifar = |layout: &cifar::Layout| {
        has_file(layout.test) || layout.train.iter().any(|file| has_file(file))
    };
    let has_idx = || {
        [idx::TRAIN_IMAGES, idx::TEST_IMAGES].iter().any(|file| idx::find(folder, file).is_some())
    };
    let found = if has_cifar(&cifar::CIFAR10) {
        Some(Format::Cifar10)
    } else if has_cifar(&cifar::CIFAR100) {
        Some(Format::Cifar100)
    } else if has_idx() {
        Some(Format::Idx)
    } else if folder.is_dir() {
        let found = picture_folder(folder)?;
        found
            .filter(|found| matches!(found, PictureFolder::Splits { .. }))
            .map(|_| Format::ImageFolder)
    } else {
        None
    };
    Ok(found)
}

fn read(
    folder: &Path,
    format: Format,
    options: &PictureOptions,
) -> Result<(Source, ReadNotes), DataError> {
    let source = match format {
        Format::Cifar10 => cifar::read(folder, &cifar::CIFAR10)?,
        Format::Cifar100 => cifar::read(folder, &cifar::CIFAR100)?,
        Format::Idx => idx::read(folder, &name_of(folder))?,
        Format::ImageFolder => return pictures::read_splits(folder, &name_of(folder), options),
    };
    Ok((source, ReadNotes::default()))
}

/// What to call a data set whose files do not say: the name of its folder.
fn name_of(folder: &Path) -> String {
    // Made absolute so that "." has a name as well.
    let absolute: PathBuf = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
