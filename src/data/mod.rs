//! Image classification data sets: reading, downloading, corrupting, splitting and sampling.
//!
//! Every reader ends in a [`Dataset`], which keeps its values in the layout that the GPU
//! kernels read, `[N, H, W, C]`. [`open`] recognises what a folder holds,
//! [`read_pictures`] and [`read_manifest`] read photographs of any kind; [`synthetic()`] makes a
//! data set out of a seed where there is nothing to read.
//!
//! All randomness comes from a seed and is the same on every platform.
//!
//! ```
//! use l2rw::data::{self, Corruption};
//!
//! # fn main() -> Result<(), data::DataError> {
//! let source = data::synthetic(1, 20, 5);
//! let classes = source.train.classes();
//! // The clean examples are taken out before labels are corrupted, so theirs are true.
//! let split = data::stratified_clean_split(&source.train.labels, classes, 2, 1)?;
//! let clean = source.train.subset(&split.clean)?;
//! let mut train = source.train.subset(&split.train)?;
//! let flip = Corruption::BackgroundFlip { share: 0.4, background: 3 };
//! let wrong = data::apply(&mut train.labels, classes, &flip, 1)?;
//! assert_eq!((clean.len(), train.len(), wrong.len()), (20, 180, 180));
//! # Ok(())
//! # }
//! ```

mod bounds;
mod cifar;
mod contents;
pub mod corruption;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
mod error;
mod idx;
mod open;
mod pictures;
mod split;
mod synthetic;
#[cfg(feature = "tables")]
mod tables;
mod values;

pub use crate::reference::rng as sampling;
pub use contents::Contents;
pub use corruption::{Corruption, apply, asymmetric_map, long_tail};
pub use dataset::{Dataset, Source};
#[cfg(feature = "download")]
pub use download::{default_cache_dir, fetch_cifar10};
pub use error::DataError;
pub use open::{open, open_with};
pub use pictures::{
    Fit, Manifest, PassedOver, PictureFolder, PictureOptions, PicturePart, Pictures, ReadNotes,
    SixteenBit, Thumbnail, path_of_text, path_text, picture_folder, read_manifest, read_pictures,
    read_unlabelled, thumbnails,
};
pub use split::{CleanSplit, stratified_clean_split};
pub use synthetic::synthetic;
#[cfg(feature = "tables")]
pub use tables::{TABLE_EXTENSIONS, Table, TableOptions, is_table, read_table};
pub use values::Values;

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// What random numbers are drawn for. Each purpose has its own stream, so that a split and a
/// corruption made from one user seed are independent.
#[derive(Clone, Copy)]
enum Purpose {
    Corruption = 0x636f_7272,
    LongTail = 0x7461_696c,
    CleanSplit = 0x7370_6c74,
    SyntheticTrain = 0x7379_7472,
    SyntheticTest = 0x7379_7465,
}

fn seeded(seed: u64, purpose: Purpose) -> Pcg64 {
    // The purpose sits in the upper half, away from the small seeds that people choose.
    Pcg64::seed_from_u64(seed ^ ((purpose as u64) << 32))
}

fn check_labels(labels: &[u32], classes: usize) -> Result<(), DataError> {
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(index) => Err(DataError::LabelOutOfRange { index, label: labels[index], classes }),
        None => Ok(()),
    }
}

/// The indices of each class's examples, in order: `[classes][n_c]`.
///
/// Where there are more classes than examples, only the first N + 1 are returned, one of which is
/// then empty: so no caller's class number, however large, decides how much memory is taken.
fn indices_by_class(labels: &[u32], classes: usize) -> Result<Vec<Vec<usize>>, DataError> {
    check_labels(labels, classes)?;
    let mut members = vec![Vec::new(); classes.min(labels.len() + 1)];
    for (index, &label) in labels.iter().enumerate() {
        if let Some(class) = members.get_mut(label as usize) {
            class.push(index);
        }
    }
    Ok(members)
}
