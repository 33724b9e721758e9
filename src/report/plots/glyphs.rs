//! Text as coverage masks, from fonts compiled into the program: plots need no system font.
//!
//! plotters has a text renderer of its own, but it drops each glyph's side bearing and its vertical
//! metrics, which shows as uneven spacing and labels off their ticks.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

/// Height of a capital over the em of Ubuntu Light; text is anchored by its capitals.
const CAP_HEIGHT: f64 = 0.69;

/// In order of preference: the second fills in for characters that the first lacks.
static FONTS: LazyLock<Vec<FontRef<'static>>> = LazyLock::new(|| {
    [epaint_default_fonts::UBUNTU_LIGHT, epaint_default_fonts::HACK_REGULAR]
        .into_iter()
        .filter_map(|bytes| FontRef::try_from_slice(bytes).ok())
        .collect()
});

/// Height in pixels from the base line to the top of capitals, at `size` pixels an em.
pub fn cap_height(size: f64) -> f64 {
    size * CAP_HEIGHT
}

/// Width of `text` in pixels at a font size of `size` pixels an em.
pub fn width(text: &str, size: f64) -> f64 {
    let mut end = 0.0;
    layout(text, size, |_, _, _, advance_end| end = advance_end);
    f64::from(end)
}

/// `text`, or as much of its beginning as fits into `room` pixels with an ellipsis after it.
pub fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let shortened: String = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if width(&shortened, size) <= room {
            return shortened;
        }
    }
    String::new()
}

/// Whether the fonts have all characters of `text`. What they lack would be drawn as a box, and
/// scripts that they lack need more than one glyph after the other.
pub fn is_legible(text: &str) -> bool {
    let has = |character| FONTS.iter().any(|font| font.glyph_id(character).0 != 0);
    text.chars().all(has)
}

/// Calls `pixel(x, y, coverage)` for every pixel that `text` touches; (0, 0) is the start of the
/// base line, y points down, coverage is 0 to 1.
pub fn rasterize(text: &str, size: f64, mut pixel: impl FnMut(i32, i32, f32)) {
    layout(text, size, |font, glyph, x, _| {
        let glyph = glyph.with_scale_and_position(scale(font, size), point(x, 0.0));
        let Some(outline) = font.outline_glyph(glyph) else {
            return; // a space
        };
        let corner = outline.px_bounds().min;
        let (left, top) = (corner.x as i32, corner.y as i32);
        outline.draw(|dx, dy, coverage| pixel(left + dx as i32, top + dy as i32, coverage));
    });
}

/// Calls `place(font, glyph, x, x after its advance)` for every character.
fn layout(text: &str, size: f64, mut place: impl FnMut(&FontRef<'static>, GlyphId, f32, f32)) {
    let mut x = 0.0;
    let mut previous: Option<(usize, GlyphId)> = None;
    for character in text.chars() {
        let Some((index, font)) = font_for(character) else {
            return;
        };
        let scaled = font.as_scaled(scale(font, size));
        let glyph = scaled.glyph_id(character);
        if let Some((_, before)) = previous.filter(|&(other, _)| other == index) {
            x += scaled.kern(before, glyph);
        }
        let after = x + scaled.h_advance(glyph);
        place(font, glyph, x, after);
        x = after;
        previous = Some((index, glyph));
    }
}

fn font_for(character: char) -> Option<(usize, &'static FontRef<'static>)> {
    FONTS
        .iter()
        .enumerate()
        .find(|(_, font)| font.glyph_id(character).0 != 0)
        .or_else(|| FONTS.iter().enumerate().next())
}

/// `ab_glyph` scales by ascent minus descent; everybody else means the em.
fn scale(font: &FontRef<'static>, size: f64) -> PxScale {
    let em = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(size as f32 * font.height_unscaled() / em)
}
