//! Pictures in folders, `<class>/*`, as cameras, programs and people leave them: of any size,
//! orientation, format and depth. Several parts of a set are read together, so that all of them
//! get one size, one number of channels and one meaning of the levels.

mod completeness;
mod decode;
mod fit;
mod jpeg;
mod listing;
mod manifest;
mod names;
mod notes;
mod options;
mod reading;
mod thumbnail;

use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Source};

pub use listing::{PictureFolder, picture_folder};
pub use manifest::{Manifest, read_manifest};
pub use names::{path_of_text, path_text};
pub use notes::{PassedOver, ReadNotes, SixteenBit};
pub use options::{Fit, PictureOptions};
pub use thumbnail::{Thumbnail, thumbnails};

pub(super) use decode::FORMATS;
#[cfg(feature = "tables")]
pub(super) use names::natural_order;

pub(super) const FORMAT: &str = "image folder";

/// Pictures that were read together, by [`read_pictures`].
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// In the order in which they were asked for. All have the same classes and the same shape.
    pub parts: Vec<PicturePart>,
    /// What was done to them, and what was passed over.
    pub notes: ReadNotes,
}

/// One part of a set of pictures, with the files behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct PicturePart {
    /// The pictures. A class is a folder; all parts count the classes alike, so that a part may
    /// lack some.
    pub set: Dataset,
    /// `[N]`, the file of each picture.
    pub files: Vec<PathBuf>,
}

impl PicturePart {
    /// The classes of which this part has no picture.
    pub fn absent_classes(&self) -> Vec<usize> {
        let mut present = vec![false; self.set.classes()];
        for &label in &self.set.labels {
            present[label as usize] = true;
        }
        (0..present.len()).filter(|&class| !present[class]).collect()
    }
}

/// Reads the pictures of several folders together: a set and the trusted part of it, or training
/// and test.
///
/// Each of `parts` is a folder of class folders. The classes are those of the first part, in
/// natural order (`2` before `10`), and so are the files of each. Names that differ only in how
/// their accents are written are one class.
///
/// PNG, JPEG, WebP, BMP, GIF (its first frame) and TIFF are read, whatever the file's name says.
/// Pictures are turned as their EXIF orientation says, laid on the background where they are
/// transparent, and brought to one size and number of channels, which
/// [`PictureOptions`] describes. Where all have 16 bits, the lowest level of all parts
/// becomes 0 and the highest 255. [`ReadNotes`] tells what of this happened.
///
/// # Errors
///
/// [`DataError::Unreadable`] names all files that cannot be read, [`DataError::NoClasses`] a part
/// without folders, [`DataError::EmptyClassFolder`] a class without pictures,
/// [`DataError::UnmatchedClass`] a class of another part that the first lacks, and
/// [`DataError::PictureOption`] an option that cannot be met.
pub fn read_pictures<P: AsRef<Path>>(
    parts: &[P],
    options: &PictureOptions,
) -> Result<Pictures, DataError> {
    options.check()?;
    let mut notes = ReadNotes::default();
    let mut class_names: Vec<String> = Vec::new();
    let mut listed = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let part = part.as_ref();
        let classes = listing::classes(part, &mut notes)?;
        if at == 0 {
            class_names = classes.iter().map(|class| class.name.clone()).collect();
        }
        let mut files = Vec::new();
        for class in &classes {
            let label =
                class_names.iter().position(|name| *name == class.name).ok_or_else(|| {
                    DataError::UnmatchedClass {
                        present: class.folders[0].clone(),
                        missing: parts[0].as_ref().join(&class.name),
                    }
                })?;
            let pictures = listing::pictures(class, options.nested, &mut notes)?;
            files.extend(pictures.into_iter().map(|file| (file, label as u32)));
        }
        listed.push(reading::Part { name: part.display().to_string(), files });
    }
    reading::read(&class_names, listed, options, notes)
}

/// Reads all pictures of a folder and of the folders below it, or one picture, as one part without
/// classes: every label is 0.
///
/// # Errors
///
/// As [`read_pictures`], and [`DataError::EmptyClassFolder`] for a folder without pictures.
pub fn read_unlabelled(path: &Path, options: &PictureOptions) -> Result<Pictures, DataError> {
    options.check()?;
    let mut notes = ReadNotes::default();
    let files = listing::below(path, &mut notes)?;
    let files = files.into_iter().map(|file| (file, 0)).collect();
    let part = reading::Part { name: path.display().to_string(), files };
    reading::read(&[String::new()], vec![part], options, notes)
}

/// Reads the training and test part of `folder`, of which at least one is known to exist.
pub(super) fn read_splits(
    folder: &Path,
    name: &str,
    options: &PictureOptions,
) -> Result<(Source, ReadNotes), DataError> {
    let (train, test, unused) = match picture_folder(folder)? {
        Some(PictureFolder::Splits { train, test, unused }) => (train, test, unused),
        _ => (None, None, Vec::new()),
    };
    let missing = |part: &str| DataError::Missing {
        path: folder.join(part),
        folder: folder.to_owned(),
        format: FORMAT,
    };
    let train = train.ok_or_else(|| missing("train"))?;
    let test = test.ok_or_else(|| missing("test"))?;
    let Pictures { parts, mut notes } = read_pictures(&[&train, &test], options)?;
    let [train_part, test_part] =
        <[PicturePart; 2]>::try_from(parts).map_err(|_| missing("test"))?;
    if let Some(&class) = test_part.absent_classes().first() {
        let class = &train_part.set.class_names[class];
        return Err(DataError::UnmatchedClass {
            present: train.join(class),
            missing: test.join(class),
        });
    }
    notes.take_parts(folder, Some(&test), unused);
    let named =
        |part: PicturePart, split: &str| Dataset { name: format!("{name} {split}"), ..part.set };
    Ok((Source { train: named(train_part, "train"), test: named(test_part, "test") }, notes))
}
