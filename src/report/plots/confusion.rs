//! The paper's Figure 6: which classes are taken for which.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::surface::{self, Area, DrawResult, px};
use super::theme::{
    BODY, FADED, HEADING, INK, SMALL, bold, class_label, fit, heading, nothing, stroke, style,
    text_width, write,
};
use crate::report::ReportError;

/// Up to this many classes, every cell shows its number.
const NUMBERED: usize = 12;
/// Up to this many classes, every row and column shows its name.
const NAMED: usize = 25;
const COLUMNS: usize = 3;
const MAX_NAME: i32 = 110;
const BAR: i32 = 92;

/// Draws confusion matrices side by side, three a row: each row of a matrix is one true class and
/// adds up to 100 %.
///
/// `matrices` holds a title and a matrix (true class × predicted class, counts) each; `class_names`
/// one name a class (missing ones are numbered). Up to twelve classes show their numbers. A class
/// without examples stays grey.
///
/// # Errors
///
/// [`ReportError::Input`] if a matrix is not square, [`ReportError::File`] if the picture cannot
/// be put at `path`.
pub fn confusion(
    path: &Path,
    matrices: &[(&str, &[Vec<u32>])],
    class_names: &[&str],
) -> Result<(), ReportError> {
    check_square(matrices)?;
    let classes = matrices.iter().map(|(_, m)| m.len()).max().unwrap_or(0);
    let layout = Layout::new(classes, class_names);
    let columns = matrices.len().clamp(1, COLUMNS);
    let rows = matrices.len().div_ceil(columns).max(1);
    let width = layout.panel_width() * columns as i32 + BAR;
    let height = layout.panel_height() * rows as i32 + HEADING;
    surface::save(path, (width as u32, height as u32), |root| {
        heading(
            root,
            "Confusion on the test set",
            "Rows: true class, 100 % each. Columns: predicted class.",
        )?;
        let (_, body) = root.split_vertically(px(HEADING));
        if classes == 0 {
            return nothing(&body, "no predictions");
        }
        let (grid, bar) = body.split_horizontally(px(layout.panel_width() * columns as i32));
        let panels = grid.split_evenly((rows, columns));
        for (panel, (title, matrix)) in panels.iter().zip(matrices) {
            layout.draw(panel, title, matrix)?;
        }
        draw_bar(&bar, &layout)
    })
}

fn check_square(matrices: &[(&str, &[Vec<u32>])]) -> Result<(), ReportError> {
    for (title, matrix) in matrices {
        if let Some(row) = matrix.iter().find(|row| row.len() != matrix.len()) {
            return Err(ReportError::Input {
                what: format!("confusion matrix of {title}"),
                problem: format!("{} rows, but one of {} columns", matrix.len(), row.len()),
                remedy: "pass as many columns as rows, one a class",
            });
        }
    }
    Ok(())
}

/// Sizes in pixels, the same for all panels.
struct Layout {
    cell: i32,
    side: i32,
    names: Vec<String>,
    /// Room for the longest name.
    name_width: i32,
}

impl Layout {
    const TITLE: i32 = 34;
    const AXIS: i32 = 26;
    const GAP: i32 = 24;

    fn new(classes: usize, class_names: &[&str]) -> Self {
        let count = classes.max(1) as i32;
        let cell = (480 / count).clamp(2, 64);
        let name = |i: usize| match class_names.get(i) {
            Some(name) => fit(&class_label(name, i), SMALL, px(MAX_NAME)),
            None => i.to_string(),
        };
        let names: Vec<String> = if classes <= NAMED {
            (0..classes).map(name).collect()
        } else {
            let tick = |i: usize| {
                if i.is_multiple_of(10) { i.to_string() } else { String::new() }
            };
            (0..classes).map(tick).collect()
        };
        let widest = names.iter().map(|n| text_width(n, SMALL)).max().unwrap_or(0);
        Self { cell, side: cell * count, names, name_width: widest / px(1) + 10 }
    }

    fn left(&self) -> i32 {
        Self::GAP + Self::AXIS + self.name_width
    }

    /// At least wide enough for the picture's heading and a legible title.
    fn panel_width(&self) -> i32 {
        (self.left() + self.side + Self::GAP / 2).max(400)
    }

    fn panel_height(&self) -> i32 {
        Self::TITLE + self.side + self.name_width + Self::AXIS + Self::GAP
    }

