//! Folders of images, `train/<class>/*.png|jpg|jpeg` and `test/<class>/…`. Classes and files are
//! taken in the order of their names, so that the same folder gives the same data set everywhere.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::thread;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{DataError, Dataset, Source, jpeg};

pub(super) const FORMAT: &str = "image folder";
pub(super) const TRAIN: &str = "train";
pub(super) const TEST: &str = "test";
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Reads the image folder `folder`.
///
/// All images must be of one size. The data set is grey where every image of both splits is, and
/// RGB otherwise.
pub(super) fn read(folder: &Path, name: &str) -> Result<Source, DataError> {
    let [train, test] = [TRAIN, TEST].map(|split| folder.join(split));
    for split in [&train, &test] {
        if !split.is_dir() {
            return Err(DataError::Missing {
                path: split.clone(),
                folder: folder.to_owned(),
                format: FORMAT,
            });
        }
    }
    let class_names = class_names(&train)?;
    check_same_classes(&train, &class_names, &test)?;
    let train = list_images(&train, &class_names)?;
    let test = list_images(&test, &class_names)?;
    let size = ImageSize::of(&train[0].0)?;
    let train = decode_all(&train, &size)?;
    let test = decode_all(&test, &size)?;
    let grey = train.iter().chain(&test).all(|piece| piece.grey);
    Ok(Source {
        train: dataset(format!("{name} {TRAIN}"), &size, grey, class_names.clone(), train)?,
        test: dataset(format!("{name} {TEST}"), &size, grey, class_names, test)?,
    })
}

/// A folder of images sorted into classes, with the files behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolder {
    /// The images; a class is a folder.
    pub set: Dataset,
    /// `[N]`, the file of each image.
    pub files: Vec<PathBuf>,
}

/// Reads the images of `folder`, `<class>/*.png|jpg|jpeg`: one split of an image folder, or all
/// there is.
///
/// # Errors
///
/// As [`open`](super::open) for image folders: each names the file.
pub fn open_image_folder(folder: &Path) -> Result<ImageFolder, DataError> {
    let class_names = class_names(folder)?;
    let files = list_images(folder, &class_names)?;
    let size = ImageSize::of(&files[0].0)?;
    let pieces = decode_all(&files, &size)?;
    let grey = pieces.iter().all(|piece| piece.grey);
    let name = folder.display().to_string();
    let set = dataset(name, &size, grey, class_names, pieces)?;
    Ok(ImageFolder { set, files: files.into_iter().map(|(file, _)| file).collect() })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |reason| DataError::Io { path: folder.to_owned(), action: "list", reason };
    let entries = std::fs::read_dir(folder).map_err(error)?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(error)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn class_names(split: &Path) -> Result<Vec<String>, DataError> {
    let folders = list(split)?.into_iter().filter(|path| path.is_dir());
    let names = folders.map(|path| file_name(&path)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(DataError::NoClasses { path: split.to_owned() });
    }
    Ok(names)
}

fn file_name(path: &Path) -> Result<String, DataError> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| DataError::Io {
        path: path.to_owned(),
        action: "take the class from the folder's name",
        reason: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"),
    })
}

fn check_same_classes(train: &Path, names: &[String], test: &Path) -> Result<(), DataError> {
    let test_names = class_names(test)?;
    let unmatched = |present: &Path, missing: &Path, name: &String| DataError::UnmatchedClass {
        present: present.join(name),
        missing: missing.join(name),
    };
    if let Some(name) = names.iter().find(|name| !test_names.contains(name)) {
        return Err(unmatched(train, test, name));
    }
    match test_names.iter().find(|name| !names.contains(name)) {
        Some(name) => Err(unmatched(test, train, name)),
        None => Ok(()),
    }
}

/// The image files of a split with their labels, at least one a class.
fn list_images(split: &Path, class_names: &[String]) -> Result<Vec<(PathBuf, u32)>, DataError> {
    let mut files = Vec::new();
    for (label, class) in class_names.iter().enumerate() {
        let folder = split.join(class);
        let before = files.len();
        let images = list(&folder)?.into_iter().filter(|path| is_image(path));
        files.extend(images.map(|path| (path, label as u32)));
        if files.len() == before {
            return Err(DataError::EmptyClassFolder { path: folder });
        }
    }
    Ok(files)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// The size that all images must have, and the image that sets it.
struct ImageSize {
    first: PathBuf,
    width: u32,
    height: u32,
}

impl ImageSize {
    fn of(first: &Path) -> Result<Self, DataError> {
        let (width, height) = decoder(first)?.dimensions();
        Ok(Self { first: first.to_owned(), width, height })
    }
}

fn undecodable(path: &Path) -> impl Fn(image::ImageError) -> DataError + '_ {
    |reason| DataError::Image { path: path.to_owned(), reason: reason.to_string() }
}

