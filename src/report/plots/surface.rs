//! The bitmap that plotters draws on: anti-aliased lines and well-set text, then one PNG.

use std::convert::Infallible;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::prelude::WHITE;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};

use super::glyphs;
use crate::files::write_atomic;
use crate::report::ReportError;

/// Samples a side of each pixel of the finished picture. Everything is drawn on a grid this much
/// finer and averaged, which smooths the edges of all shapes at once.
pub const SAMPLES: i32 = 2;

/// Largest side of a picture in pixels; a larger request means nonsense input.
const MAX_SIDE: u32 = 16_384;

/// Where plots are drawn, in samples.
pub type Area<'a> = DrawingArea<Surface<'a>, Shift>;
/// The outcome of drawing.
pub type DrawResult = Result<(), DrawingAreaErrorKind<Infallible>>;

type Done = Result<(), DrawingErrorKind<Infallible>>;

/// Pixels of the finished picture → samples.
pub const fn px(pixels: i32) -> i32 {
    pixels * SAMPLES
}

/// Draws on a white picture of `width` × `height` pixels and puts it at `path` as PNG in one step.
pub fn save(
    path: &Path,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> DrawResult,
) -> Result<(), ReportError> {
    let draw_error = |reason: String| ReportError::Draw { path: path.to_owned(), reason };
    if width.max(height) > MAX_SIDE || width.min(height) == 0 {
        return Err(draw_error(format!(
            "the picture would be {width} × {height} pixels (at most {MAX_SIDE} a side); show \
             fewer methods or examples"
        )));
    }
    let (fine_width, fine_height) = (width * SAMPLES as u32, height * SAMPLES as u32);
    let mut samples = vec![255_u8; fine_width as usize * fine_height as usize * 3];
    {
        let root =
            Surface { samples: &mut samples, width: fine_width as i32, height: fine_height as i32 }
                .into_drawing_area();
        root.fill(&WHITE)
            .and_then(|()| draw(&root))
            .map_err(|error| draw_error(error.to_string()))?;
    }
    let pixels = average(&samples, width as usize, height as usize);
    let picture = RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| draw_error("the picture and its buffer differ in size".into()))?;
    let mut png = Cursor::new(Vec::new());
    picture
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|source| ReportError::Encode { path: path.to_owned(), source })?;
    Ok(write_atomic(path, png.get_ref())?)
}

fn average(samples: &[u8], width: usize, height: usize) -> Vec<u8> {
    let n = SAMPLES as usize;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let sum: u32 = (0..n * n)
                    .map(|i| (y * n + i / n) * width * n + x * n + i % n)
                    .map(|sample| u32::from(samples[sample * 3 + channel]))
                    .sum();
                let count = (n * n) as u32;
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    pixels
}

/// An RGB buffer as a plotters backend.
pub struct Surface<'a> {
    samples: &'a mut [u8],
    width: i32,
    height: i32,
}

impl Surface<'_> {
    fn blend(&mut self, (x, y): (i32, i32), color: BackendColor) {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return;
        }
        let start = (y as usize * self.width as usize + x as usize) * 3;
        let (red, green, blue) = color.rgb;
        for (old, new) in self.samples[start..start + 3].iter_mut().zip([red, green, blue]) {
            let mixed = f64::from(*old) * (1.0 - color.alpha) + f64::from(new) * color.alpha;
            *old = mixed.round() as u8;
        }
    }

    /// A line with round ends: all samples within half the width of the segment, so that the joins
    /// of a path need no care.
    fn capsule(&mut self, from: BackendCoord, to: BackendCoord, color: BackendColor, width: u32) {
        let radius = f64::from(width) / 2.0;
        let reach = radius.ceil() as i32 + 1;
        let (fx, fy) = (f64::from(from.0), f64::from(from.1));
        let (dx, dy) = (f64::from(to.0) - fx, f64::from(to.1) - fy);
        let length_squared = dx * dx + dy * dy;
        // Clamped first: a far-off end point must not cost a walk over billions of samples.
        let columns = (from.0.min(to.0).saturating_sub(reach)).max(0)
            ..=(from.0.max(to.0).saturating_add(reach)).min(self.width - 1);
        let rows = (from.1.min(to.1).saturating_sub(reach)).max(0)
            ..=(from.1.max(to.1).saturating_add(reach)).min(self.height - 1);
        for y in rows {
            for x in columns.clone() {
                let (px, py) = (f64::from(x) - fx, f64::from(y) - fy);
                let along = if length_squared > 0.0 {
                    ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (px - along * dx).hypot(py - along * dy);
                let coverage = (radius + 0.5 - distance).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    self.blend((x, y), color.mix(coverage));
                }
            }
        }
    }
}

impl DrawingBackend for Surface<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Done {
        self.blend(point, color);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Done {
        self.capsule(from, to, style.color(), style.stroke_width());
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Done {
        let mut previous = None;
        for point in path {
            if let Some(from) = previous {
                self.capsule(from, point, style.color(), style.stroke_width());
            }
            previous = Some(point);
        }
        Ok(())
    }

    /// A filled rectangle excludes its right and bottom edge, so that neighbours that share an edge
    /// neither overlap nor leave a gap.
    fn draw_rect<S: BackendStyle>(
        &mut self,
        (x0, y0): BackendCoord,
        (x1, y1): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Done {
        if !fill {
            let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
            return self.draw_path(corners, style);
        }
        for y in y0.min(y1).max(0)..y0.max(y1).min(self.height) {
            for x in x0.min(x1).max(0)..x0.max(x1).min(self.width) {
                self.blend((x, y), style.color());
            }
        }
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, pos: BackendCoord) -> Done {
        let (width, height) = self.estimate_text_size(text, style)?;
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Right => -(width as i32),
            HPos::Center => -(width as i32) / 2,
        };
        let base = match style.anchor().v_pos {
            VPos::Top => height as i32,
            VPos::Center => (height as i32) / 2,
            VPos::Bottom => 0,
        };
        let transform = style.transform();
        let color = style.color();
        // The fonts at hand have one weight; a second strike one sample on makes a bold.
        let strikes = if matches!(style.style(), FontStyle::Bold) { 0..2 } else { 0..1 };
        for strike in strikes {
            glyphs::rasterize(text, style.size(), |x, y, coverage| {
                let (x, y) = transform.transform(x + left + strike, y + base);
                self.blend((pos.0 + x, pos.1 + y), color.mix(f64::from(coverage)));
            });
        }
        Ok(())
    }

    /// Width by height of capitals: descenders hang below, as they do in print.
    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((
            glyphs::width(text, style.size()).ceil() as u32,
            glyphs::cap_height(style.size()).ceil() as u32,
        ))
    }
}
