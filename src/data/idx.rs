//! The IDX files of MNIST and of the sets that follow it (<http://yann.lecun.com/exdb/mnist/>):
//! a magic number, big-endian sizes, then bytes. Gzip-compressed or not.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::iter;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::bounds::DEFLATE_INFLATION;
use super::{DataError, Dataset, Source};

pub(super) const FORMAT: &str = "MNIST-style IDX";
pub(super) const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
pub(super) const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// The path of `file` in `folder`, where there is one: plain or compressed, with a dot or a dash
/// in the middle of its name, by itself or in a folder of its own name.
pub(super) fn find(folder: &Path, file: &str) -> Option<PathBuf> {
    let names = [file.to_owned(), file.replace("-idx", ".idx")];
    let names = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    let names: Vec<String> = names.collect();
    let folders = names.iter().map(|name| folder.join(name)).filter(|path| path.is_dir());
    let folders = iter::once(folder.to_owned()).chain(folders);
    let files = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    files.into_iter().find(|path| path.is_file())
}

/// An IDX file in `folder` whose name is none that [`read`] looks for.
pub(super) fn misnamed(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_idx = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let holds = |part| name.as_ref().is_some_and(|name| name.contains(part));
        path.is_file() && (holds("idx3-ubyte") || holds("idx1-ubyte"))
    };
    entries.filter(is_idx).min()
}

/// What the files must be called.
pub(super) fn names() -> String {
    [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS].join(", ")
}

/// Reads the four IDX files in `folder`. The classes are the labels of the training examples,
/// which must run from 0 without gaps.
pub(super) fn read(folder: &Path, name: &str) -> Result<Source, DataError> {
    let train_labels = read_labels(&require(folder, TRAIN_LABELS)?)?;
    let classes = train_labels.count_classes()?;
    let test_labels = read_labels(&require(folder, TEST_LABELS)?)?;
    test_labels.check_below(classes)?;
    let train_images = read_images(&require(folder, TRAIN_IMAGES)?, &train_labels)?;
    let test_images = read_images(&require(folder, TEST_IMAGES)?, &test_labels)?;
    if train_images.size != test_images.size {
        let [rows, columns] = train_images.size;
        let [found_rows, found_columns] = test_images.size;
        return Err(DataError::Header {
            path: test_images.path,
            offset: 8,
            expected: format!("images of {rows}x{columns} as for training"),
            found: format!("{found_rows}x{found_columns}"),
        });
    }
    Ok(Source {
        train: dataset(format!("{name} train"), classes, train_images, train_labels)?,
        test: dataset(format!("{name} test"), classes, test_images, test_labels)?,
    })
}

fn dataset(
    name: String,
    classes: u32,
    images: Images,
    labels: Labels,
) -> Result<Dataset, DataError> {
    let [rows, columns] = images.size;
    let class_names = (0..classes).map(|class| class.to_string()).collect();
    let labels = labels.values.into_iter().map(u32::from).collect();
    Dataset::new(name, [rows, columns, 1], class_names, images.bytes, labels)
}

fn require(folder: &Path, file: &str) -> Result<PathBuf, DataError> {
    find(folder, file).ok_or_else(|| DataError::Missing {
        path: folder.join(format!("{file}[.gz]")),
        folder: folder.to_owned(),
        format: FORMAT,
    })
}

struct Labels {
    path: PathBuf,
    values: Vec<u8>,
}

/// Bytes before the labels: magic number and count.
const LABEL_HEADER: u64 = 8;

impl Labels {
    fn count_classes(&self) -> Result<u32, DataError> {
        let mut present = [false; 256];
        for &label in &self.values {
            present[usize::from(label)] = true;
        }
        let absent = present.iter().position(|&present| !present).unwrap_or(256) as u32;
        match self.values.iter().position(|&label| u32::from(label) > absent) {
            Some(index) => Err(DataError::LabelGap {
                path: self.path.clone(),
                offset: LABEL_HEADER + index as u64,
                label: u32::from(self.values[index]),
                absent,
            }),
            None => Ok(absent),
        }
    }

    fn check_below(&self, classes: u32) -> Result<(), DataError> {
        match self.values.iter().position(|&label| u32::from(label) >= classes) {
            Some(index) => Err(DataError::LabelInFile {
                path: self.path.clone(),
                offset: LABEL_HEADER + index as u64,
                label: u32::from(self.values[index]),
                classes: classes as usize,
            }),
            None => Ok(()),
        }
    }
}

fn read_labels(path: &Path) -> Result<Labels, DataError> {
    let mut file = IdxFile::open(path)?;
    file.magic(0x0801, "bytes in one dimension")?;
    let count = file.positive("number of labels")?;
    let values = file.rest(Some(u64::from(count)), format!("its header says {count} labels"))?;
    Ok(Labels { path: path.to_owned(), values })
}

struct Images {
    path: PathBuf,
    size: [usize; 2],
    bytes: Vec<u8>,
}