fn decoder(path: &Path) -> Result<impl ImageDecoder + use<>, DataError> {
    let io = |reason| DataError::Io { path: path.to_owned(), action: "open", reason };
    // A pipe or a device may never end.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        let reason = "it is no regular file: take it out of the folder";
        return Err(io(std::io::Error::new(std::io::ErrorKind::InvalidInput, reason)));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let held = bytes.len();
    // By content: files named .jpg that hold a PNG are common.
    let is_jpeg = image::guess_format(&bytes).is_ok_and(|format| format == ImageFormat::Jpeg);
    if is_jpeg && let Err(offset) = jpeg::check_complete(&bytes) {
        let reason = format!(
            "the file ends at byte {held}, within what begins at byte {offset}: get it again"
        );
        return Err(DataError::Image { path: path.to_owned(), reason });
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(io)?;
    let mut decoder = reader.into_decoder().map_err(undecodable(path))?;
    let (width, height) = decoder.dimensions();
    if is_jpeg && width.max(height) > jpeg::LONGEST_SIDE {
        let longest = jpeg::LONGEST_SIDE;
        let reason =
            format!("it is {width}x{height}, and no side of a JPEG may be longer than {longest}");
        return Err(DataError::Image { path: path.to_owned(), reason });
    }
    let inflation = if is_jpeg { jpeg::INFLATION } else { PNG_INFLATION };
    check_memory(path, &mut decoder, held, inflation)?;
    Ok(decoder)
}

/// How many bytes of pixels a byte of a PNG becomes at most: with two colours, 24 for each that
/// its compression yields, which are 1032 at most (<https://zlib.net/zlib_tech.html>).
const PNG_INFLATION: u64 = 24 * 1032;

/// Refuses an image whose header claims more than the `held` bytes of its file can give, or than
/// fits the memory that one image may take.
fn check_memory(
    path: &Path,
    decoder: &mut impl ImageDecoder,
    held: usize,
    inflation: u64,
) -> Result<(), DataError> {
    let claimed = decoder.total_bytes();
    if claimed > (held as u64).saturating_mul(inflation) {
        let (width, height) = decoder.dimensions();
        let reason =
            format!("its header says {width}x{height}, which its {held} bytes cannot hold");
        return Err(DataError::Image { path: path.to_owned(), reason });
    }
    let mut limits = Limits::default();
    limits.reserve(claimed).map_err(undecodable(path))?;
    decoder.set_limits(limits).map_err(undecodable(path))
}

/// The decoded images of a run of files: `[n, H, W]` where all are grey, `[n, H, W, 3]` otherwise.
struct Piece {
    grey: bool,
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

fn decode_all(files: &[(PathBuf, u32)], size: &ImageSize) -> Result<Vec<Piece>, DataError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let runs = files.chunks(files.len().div_ceil(threads).max(1));
        let workers = runs.map(|run| (run, scope.spawn(|| decode_run(run, size))));
        // Joined in the order of the files, so that the first bad one is what is reported.
        let workers = workers.collect::<Vec<_>>().into_iter();
        workers.map(|(run, worker)| worker.join().unwrap_or_else(|_| Err(panicked(run)))).collect()
    })
}

fn panicked(run: &[(PathBuf, u32)]) -> DataError {
    let path = run.first().map(|(path, _)| path.clone()).unwrap_or_default();
    let reason = format!("the decoder panicked on it or one of the {} files after it", run.len());
    DataError::Image { path, reason }
}

fn decode_run(files: &[(PathBuf, u32)], size: &ImageSize) -> Result<Piece, DataError> {
    let mut piece = Piece { grey: true, pixels: Vec::new(), labels: Vec::new() };
    for (path, label) in files {
        let image = decode(path, size)?;
        let grey = !image.color().has_color();
        if piece.grey && !grey {
            piece.pixels = grey_to_rgb(&piece.pixels);
            piece.grey = false;
        }
        if piece.grey {
            piece.pixels.extend_from_slice(image.into_luma8().as_raw());
        } else {
            piece.pixels.extend_from_slice(image.into_rgb8().as_raw());
        }
        piece.labels.push(*label);
    }
    Ok(piece)
}

fn decode(path: &Path, size: &ImageSize) -> Result<DynamicImage, DataError> {
    let decoder = decoder(path)?;
    let found = decoder.dimensions();
    let expected = (size.width, size.height);
    if found != expected {
        let (path, first) = (path.to_owned(), size.first.clone());
        return Err(DataError::ImageSize { path, first, expected, found });
    }
    let image = DynamicImage::from_decoder(decoder).map_err(undecodable(path))?;
    if is_transparent(&image) {
        return Err(DataError::Transparent { path: path.to_owned() });
    }
    Ok(image)
}

fn is_transparent(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|pixel| pixel[1] != u8::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().any(|pixel| pixel[1] != u16::MAX),
        DynamicImage::ImageRgba8(image) => image.pixels().any(|pixel| pixel[3] != u8::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().any(|pixel| pixel[3] != u16::MAX),
        DynamicImage::ImageRgba32F(image) => image.pixels().any(|pixel| pixel[3] < 1.0),
        _ => false,
    }
}

fn grey_to_rgb(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&level| [level; 3]).collect()
}

fn dataset(
    name: String,
    size: &ImageSize,
    grey: bool,
    class_names: Vec<String>,
    pieces: Vec<Piece>,
) -> Result<Dataset, DataError> {
    let mut images = Vec::new();
    let mut labels = Vec::new();
    for piece in pieces {
        if piece.grey && !grey {
            images.extend(grey_to_rgb(&piece.pixels));
        } else {
            images.extend(piece.pixels);
        }
        labels.extend(piece.labels);
    }
    let shape = [size.height as usize, size.width as usize, if grey { 1 } else { 3 }];
    Dataset::new(name, shape, class_names, images, labels)
}