    fn draw(&self, area: &Area<'_>, title: &str, matrix: &[Vec<u32>]) -> DrawResult {
        let (left, top) = (self.left(), Self::TITLE);
        let middle = px(left + self.side / 2);
        let room = 2 * middle.min(px(self.panel_width()) - middle);
        let title = fit(title, BODY, room);
        write(area, &title, (middle, px(14)), bold(BODY, HPos::Center, VPos::Center))?;
        for (i, row) in matrix.iter().enumerate() {
            self.draw_row(area, i, row)?;
        }
        self.draw_names(area, matrix.len())?;
        let frame = [(px(left), px(top)), (px(left + self.side), px(top + self.side))];
        area.draw(&Rectangle::new(frame, stroke(FADED, 2)))?;
        let axis = style(SMALL, INK, HPos::Center, VPos::Center);
        let below = px(top + self.side + self.name_width + Self::AXIS / 2);
        write(area, "predicted class", (middle, below), axis.clone())?;
        let turned = axis.transform(FontTransform::Rotate270);
        let beside = (px(Self::GAP / 2 + Self::AXIS / 2), px(top + self.side / 2));
        write(area, "true class", beside, turned)
    }

    fn draw_row(&self, area: &Area<'_>, row: usize, counts: &[u32]) -> DrawResult {
        let total: u64 = counts.iter().map(|&n| u64::from(n)).sum();
        for (column, &count) in counts.iter().enumerate() {
            let x = px(self.left() + column as i32 * self.cell);
            let y = px(Self::TITLE + row as i32 * self.cell);
            let cell = [(x, y), (x + px(self.cell), y + px(self.cell))];
            if total == 0 {
                area.draw(&Rectangle::new(cell, RGBColor(225, 225, 225).filled()))?;
                continue;
            }
            let share = f64::from(count) / total as f64;
            area.draw(&Rectangle::new(cell, shade(share).filled()))?;
            if counts.len() <= NUMBERED {
                // On white, zeros recede so that the confusions stand out.
                let ink = if share > 0.5 {
                    RGBColor(255, 255, 255)
                } else if share < 0.005 {
                    RGBColor(170, 170, 170)
                } else {
                    INK
                };
                let middle = (x + px(self.cell) / 2, y + px(self.cell) / 2);
                let number = format!("{:.0}", share * 100.0);
                write(area, &number, middle, style(SMALL, ink, HPos::Center, VPos::Center))?;
            }
        }
        Ok(())
    }

    fn draw_names(&self, area: &Area<'_>, classes: usize) -> DrawResult {
        let below = px(Self::TITLE + self.side + 7);
        let upright = px(self.name_width - 10) < px(self.cell - 4) || classes > NAMED;
        for (i, name) in self.names.iter().take(classes).enumerate() {
            let along = i as i32 * self.cell + self.cell / 2;
            let row = (px(self.left() - 7), px(Self::TITLE + along));
            write(area, name, row, style(SMALL, INK, HPos::Right, VPos::Center))?;
            let column = (px(self.left() + along), below);
            let text = if upright {
                style(SMALL, INK, HPos::Center, VPos::Top)
            } else {
                style(SMALL, INK, HPos::Right, VPos::Center).transform(FontTransform::Rotate270)
            };
            write(area, name, column, text)?;
        }
        Ok(())
    }
}

/// White to dark blue, even steps of lightness: the order survives any colour vision and grey
/// printing.
fn shade(share: f64) -> RGBColor {
    const STOPS: [(f64, f64, f64); 4] =
        [(255.0, 255.0, 255.0), (158.0, 202.0, 225.0), (49.0, 130.0, 189.0), (8.0, 48.0, 107.0)];
    let position = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let i = (position as usize).min(STOPS.len() - 2);
    let t = position - i as f64;
    let mix = |a: f64, b: f64| (a + (b - a) * t).round() as u8;
    let (from, to) = (STOPS[i], STOPS[i + 1]);
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

fn draw_bar(area: &Area<'_>, layout: &Layout) -> DrawResult {
    let (top, height) = (px(Layout::TITLE), px(layout.side));
    let (left, right) = (px(10), px(26));
    for y in 0..height {
        let share = 1.0 - f64::from(y) / f64::from(height);
        let line = [(left, top + y), (right, top + y + 1)];
        area.draw(&Rectangle::new(line, shade(share).filled()))?;
    }
    area.draw(&Rectangle::new([(left, top), (right, top + height)], stroke(FADED, 2)))?;
    for percent in [0, 25, 50, 75, 100] {
        let y = top + height - height * percent / 100;
        let label = format!("{percent} %");
        write(area, &label, (right + px(6), y), style(SMALL, INK, HPos::Left, VPos::Center))?;
    }
    Ok(())
}