fn read_images(path: &Path, labels: &Labels) -> Result<Images, DataError> {
    let mut file = IdxFile::open(path)?;
    file.magic(0x0803, "bytes in three dimensions")?;
    let count = file.positive("number of images")?;
    if count as usize != labels.values.len() {
        return Err(DataError::Header {
            path: path.to_owned(),
            offset: 4,
            expected: format!(
                "{} images, as {} has labels",
                labels.values.len(),
                labels.path.display()
            ),
            found: count.to_string(),
        });
    }
    let rows = file.positive("number of rows")?;
    let columns = file.positive("number of columns")?;
    let pixels = u64::from(rows) * u64::from(columns);
    let expected = u64::from(count).checked_mul(pixels);
    let because = format!("its header says {count} images of {rows}x{columns}");
    let bytes = file.rest(expected, because)?;
    Ok(Images { path: path.to_owned(), size: [rows as usize, columns as usize], bytes })
}

/// A file being read from its start, with the offset reached after decompression.
struct IdxFile<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    offset: u64,
    /// Bytes that it holds at most, where it is compressed.
    capacity: u64,
    /// Bytes that it holds, where it is not.
    plain: u64,
}

impl<'a> IdxFile<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|reason| DataError::Io {
            path: path.to_owned(),
            action: "open",
            reason,
        })?;
        let metadata = file.metadata().map_err(|reason| DataError::Io {
            path: path.to_owned(),
            action: "open",
            reason,
        })?;
        let file = std::io::BufReader::new(file);
        let (reader, capacity, plain): (Box<dyn Read>, _, _) = match path.extension() {
            Some(extension) if extension == "gz" => {
                let capacity = metadata.len().saturating_mul(DEFLATE_INFLATION);
                (Box::new(MultiGzDecoder::new(file)), capacity, 0)
            }
            _ => (Box::new(file), u64::MAX, metadata.len()),
        };
        Ok(Self { path, reader, offset: 0, capacity, plain })
    }

    fn read_error(&self, reason: std::io::Error) -> DataError {
        DataError::Io { path: self.path.to_owned(), action: "read", reason }
    }

    fn field(&mut self, what: &str) -> Result<u32, DataError> {
        let mut bytes = [0; 4];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(reason) if reason.kind() == ErrorKind::UnexpectedEof => {
                return Err(self.header_error(what.to_owned(), "the end of the file".to_owned()));
            }
            Err(reason) => return Err(self.read_error(reason)),
        }
        Ok(u32::from_be_bytes(bytes))
    }

    fn header_error(&self, expected: String, found: String) -> DataError {
        DataError::Header { path: self.path.to_owned(), offset: self.offset, expected, found }
    }

    fn magic(&mut self, magic: u32, meaning: &str) -> Result<(), DataError> {
        let found = self.field("the IDX magic number")?;
        if found != magic {
            let expected = format!("the IDX magic number {magic:#010x} ({meaning})");
            return Err(self.header_error(expected, format!("{found:#010x}")));
        }
        self.offset += 4;
        Ok(())
    }

    fn positive(&mut self, what: &str) -> Result<u32, DataError> {
        let value = self.field(what)?;
        if value == 0 {
            return Err(self.header_error(format!("a {what} above 0"), "0".to_owned()));
        }
        self.offset += 4;
        Ok(value)
    }

    /// Everything after the header, which must be `expected` bytes (`None`: more than 2^64).
    ///
    /// No memory is set aside on the header's word alone, and no more than it announces is read.
    fn rest(mut self, expected: Option<u64>, because: String) -> Result<Vec<u8>, DataError> {
        let expected = expected.unwrap_or(u64::MAX - self.offset);
        if expected > self.capacity {
            return Err(DataError::FileSize {
                path: self.path.to_owned(),
                expected: expected.saturating_add(self.offset),
                found: self.capacity,
                because: format!(
                    "{because}, and no compressed file of its size holds more than that"
                ),
            });
        }
        // All at once where that many are there: what grows is held twice at times.
        let held = expected.min(self.plain);
        let mut bytes = Vec::with_capacity(usize::try_from(held).unwrap_or(0));
        let mut reader = self.reader.by_ref().take(expected.saturating_add(1));
        match reader.read_to_end(&mut bytes) {
            Ok(_) => {}
            // A compressed file that stops early; the size below says so in the reader's terms.
            Err(reason) if reason.kind() == ErrorKind::UnexpectedEof => {}
            Err(reason) => return Err(self.read_error(reason)),
        }
        let found = bytes.len() as u64;
        if found == expected {
            return Ok(bytes);
        }
        Err(DataError::FileSize {
            path: self.path.to_owned(),
            expected: expected.saturating_add(self.offset),
            found: found + self.offset,
            because: if found > expected {
                format!("{because}, but more follows")
            } else {
                because
            },
        })
    }
}
