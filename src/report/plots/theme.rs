//! One look for all plots: colours, sizes, and the few shapes that they share.

use std::convert::Infallible;
use std::ops::Range;

use plotters::chart::MeshStyle;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::glyphs;
use super::surface::{Area, DrawResult, SAMPLES, Surface, px};

/// Okabe and Ito's palette, which people with any colour vision can tell apart, without its yellow
/// (too pale on white).
pub const PALETTE: [RGBColor; 7] = [VERMILLION, STRONG_BLUE, GREEN_BLUE, PINK, ORANGE, SKY, INK];
/// Bad: baselines' usual colour, corrupted examples, wrong labels.
pub const VERMILLION: RGBColor = RGBColor(213, 94, 0);
/// Good: clean examples.
pub const STRONG_BLUE: RGBColor = RGBColor(0, 114, 178);
/// Right labels.
pub const GREEN_BLUE: RGBColor = RGBColor(0, 158, 115);
const PINK: RGBColor = RGBColor(204, 121, 167);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
/// Text and axes.
pub const INK: RGBColor = RGBColor(38, 38, 38);
/// Text that is not meant to catch the eye.
pub const FADED: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
const GRID: RGBColor = RGBColor(228, 228, 228);

/// Font sizes, pixels an em.
pub const TITLE: i32 = 22;
/// Titles of panels and axes, legends.
pub const BODY: i32 = 16;
/// Ticks, captions, numbers in cells.
pub const SMALL: i32 = 14;

/// A text style; `size` in pixels of the finished picture, anchored as `(h, v)`.
pub fn style(size: i32, color: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    (FontFamily::SansSerif, f64::from(px(size))).into_font().color(&color).pos(Pos::new(h, v))
}

/// The same in bold.
pub fn bold(size: i32, h: HPos, v: VPos) -> TextStyle<'static> {
    (FontFamily::SansSerif, f64::from(px(size)), FontStyle::Bold)
        .into_font()
        .color(&INK)
        .pos(Pos::new(h, v))
}

/// Draws `text` at `at` (samples).
pub fn write(area: &Area<'_>, text: &str, at: (i32, i32), style: TextStyle<'static>) -> DrawResult {
    area.draw(&Text::new(text.to_owned(), at, style))
}

/// Width of `text` in samples at a font size in pixels.
pub fn text_width(text: &str, size: i32) -> i32 {
    glyphs::width(text, f64::from(px(size))).ceil() as i32
}

/// `text` cut to `room` samples at a font size in pixels.
pub fn fit(text: &str, size: i32, room: i32) -> String {
    glyphs::fit(text, f64::from(px(size)), f64::from(room))
}

/// What a picture calls class `number`: its name where the fonts can write it (Latin, Greek and
/// Cyrillic letters), and its number otherwise.
pub fn class_label(name: &str, number: usize) -> String {
    if glyphs::is_legible(name) { name.to_owned() } else { format!("class {number}") }
}

/// The picture's title at its top left, and a line of explanation below it.
pub fn heading(area: &Area<'_>, title: &str, explanation: &str) -> DrawResult {
    let room = area.dim_in_pixel().0 as i32 - px(48);
    let title = fit(title, TITLE, room);
    write(area, &title, (px(24), px(20)), bold(TITLE, HPos::Left, VPos::Top))?;
    let explanation = fit(explanation, SMALL, room);
    let place = (px(24), px(48));
    write(area, &explanation, place, style(SMALL, FADED, HPos::Left, VPos::Top))
}

/// Height that [`heading`] takes, in pixels.
pub const HEADING: i32 = 72;

/// Says in the middle of an area why there is nothing in it.
pub fn nothing(area: &Area<'_>, why: &str) -> DrawResult {
    let (width, height) = area.dim_in_pixel();
    let middle = (width as i32 / 2, height as i32 / 2);
    let why = fit(why, BODY, width as i32 - px(16));
    write(area, &why, middle, style(BODY, FADED, HPos::Center, VPos::Center))
}

/// `color` mixed with white: `strength` 1 is the colour, 0 is white. For opaque pale lines, because
/// translucent ones would show their joins.
pub fn pale(color: RGBColor, strength: f64) -> RGBColor {
    let mix = |c: u8| (255.0 - (255.0 - f64::from(c)) * strength).round() as u8;
    RGBColor(mix(color.0), mix(color.1), mix(color.2))
}

/// A line style, `width` in halves of a pixel (that is, in samples).
pub fn stroke(color: RGBColor, width: u32) -> ShapeStyle {
    color.stroke_width(width * SAMPLES as u32 / 2)
}

/// Whole numbers with thousands separated, as in 80,000.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A chart with numbers along both axes.
pub type Chart<'a, 'b> = ChartContext<'a, Surface<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An empty chart under its title, with `right` pixels of margin beside it.
pub fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    right: i32,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<Infallible>> {
    let title = fit(title, BODY, area.dim_in_pixel().0 as i32 - px(90));
    let place = (px(78), px(10));
    write(area, &title, place, style(BODY, INK, HPos::Left, VPos::Top))?;
    ChartBuilder::on(area)
        .margin_top(px(34))
        .margin_right(px(right))
        .margin_bottom(px(14))
        .margin_left(px(8))
        .x_label_area_size(px(48))
        .y_label_area_size(px(70))
        .build_cartesian_2d(x, y)
}

/// Gives a chart's axes and grid the common look.
pub fn look(mesh: &mut MeshStyle<'_, '_, RangedCoordf64, RangedCoordf64, Surface<'_>>) {
    mesh.bold_line_style(stroke(GRID, 2))
        .light_line_style(TRANSPARENT)
        .axis_style(stroke(FADED, 2))
        .label_style(style(SMALL, FADED, HPos::Left, VPos::Top))
        .axis_desc_style(style(BODY, INK, HPos::Left, VPos::Top))
        .set_all_tick_mark_size(px(4));
}
