//! Which files of a folder are pictures of which class, and which folders are parts of a set.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::DataError;
use super::decode::is_picture_name;
use super::names::{by_name, class_name, is_noise};
use super::notes::ReadNotes;

/// Names of the part that is learnt from, in lower case.
pub(super) const TRAIN: [&str; 2] = ["train", "training"];

/// Names of the part that serves as the test part, in lower case: what comes first is preferred.
pub(super) const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// How the pictures below a folder are sorted, found by [`picture_folder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureFolder {
    /// `<class>/*`.
    Classes,
    /// `train/<class>/*` or `test/<class>/*`, or both.
    Splits {
        /// `train` or `training`, in small or capital letters.
        train: Option<PathBuf>,
        /// `test` or `testing`; where there is neither, `val`, `valid` or `validation`.
        test: Option<PathBuf>,
        /// What could have been the test part, but another one was preferred.
        unused: Vec<PathBuf>,
    },
}

/// How the pictures below `folder` are sorted, or `None` where no folder in it holds a picture or
/// a class.
///
/// A folder is a split only if it holds class folders and no picture itself: a class may be called
/// `train`.
///
/// # Errors
///
/// [`DataError::Io`] where a folder cannot be listed.
pub fn picture_folder(folder: &Path) -> Result<Option<PictureFolder>, DataError> {
    let folders = list(folder)?.folders;
    let find = |names: &[&str]| -> Result<Vec<PathBuf>, DataError> {
        let mut found = Vec::new();
        for name in names {
            for path in folders.iter().filter(|path| is_called(path, name)) {
                if holds_classes(path)? {
                    found.push(path.clone());
                }
            }
        }
        Ok(found)
    };
    let train = find(&TRAIN)?.into_iter().next();
    let mut tests = find(&TEST)?.into_iter();
    let test = tests.next();
    if train.is_some() || test.is_some() {
        return Ok(Some(PictureFolder::Splits { train, test, unused: tests.collect() }));
    }
    for class in &folders {
        if list(class)?.files.iter().any(|file| is_picture_name(file)) {
            return Ok(Some(PictureFolder::Classes));
        }
    }
    Ok(None)
}

fn is_called(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found.eq_ignore_ascii_case(name))
}

pub(super) fn is_test(path: &Path) -> bool {
    is_called(path, TEST[0])
}

fn holds_classes(folder: &Path) -> Result<bool, DataError> {
    let listed = list(folder)?;
    let has_pictures = listed.files.iter().any(|file| is_picture_name(file));
    Ok(!has_pictures && !listed.folders.is_empty())
}

/// What is in a folder, without what systems leave there, in natural order.
struct Listed {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

fn list(folder: &Path) -> Result<Listed, DataError> {
    let error = |reason| DataError::Io { path: folder.to_owned(), action: "list", reason };
    let mut listed = Listed { folders: Vec::new(), files: Vec::new() };
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        if is_noise(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() { listed.folders.push(path) } else { listed.files.push(path) }
    }
    listed.folders.sort_by(|left, right| by_name(left, right));
    listed.files.sort_by(|left, right| by_name(left, right));
    Ok(listed)
}

/// A class of one part: more than one folder, where their names differ in the way that accents are
/// written.
pub(super) struct Class {
    pub name: String,
    pub folders: Vec<PathBuf>,
}

/// The classes of a part, in natural order. What else is there is passed over.
pub(super) fn classes(part: &Path, notes: &mut ReadNotes) -> Result<Vec<Class>, DataError> {
    let listed = list(part)?;
    for file in &listed.files {
        let kind = format!("{} beside the class folders", kind_of(file));
        notes.pass_over(part.to_owned(), kind, 1);
    }
    let mut classes: Vec<Class> = Vec::new();
    for folder in listed.folders {
        let name = class_name(folder.file_name().unwrap_or(OsStr::new("")));
        match classes.iter_mut().find(|class| class.name == name) {
            Some(class) => class.folders.push(folder),
            None => classes.push(Class { name, folders: vec![folder] }),
        }
    }
    if classes.is_empty() {
        return Err(DataError::NoClasses { path: part.to_owned() });
    }
    // By the names that are shown: those of files may be decomposed.
    classes.sort_by(|left, right| by_name(Path::new(&left.name), Path::new(&right.name)));
    Ok(classes)
}

/// The pictures in a folder and below it, at least one; a file is one whatever it is called.
pub(super) fn below(path: &Path, notes: &mut ReadNotes) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let class = Class { name: String::new(), folders: vec![path.to_owned()] };
    pictures(&class, true, notes)
}

/// The pictures of a class, at least one.
pub(super) fn pictures(
    class: &Class,
    nested: bool,
    notes: &mut ReadNotes,
) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    let before = notes.passed_over.len();
    for folder in &class.folders {
        add_pictures(folder, nested, &mut found, notes)?;
    }
    if found.is_empty() {
        let others = notes.passed_over[before..].iter();
        return Err(DataError::EmptyClassFolder {
            path: class.folders[0].clone(),
            others: others.map(|passed| format!("{} {}", passed.count, passed.kind)).collect(),
        });
    }
    Ok(found)
}

fn add_pictures(
    folder: &Path,
    nested: bool,
    found: &mut Vec<PathBuf>,
    notes: &mut ReadNotes,
) -> Result<(), DataError> {
    let listed = list(folder)?;
    for file in listed.files {
        if is_picture_name(&file) {
            found.push(file);
        } else {
            notes.pass_over(folder.to_owned(), kind_of(&file), 1);
        }
    }
    for below in listed.folders {
        // A link may lead back up.
        if below.is_symlink() {
            notes.pass_over(folder.to_owned(), "linked folders", 1);
        } else if nested {
            add_pictures(&below, nested, found, notes)?;
        } else {
            let mut deeper = Vec::new();
            add_pictures(&below, true, &mut deeper, &mut ReadNotes::default())?;
            if !deeper.is_empty() {
                notes.pass_over(below, "pictures further down", deeper.len());
            }
        }
    }
    Ok(())
}

/// What a file that is passed over is called: its ending.
fn kind_of(file: &Path) -> String {
    match file.extension() {
        Some(ending) => format!(".{}", ending.to_string_lossy().to_lowercase()),
        None => "without an ending".to_owned(),
    }
}
