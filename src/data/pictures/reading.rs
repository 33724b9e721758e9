//! From lists of files to data sets: headers first, which decide the size and the meaning of the
//! levels, then the pixels, straight to where they belong.

use std::path::PathBuf;
use std::thread;

use image::DynamicImage;

use super::decode::{self, Header};
use super::fit::{Levels, fitted, is_grey, on_background};
use super::notes::{ReadNotes, SixteenBit};
use super::options::{PictureOptions, common_size};
use super::{DataError, Dataset, PicturePart, Pictures};

/// A part before it is read: its name, and its files with their labels.
pub(super) struct Part {
    pub name: String,
    pub files: Vec<(PathBuf, u32)>,
}

/// Bytes of a pixel while it is not known whether all are grey.
const RGB: usize = 3;

/// Reads all `parts`; the first has all of the classes.
pub(super) fn read(
    class_names: &[String],
    mut parts: Vec<Part>,
    options: &PictureOptions,
    mut notes: ReadNotes,
) -> Result<Pictures, DataError> {
    let mut unreadable = Vec::new();
    let headers = read_headers(&mut parts, &mut unreadable);
    let sizes: Vec<(usize, usize)> = headers.iter().map(|header| header.size).collect();
    let size = match (options.size, sizes.is_empty()) {
        (Some(size), _) => size,
        (None, false) => common_size(&sizes, options.longest_side),
        (None, true) => (1, 1),
    };
    let levels = common_levels(&headers, &mut notes);
    let work = Work { size, levels, options };
    let mut decoded = Vec::new();
    for part in &mut parts {
        decoded.push(work.decode_all(part, &mut unreadable)?);
    }
    if !unreadable.is_empty() && !options.leave_out_unreadable {
        return Err(DataError::Unreadable { files: unreadable });
    }
    let grey = decoded.iter().flat_map(|part| &part.seen).all(|seen| seen.grey);
    let channels = options.channels.unwrap_or(if grey { 1 } else { RGB });
    notes.left_out = unreadable;
    notes.take_counts(&decoded, size, channels);
    let mut finished = Vec::new();
    for (at, (part, decoded)) in parts.into_iter().zip(decoded).enumerate() {
        let shape = [size.0, size.1, channels];
        finished.push(part.finished(decoded.pixels, shape, class_names, at == 0)?);
    }
    Ok(Pictures { parts: finished, notes })
}

/// The headers of all files that have one; the other files are taken out of their parts.
fn read_headers(parts: &mut [Part], unreadable: &mut Vec<(PathBuf, String)>) -> Vec<Header> {
    let mut headers = Vec::new();
    for part in parts {
        let found = for_each_file(&part.files, &mut [], 0, |file, _| decode::header(file));
        headers.extend(part.keep(found, unreadable));
    }
    headers
}

/// What the levels of 16 bits mean, in all parts.
fn common_levels(headers: &[Header], notes: &mut ReadNotes) -> Levels {
    let pictures = headers.iter().filter(|header| header.sixteen_bit).count();
    if pictures == 0 {
        return Levels::FULL;
    }
    let found = headers.iter().filter_map(|header| header.levels).reduce(Levels::joined);
    let found = found.unwrap_or(Levels::FULL);
    let stretched = pictures == headers.len();
    notes.sixteen_bit = Some(SixteenBit { pictures, levels: (found.low, found.high), stretched });
    if stretched { found } else { Levels::FULL }
}

impl Part {
    /// The results of files that have one; those of the others are added to `unreadable`, and the
    /// files taken out.
    fn keep<T>(
        &mut self,
        results: Vec<Result<T, String>>,
        unreadable: &mut Vec<(PathBuf, String)>,
    ) -> Vec<T> {
        let mut kept = Vec::with_capacity(results.len());
        let files = std::mem::take(&mut self.files);
        for (file, result) in files.into_iter().zip(results) {
            match result {
                Ok(value) => {
                    kept.push(value);
                    self.files.push(file);
                }
                Err(reason) => unreadable.push((file.0, reason)),
            }
        }
        kept
    }

    /// The data set of `pixels`, in three channels so far. All classes must be in it if `whole`.
    fn finished(
        self,
        mut pixels: Vec<u8>,
        shape: [usize; 3],
        class_names: &[String],
        whole: bool,
    ) -> Result<PicturePart, DataError> {
        if shape[2] == 1 {
            for at in 0..pixels.len() / RGB {
                pixels[at] = pixels[RGB * at];
            }
            pixels.truncate(pixels.len() / RGB);
            pixels.shrink_to_fit();
        }
        let (files, labels): (Vec<PathBuf>, Vec<u32>) = self.files.into_iter().unzip();
        // A data set is made of the classes that it has, which are then counted like the first's.
        let is_here = |&class: &u32| whole || labels.contains(&class);
        let here: Vec<u32> = (0..class_names.len() as u32).filter(is_here).collect();
        let names = here.iter().map(|&class| class_names[class as usize].clone()).collect();
        let place = |label: &u32| here.partition_point(|class| class < label) as u32;
        let own_labels = labels.iter().map(place).collect();
        let mut set = Dataset::new(self.name, shape, names, pixels, own_labels)?;
        set.labels = labels;
        set.class_names = class_names.to_vec();
        Ok(PicturePart { set, files })
    }
}

