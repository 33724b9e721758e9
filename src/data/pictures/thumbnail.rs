//! Small pictures for people to look at, made from the files and not from what a network sees.

use std::path::PathBuf;

use image::DynamicImage;

use super::super::DataError;
use super::decode;
use super::fit::{Levels, on_background};
use super::notes::ReadNotes;
use super::options::PictureOptions;
use super::reading::for_each_file;

/// A picture as a person looks at it: upright, whole, on the background where it is transparent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// `[height, width, 3]`, RGB.
    pub pixels: Vec<u8>,
}

/// Thumbnails of the pictures in `files`, with no side longer than `longest_side` pixels; smaller
/// pictures stay as they are. `options` and `notes` are those of the reading that found the files:
/// the background and the meaning of 16 bits.
///
/// # Errors
///
/// [`DataError::Unreadable`] in the place of a file that cannot be read any more.
pub fn thumbnails(
    files: &[PathBuf],
    longest_side: usize,
    options: &PictureOptions,
    notes: &ReadNotes,
) -> Vec<Result<Thumbnail, DataError>> {
    let stretched = notes.sixteen_bit.filter(|found| found.stretched);
    let levels = stretched.map_or(Levels::FULL, |found| {
        let (low, high) = found.levels;
        Levels { low, high }
    });
    let side = u32::try_from(longest_side.max(1)).unwrap_or(u32::MAX);
    let listed: Vec<(PathBuf, u32)> = files.iter().map(|file| (file.clone(), 0)).collect();
    let made = for_each_file(&listed, &mut [], 0, |file, _| {
        let (image, _) = decode::decode(file)?;
        let (mut image, _) = on_background(image, levels, options.background);
        if image.width().max(image.height()) > side {
            image = DynamicImage::from(image).thumbnail(side, side).into_rgb8();
        }
        let (height, width) = (image.height() as usize, image.width() as usize);
        Ok(Thumbnail { height, width, pixels: image.into_raw() })
    });
    let named = |(result, file): (Result<Thumbnail, String>, &PathBuf)| {
        result.map_err(|reason| DataError::Unreadable { files: vec![(file.clone(), reason)] })
    };
    made.into_iter().zip(files).map(named).collect()
}
