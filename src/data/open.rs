//! Finds out which format the data set in a folder has, and reads it.

use std::path::{Path, PathBuf};

use super::{DataError, Source, cifar, folder, idx};

const LOOKED_FOR: &str = "
  CIFAR-10, binary version: data_batch_1.bin to data_batch_5.bin, test_batch.bin, batches.meta.txt
  CIFAR-100, binary version: train.bin, test.bin, fine_label_names.txt
  MNIST-style IDX: {train,t10k}-images-idx3-ubyte[.gz] and {train,t10k}-labels-idx1-ubyte[.gz]
  image folder: train/<class>/*.png|jpg|jpeg and test/<class>/*.png|jpg|jpeg
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
/// (gzip-compressed or not) and image folders, `train/<class>/*.png|jpg|jpeg` beside
/// `test/<class>/…`. One file of a format is enough to recognise it; what is then missing is an
/// error that names it.
///
/// # Errors
///
/// [`DataError::NotRecognised`] says what was looked for where nothing fits,
/// [`DataError::Ambiguous`] which data sets there are where several do. Everything wrong with the
/// files themselves names the file and, where it applies, the byte offset.
pub fn open(path: &Path) -> Result<Source, DataError> {
    let io = |action| move |reason| DataError::Io { path: path.to_owned(), action, reason };
    if !std::fs::metadata(path).map_err(io("open"))?.is_dir() {
        return Err(DataError::NotAFolder { path: path.to_owned() });
    }
    if let Some(format) = recognise(path) {
        return read(path, format);
    }
    let mut below = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io("list"))? {
        let folder = entry.map_err(io("list"))?.path();
        below.extend(recognise(&folder).map(|format| (folder, format)));
    }
    match below.as_slice() {
        [] => Err(DataError::NotRecognised {
            path: path.to_owned(),
            looked_for: LOOKED_FOR.to_owned(),
        }),
        [(folder, format)] => read(folder, *format),
        _ => {
            let mut candidates = below.into_iter().map(|(folder, _)| folder).collect::<Vec<_>>();
            candidates.sort();
            Err(DataError::Ambiguous { path: path.to_owned(), candidates })
        }
    }
}

fn recognise(folder: &Path) -> Option<Format> {
    let has_file = |file: &str| folder.join(file).is_file();
    let has_cifar = |layout: &cifar::Layout| {
        has_file(layout.test) || layout.train.iter().any(|file| has_file(file))
    };
    if has_cifar(&cifar::CIFAR10) {
        Some(Format::Cifar10)
    } else if has_cifar(&cifar::CIFAR100) {
        Some(Format::Cifar100)
    } else if [idx::TRAIN_IMAGES, idx::TEST_IMAGES]
        .iter()
        .any(|file| idx::find(folder, file).is_some())
    {
        Some(Format::Idx)
    } else if [folder::TRAIN, folder::TEST].iter().any(|split| folder.join(split).is_dir()) {
        Some(Format::ImageFolder)
    } else {
        None
    }
}

fn read(folder: &Path, format: Format) -> Result<Source, DataError> {
    match format {
        Format::Cifar10 => cifar::read(folder, &cifar::CIFAR10),
        Format::Cifar100 => cifar::read(folder, &cifar::CIFAR100),
        Format::Idx => idx::read(folder, &name_of(folder)),
        Format::ImageFolder => folder::read(folder, &name_of(folder)),
    }
}

/// What to call a data set whose files do not say: the name of its folder.
fn name_of(folder: &Path) -> String {
    // Made absolute so that "." has a name as well.
    let absolute: PathBuf = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    absolute.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
