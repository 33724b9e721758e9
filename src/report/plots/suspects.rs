//! A contact sheet of the examples that the weights distrust.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    BODY, FADED, GREEN_BLUE, HEADING, INK, SMALL, VERMILLION, fit, heading, nothing, style,
    text_width, thousands, write,
};
use crate::report::ReportError;

/// At most this many examples, those of the lowest weights, are drawn.
pub const MAX_SUSPECTS: usize = 100;

const COLUMNS: usize = 10;
/// Images up to this side are enlarged by a whole factor as far as they stay below it.
const ENLARGED: usize = 96;
/// Images beyond this side are thinned out.
const LARGEST: usize = 224;
const MIN_CELL: i32 = 112;
const FRAME: i32 = 4;
const CAPTION: i32 = 58;
const MARGIN: i32 = 24;

/// A training example whose label is doubted.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect<'a> {
    /// Pixels, height × width × channels, 0 to 255.
    pub image: &'a [u8],
    /// The class that its label names, as [`class_label`](super::class_label) writes it.
    pub given: String,
    /// The class that it really is, where that is known.
    pub truth: Option<String>,
    /// Mean weight in units of the uniform weight; for [`doubtful`] the score.
    pub weight: f32,
}

impl Suspect<'_> {
    /// Whether the label is wrong, where that is known.
    fn wrong(&self) -> Option<bool> {
        self.truth.as_ref().map(|truth| *truth != self.given)
    }

    fn color(&self) -> RGBColor {
        match self.wrong() {
            Some(true) => VERMILLION,
            Some(false) => GREEN_BLUE,
            None => FADED,
        }
    }
}

/// Draws the [`MAX_SUSPECTS`] examples of the lowest mean weight, lowest first, ten a row.
///
/// Images are `height` × `width` × `channels` (1: grey, 3: RGB, 4: RGB and an ignored alpha); small
/// ones are enlarged by repeating pixels (32 → 96). Under each stand the label as given and, where
/// the truth is known, whether it is wrong; the frame says the same in colour.
///
/// # Errors
///
/// [`ReportError::Input`] if an image does not have the stated shape, [`ReportError::File`] if the
/// picture cannot be put at `path`.
pub fn suspects(
    path: &Path,
    suspects: &[Suspect<'_>],
    height: usize,
    width: usize,
    channels: usize,
) -> Result<(), ReportError> {
    check_shapes(suspects, height, width, channels)?;
    let mut lowest: Vec<&Suspect<'_>> = suspects.iter().collect();
    // An unknown weight is no suspicion.
    let rank = |s: &Suspect<'_>| {
        if s.weight.is_nan() { f32::INFINITY } else { s.weight }
    };
    lowest.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    lowest.truncate(MAX_SUSPECTS);
    let shown = thousands(lowest.len() as u64);
    let title = format!("The {shown} training examples with the lowest mean weight");
    let key = "Under each: the label as given; what it really shows, if known; \
               its weight ÷ uniform weight.";
    draw_sheet(path, &lowest, &title, key, Sheet::new(height, width, channels))
}

