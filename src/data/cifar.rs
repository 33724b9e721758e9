//! The official binary versions of CIFAR-10 and CIFAR-100
//! (<https://www.cs.toronto.edu/~kriz/cifar.html>): records of one or two label bytes followed by
//! a 32×32 image stored plane by plane.

use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Source};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const IMAGE_BYTES: usize = SIDE * SIDE * CHANNELS;

/// What tells the two data sets apart on disk.
pub(super) struct Layout {
    pub format: &'static str,
    pub train: &'static [&'static str],
    pub test: &'static str,
    class_names: &'static str,
    /// Exclusive bounds of the label bytes of a record; the last is the label that is learnt.
    label_bounds: &'static [u32],
    /// Records in each training file and in the test file, as published.
    published_records: [u64; 2],
}

pub(super) const CIFAR10: Layout = Layout {
    format: "CIFAR-10",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    class_names: "batches.meta.txt",
    label_bounds: &[10],
    published_records: [10_000, 10_000],
};

pub(super) const CIFAR100: Layout = Layout {
    format: "CIFAR-100",
    train: &["train.bin"],
    test: "test.bin",
    class_names: "fine_label_names.txt",
    label_bounds: &[20, 100],
    published_records: [50_000, 10_000],
};

impl Layout {
    fn classes(&self) -> usize {
        self.label_bounds.last().map_or(0, |&bound| bound as usize)
    }

    fn record_bytes(&self) -> usize {
        self.label_bounds.len() + IMAGE_BYTES
    }
}

/// Reads the data set of this `layout` in `folder`.
///
/// A file may hold any number of whole records, so that excerpts can be read, but the training
/// files must be equally long, which is what gives away most truncated ones.
pub(super) fn read(folder: &Path, layout: &Layout) -> Result<Source, DataError> {
    let class_names = class_names(folder, layout)?;
    let train = layout.train.iter().map(|file| folder.join(file)).collect::<Vec<_>>();
    check_sizes(folder, &train, layout, layout.published_records[0])?;
    let test = [folder.join(layout.test)];
    check_sizes(folder, &test, layout, layout.published_records[1])?;
    Ok(Source {
        train: read_split("train", &train, layout, class_names.clone())?,
        test: read_split("test", &test, layout, class_names)?,
    })
}

fn class_names(folder: &Path, layout: &Layout) -> Result<Vec<String>, DataError> {
    let path = folder.join(layout.class_names);
    require(folder, &path, layout)?;
    let text = std::fs::read_to_string(&path).map_err(|reason| DataError::Io {
        path: path.clone(),
        action: "read",
        reason,
    })?;
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names = names.map(str::to_owned).collect::<Vec<_>>();
    if names.len() != layout.classes() {
        return Err(DataError::ClassNames { path, expected: layout.classes(), found: names.len() });
    }
    Ok(names)
}

fn require(folder: &Path, path: &Path, layout: &Layout) -> Result<(), DataError> {
    if path.is_file() {
        return Ok(());
    }
    Err(DataError::Missing {
        path: path.to_owned(),
        folder: folder.to_owned(),
        format: layout.format,
    })
}

/// Refuses wrong sizes before anything is read: a file of the wrong kind may be huge.
fn check_sizes(
    folder: &Path,
    paths: &[PathBuf],
    layout: &Layout,
    published_records: u64,
) -> Result<(), DataError> {
    let record = layout.record_bytes() as u64;
    let published = published_records * record;
    let mut sizes = Vec::new();
    for path in paths {
        require(folder, path, layout)?;
        let found = size(path)?;
        if found == 0 || found % record != 0 {
            return Err(DataError::FileSize {
                path: path.clone(),
                expected: published,
                found,
                because: format!("or another multiple of {record}, one record"),
            });
        }
        sizes.push(found);
    }
    let longest = sizes.iter().copied().max().unwrap_or(published);
    if let Some(short) = sizes.iter().position(|&size| size < longest) {
        return Err(DataError::FileSize {
            path: paths[short].clone(),
            expected: longest,
            found: sizes[short],
            because: "as long as the other training files".to_owned(),
        });
    }
    if longest != published {
        log::warn!(
            "{}: {} is not complete: {longest} bytes a file instead of {published}",
            folder.display(),
            layout.format
        );
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64, DataError> {
    let metadata = std::fs::metadata(path);
    metadata.map(|metadata| metadata.len()).map_err(|reason| DataError::Io {
        path: path.to_owned(),
        action: "inspect",
        reason,
    })
}

fn read_split(
    split: &str,
    paths: &[PathBuf],
    layout: &Layout,
    class_names: Vec<String>,
) -> Result<Dataset, DataError> {
    let mut images = Vec::new();
    let mut labels = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path).map_err(|reason| DataError::Io {
            path: path.clone(),
            action: "read",
            reason,
        })?;
        for (index, record) in bytes.chunks_exact(layout.record_bytes()).enumerate() {
            let (label_bytes, planes) = record.split_at(layout.label_bounds.len());
            let start = index * layout.record_bytes();
            labels.push(label(path, start, label_bytes, layout)?);
            push_interleaved(&mut images, planes);
        }
    }
    let name = format!("{} {split}", layout.format);
    Dataset::new(name, [SIDE, SIDE, CHANNELS], class_names, images, labels)
}

/// The label that is learnt. The others are checked as well: records read out of step show there.
fn label(path: &Path, start: usize, bytes: &[u8], layout: &Layout) -> Result<u32, DataError> {
    let mut label = 0;
    for (position, (&byte, &bound)) in bytes.iter().zip(layout.label_bounds).enumerate() {
        label = u32::from(byte);
        if label >= bound {
            return Err(DataError::LabelInFile {
                path: path.to_owned(),
                offset: (start + position) as u64,
                label,
                classes: bound as usize,
            });
        }
    }
    Ok(label)
}

/// Appends a `[C, H, W]` image to `images` as `[H, W, C]`.
fn push_interleaved(images: &mut Vec<u8>, planes: &[u8]) {
    let (red, rest) = planes.split_at(SIDE * SIDE);
    let (green, blue) = rest.split_at(SIDE * SIDE);
    let pixels = red.iter().zip(green).zip(blue);
    images.extend(pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]));
}
