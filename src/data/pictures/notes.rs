//! What was done to pictures on the way, and what was passed over.

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::error::named;
use super::listing::is_test;

/// What reading pictures did that a person would want to know, for
/// [`Pictures::notes`](super::Pictures::notes). Its `Display` is a few lines, and nothing where no
/// picture was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadNotes {
    /// Pictures that were read.
    pub pictures: usize,
    /// Height and width in pixels that all of them have now.
    pub size: (usize, usize),
    /// 1 for grey, 3 for RGB.
    pub channels: usize,
    /// Pictures that had another size.
    pub resized: usize,
    /// Different sizes that the pictures had, height and width in pixels, with their numbers, the
    /// most frequent first.
    pub sizes: Vec<((usize, usize), usize)>,
    /// Pictures that were turned or mirrored as their EXIF orientation says.
    pub turned: usize,
    /// Pictures with see-through pixels, which show the background now.
    pub transparent: usize,
    /// Pictures of 16 bits, where there are any.
    pub sixteen_bit: Option<SixteenBit>,
    /// Pictures that cannot be read, with the reason.
    pub left_out: Vec<(PathBuf, String)>,
    /// Files and folders that were not looked into.
    pub passed_over: Vec<PassedOver>,
    /// The folder that served as the test part, where its name is not `test`.
    pub test_part: Option<PathBuf>,
}

/// How pictures of 16 bits became pictures of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SixteenBit {
    /// How many there are.
    pub pictures: usize,
    /// Lowest and highest level in them, of 0 to 65535.
    pub levels: (u16, u16),
    /// Whether these levels became 0 and 255. They do where all pictures have 16 bits. Otherwise
    /// 0 and 65535 do, so that all pictures mean the same.
    pub stretched: bool,
}

/// Files or folders of one kind in one folder that are not part of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Where they are.
    pub folder: PathBuf,
    /// What they are: `.heic`, `pictures further down`.
    pub kind: String,
    /// How many.
    pub count: usize,
}

impl ReadNotes {
    /// Notes which part of `folder` served as the test part, and which `unused` ones could have:
    /// what [`picture_folder`](super::picture_folder) found.
    pub fn take_parts(&mut self, folder: &Path, test: Option<&Path>, unused: Vec<PathBuf>) {
        for part in unused {
            self.pass_over(folder.to_owned(), format!("part {}", part.display()), 1);
        }
        self.test_part = test.filter(|test| !is_test(test)).map(Path::to_owned);
    }

    /// Counts one more of `kind` in `folder`.
    pub(super) fn pass_over(&mut self, folder: PathBuf, kind: impl Into<String>, count: usize) {
        let kind = kind.into();
        let same = |known: &&mut PassedOver| known.folder == folder && known.kind == kind;
        match self.passed_over.iter_mut().find(same) {
            Some(known) => known.count += count,
            None => self.passed_over.push(PassedOver { folder, kind, count }),
        }
    }
}

impl fmt::Display for ReadNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pictures == 0 {
            return Ok(());
        }
        let (height, width) = self.size;
        let colours = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{} pictures of {height}x{width} (height x width), {colours}", self.pictures)?;
        self.write_changes(f)?;
        if let Some(folder) = &self.test_part {
            write!(f, "\ntest part: {}", folder.display())?;
        }
        self.write_passed_over(f)?;
        if !self.left_out.is_empty() {
            write!(f, "\nleft out, as they cannot be read: {}", self.left_out.len())?;
            f.write_str(&named(&self.left_out))?;
        }
        Ok(())
    }
}

impl ReadNotes {
    fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resized > 0 {
            let ((height, width), count) = self.sizes[0];
            let (resized, sizes) = (self.resized, self.sizes.len());
            write!(f, "\nresized: {resized}; pictures have {sizes} size(s), ")?;
            write!(f, "{count} of them {height}x{width}")?;
        }
        if self.turned > 0 {
            write!(f, "\nturned upright as their EXIF orientation says: {}", self.turned)?;
        }
        if self.transparent > 0 {
            write!(f, "\ntransparent, laid on the background: {}", self.transparent)?;
        }
        if let Some(SixteenBit { pictures, levels: (low, high), stretched }) = self.sixteen_bit {
            write!(f, "\nof 16 bits: {pictures}, with levels from {low} to {high}; ")?;
            f.write_str(if stretched {
                "these became 0 and 255"
            } else {
                "0 and 65535 became 0 and 255, as in the pictures of 8 bits"
            })?;
        }
        Ok(())
    }

    /// A line for each kind.
    fn write_passed_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<&str> = Vec::new();
        for passed in &self.passed_over {
            if !kinds.contains(&passed.kind.as_str()) {
                kinds.push(&passed.kind);
            }
        }
        for kind in kinds {
            let of_kind = || self.passed_over.iter().filter(|passed| passed.kind == kind);
            let count: usize = of_kind().map(|passed| passed.count).sum();
            let folders = of_kind().count();
            write!(f, "\npassed over: {count} {kind}, in {folders} folder(s)")?;
            if let Some(first) = of_kind().next() {
                write!(f, ", the first of them {}", first.folder.display())?;
            }
        }
        Ok(())
    }
}