/// Draws the first [`MAX_SUSPECTS`] examples in the order given, the most doubtful label first, as
/// [`suspects`] does; under each stands its score from 0 to 1.
///
/// # Errors
///
/// As [`suspects`].
pub fn doubtful(
    path: &Path,
    ranked: &[Suspect<'_>],
    height: usize,
    width: usize,
    channels: usize,
) -> Result<(), ReportError> {
    check_shapes(ranked, height, width, channels)?;
    let first: Vec<&Suspect<'_>> = ranked.iter().take(MAX_SUSPECTS).collect();
    let shown = thousands(first.len() as u64);
    let title = format!("The {shown} most doubtful labels");
    let key = "Under each: the label as given; what it really shows, if known; \
               how doubtful it is, from 0 to 1.";
    draw_sheet(path, &first, &title, key, Sheet::new(height, width, channels))
}

fn draw_sheet(
    path: &Path,
    examples: &[&Suspect<'_>],
    title: &str,
    key: &str,
    sheet: Sheet,
) -> Result<(), ReportError> {
    let rows = examples.len().div_ceil(COLUMNS).max(1) as i32;
    let picture = (
        2 * MARGIN + COLUMNS as i32 * sheet.cell_width,
        HEADING + KEY + rows * sheet.cell_height + MARGIN,
    );
    surface::save(path, (picture.0 as u32, picture.1 as u32), |root| {
        heading(root, title, key)?;
        if examples.is_empty() {
            return nothing(root, "no examples");
        }
        draw_key(root, examples)?;
        for (i, suspect) in examples.iter().enumerate() {
            let x = MARGIN + (i % COLUMNS) as i32 * sheet.cell_width;
            let y = HEADING + KEY + (i / COLUMNS) as i32 * sheet.cell_height;
            sheet.draw(root, suspect, px(x), px(y))?;
        }
        Ok(())
    })
}

fn check_shapes(
    suspects: &[Suspect<'_>],
    height: usize,
    width: usize,
    channels: usize,
) -> Result<(), ReportError> {
    let error = |what: String, problem: String| ReportError::Input {
        what,
        problem,
        remedy: "pass images as height × width × channels bytes with 1, 3 or 4 channels",
    };
    if !matches!(channels, 1 | 3 | 4) || height == 0 || width == 0 {
        let problem = format!("the shape is said to be {height} × {width} × {channels}");
        return Err(error("suspects".into(), problem));
    }
    let expected = height.saturating_mul(width).saturating_mul(channels);
    match suspects.iter().position(|s| s.image.len() != expected) {
        Some(i) => Err(error(
            format!("suspect {i}"),
            format!(
                "{} bytes instead of {height} × {width} × {channels} = {expected}",
                suspects[i].image.len()
            ),
        )),
        None => Ok(()),
    }
}

const KEY: i32 = 34;

fn draw_key(area: &Area<'_>, suspects: &[&Suspect<'_>]) -> DrawResult {
    let count = |wrong| suspects.iter().filter(|s| s.wrong() == wrong).count();
    let entries = [
        (count(Some(true)), "wrong label", VERMILLION),
        (count(Some(false)), "right label", GREEN_BLUE),
        (count(None), "not known", FADED),
    ];
    let mut x = px(MARGIN);
    let y = px(HEADING + 10);
    for (count, meaning, color) in entries.into_iter().filter(|e| e.0 > 0) {
        let swatch = [(x, y - px(8)), (x + px(16), y + px(8))];
        area.draw(&Rectangle::new(swatch, color.filled()))?;
        let text = format!("{meaning} ({count})");
        write(area, &text, (x + px(24), y), style(BODY, INK, HPos::Left, VPos::Center))?;
        x += px(24 + 28) + text_width(&text, BODY);
    }
    Ok(())
}

/// Sizes in pixels.
struct Sheet {
    source: (usize, usize, usize),
    /// Height and width of an image as shown.
    shown: (i32, i32),
    cell_width: i32,
    cell_height: i32,
}

impl Sheet {
    fn new(height: usize, width: usize, channels: usize) -> Self {
        let side = height.max(width);
        let resize = |length: usize| {
            if side <= ENLARGED {
                length * (ENLARGED / side)
            } else {
                (length * LARGEST.min(side) / side).max(1)
            }
        };
        let shown = (resize(height) as i32, resize(width) as i32);
        Self {
            source: (height, width, channels),
            shown,
            cell_width: (shown.1 + 2 * FRAME + 12).max(MIN_CELL),
            cell_height: shown.0 + 2 * FRAME + CAPTION,
        }
    }

    fn draw(&self, area: &Area<'_>, suspect: &Suspect<'_>, x: i32, y: i32) -> DrawResult {
        // Whole pixels: half of one would blur every edge of the image.
        let middle = x + px(self.cell_width / 2);
        let left = middle - px(self.shown.1 / 2 + FRAME);
        let outer = (left + px(self.shown.1 + 2 * FRAME), y + px(self.shown.0 + 2 * FRAME));
        area.draw(&Rectangle::new([(left, y), outer], suspect.color().filled()))?;
        self.draw_image(area, suspect.image, (left + px(FRAME), y + px(FRAME)))?;
        let room = px(self.cell_width - 4);
        let caption = |text: &str, row: i32, color: RGBColor| {
            let text = fit(text, SMALL, room);
            let place = (middle, outer.1 + px(6 + 16 * row));
            write(area, &text, place, style(SMALL, color, HPos::Center, VPos::Top))
        };
        caption(&suspect.given, 0, INK)?;
        let weight = format!("{:.2}", suspect.weight);
        match (&suspect.truth, suspect.wrong()) {
            (Some(truth), Some(true)) => caption(&format!("is {truth}"), 1, VERMILLION)?,
            (Some(_), _) => caption("right", 1, GREEN_BLUE)?,
            (None, _) => return caption(&weight, 1, FADED),
        }
        caption(&weight, 2, FADED)
    }

    /// Nearest neighbour: a rectangle for each pixel shown or of the source, whichever are fewer.
    fn draw_image(&self, area: &Area<'_>, image: &[u8], at: (i32, i32)) -> DrawResult {
        let (height, width, _) = self.source;
        let (rows, columns) = (height.min(self.shown.0 as usize), width.min(self.shown.1 as usize));
        let edge = |i: usize, shown: i32, cells: usize| px(1) * shown * i as i32 / cells as i32;
        for row in 0..rows {
            for column in 0..columns {
                let color = self.pixel(image, row * height / rows, column * width / columns);
                let cell = [
                    (
                        at.0 + edge(column, self.shown.1, columns),
                        at.1 + edge(row, self.shown.0, rows),
                    ),
                    (
                        at.0 + edge(column + 1, self.shown.1, columns),
                        at.1 + edge(row + 1, self.shown.0, rows),
                    ),
                ];
                area.draw(&Rectangle::new(cell, color.filled()))?;
            }
        }
        Ok(())
    }

    fn pixel(&self, image: &[u8], row: usize, column: usize) -> RGBColor {
        let (_, width, channels) = self.source;
        let start = (row * width + column) * channels;
        match image.get(start..start + channels) {
            Some([red, green, blue, ..]) => RGBColor(*red, *green, *blue),
            Some([grey, ..]) => RGBColor(*grey, *grey, *grey),
            _ => FADED,
        }
    }
}
