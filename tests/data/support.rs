//! What the reader tests share.

use std::path::Path;

use image::DynamicImage;
use l2rw::data::{Source, open};
use tempfile::TempDir;

pub fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

pub fn save(folder: &TempDir, file: &str, image: impl Into<DynamicImage>) {
    let path = folder.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

pub fn opened(folder: &TempDir) -> Source {
    open(folder.path()).unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts that opening `folder` is an error whose message contains each of `parts`.
#[track_caller]
pub fn assert_refused(folder: &TempDir, parts: &[&str]) {
    let message = open(folder.path()).unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
}