/// What is done to every picture.
struct Work<'a> {
    size: (usize, usize),
    levels: Levels,
    options: &'a PictureOptions,
}

/// What was seen of one picture.
struct Seen {
    /// Height and width in pixels as it is looked at.
    size: (usize, usize),
    grey: bool,
    turned: bool,
    transparent: bool,
}

/// The pixels of a part, `[N, H, W, 3]`.
struct Decoded {
    pixels: Vec<u8>,
    seen: Vec<Seen>,
}

impl Work<'_> {
    fn decode_all(
        &self,
        part: &mut Part,
        unreadable: &mut Vec<(PathBuf, String)>,
    ) -> Result<Decoded, DataError> {
        let len = self.size.0 * self.size.1 * RGB;
        let mut pixels = Vec::new();
        let too_large = || DataError::PictureOption {
            option: "size",
            reason: format!(
                "{} pictures of {}x{} pixels do not fit into memory; choose a smaller size",
                part.files.len(),
                self.size.0,
                self.size.1
            ),
        };
        let total = part.files.len().checked_mul(len).ok_or_else(too_large)?;
        pixels.try_reserve_exact(total).map_err(|_| too_large())?;
        pixels.resize(total, 0);
        let results = for_each_file(&part.files, &mut pixels, len, |file, place| {
            let (image, turned) = decode::decode(file)?;
            let (image, seen) = self.brought_to_size(image, turned);
            place.copy_from_slice(&image);
            Ok(seen)
        });
        let mut end = 0;
        for (at, _) in results.iter().enumerate().filter(|(_, result)| result.is_ok()) {
            pixels.copy_within(at * len..(at + 1) * len, end);
            end += len;
        }
        pixels.truncate(end);
        Ok(Decoded { pixels, seen: part.keep(results, unreadable) })
    }

    fn brought_to_size(&self, image: DynamicImage, turned: bool) -> (Vec<u8>, Seen) {
        let size = (image.height() as usize, image.width() as usize);
        let background = self.options.background;
        let (image, transparent) = on_background(image, self.levels, background);
        let mut image = fitted(image, self.size, self.options.fit, background);
        if self.options.channels == Some(1) {
            image = DynamicImage::from(DynamicImage::from(image).into_luma8()).into_rgb8();
        }
        let seen = Seen { size, grey: is_grey(&image), turned, transparent };
        (image.into_raw(), seen)
    }
}

/// What `work` makes of each file, on all cores; it may write to the `len` bytes of `places` that
/// belong to the file.
pub(super) fn for_each_file<T: Send>(
    files: &[(PathBuf, u32)],
    places: &mut [u8],
    len: usize,
    work: impl Fn(&PathBuf, &mut [u8]) -> Result<T, String> + Sync,
) -> Vec<Result<T, String>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = &work;
    thread::scope(|scope| {
        let mut workers = Vec::new();
        let mut places = places;
        for run in files.chunks(files.len().div_ceil(threads).max(1)) {
            let (mut own, rest) = places.split_at_mut(run.len() * len);
            places = rest;
            workers.push(scope.spawn(move || {
                let mut results = Vec::with_capacity(run.len());
                for (file, _) in run {
                    let (place, rest) = own.split_at_mut(len);
                    own = rest;
                    results.push(work(file, place));
                }
                results
            }));
        }
        let joined = workers.into_iter().map(|worker| {
            // A decoder's panic was caught where the file is known.
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.flatten().collect()
    })
}

impl ReadNotes {
    fn take_counts(&mut self, parts: &[Decoded], size: (usize, usize), channels: usize) {
        let seen = || parts.iter().flat_map(|part| &part.seen);
        let count = |is: fn(&Seen) -> bool| seen().filter(|&seen| is(seen)).count();
        self.pictures = seen().count();
        (self.size, self.channels) = (size, channels);
        self.resized = seen().filter(|seen| seen.size != size).count();
        self.turned = count(|seen| seen.turned);
        self.transparent = count(|seen| seen.transparent);
        let mut sizes: Vec<_> = seen().map(|seen| seen.size).collect();
        sizes.sort_unstable();
        let runs = sizes.chunk_by(|left, right| left == right);
        self.sizes = runs.map(|run| (run[0], run.len())).collect();
        self.sizes.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
    }
}
