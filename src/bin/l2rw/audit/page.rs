//! The page of an audit: one file for a browser, in which labels are looked through and decided.

use std::path::PathBuf;

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use l2rw::data::{self, DataError, PictureOptions, Thumbnail};
use serde::Serialize;

use super::Options;
use super::decisions::COLUMNS;
use super::output::Report;
use crate::cells::FORMULA;
use crate::data::Labelled;
use crate::html;

const TEMPLATE: &str = include_str!("page.html");

/// Pixels of a picture that is kept without loss, unless there are many.
const SMALL: usize = 64 * 64;
const QUALITY: u8 = 80;

/// Longest side of a picture on the page, in pixels.
const LONGEST_SIDE: usize = 160;
/// Pixels of all pictures on the page: 500 squares of the largest side, 24 MB where they show
/// nothing but noise, and a tenth of that where they are smooth. More pictures are smaller ones.
const MOST_PIXELS: usize = 500 * LONGEST_SIDE * LONGEST_SIDE;
/// No picture is smaller than this for there being many.
const SHORTEST_SIDE: usize = 32;

/// What the page shows; names are short because there is one of each a suspect.
#[derive(Serialize)]
struct Content<'a> {
    /// Tells runs apart in the browser's store.
    run: String,
    what: String,
    belief: String,
    command: String,
    /// How decisions are exported: the names of the columns, and what a cell must not begin with.
    columns: [&'static str; 3],
    formula: String,
    classes: &'a [String],
    rates: Vec<Rate<'a>>,
    suspects: Vec<Suspect<'a>>,
}

#[derive(Serialize)]
struct Rate<'a> {
    name: &'a str,
    examples: usize,
    rate: Option<f64>,
}

#[derive(Serialize)]
struct Suspect<'a> {
    /// Name.
    n: &'a str,
    /// Given and believed class.
    g: u32,
    b: u32,
    /// Score, and probabilities of both classes.
    s: f64,
    p: f64,
    q: f64,
    /// Picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<String>,
}

/// The page with the first suspects, as many as `options` say, and what is to be run next.
pub fn page(report: &Report<'_>, audited: &Labelled, options: &Options) -> Result<String> {
    let set = &audited.set;
    let shown = &report.order[..report.order.len().min(options.suspects)];
    let pictures = pictures(audited, shown, &options.data.pictures.options())?;
    let suspects = shown.iter().zip(pictures).map(|(&index, i)| {
        let row = &report.probabilities[index];
        let (g, b) = (set.labels[index], report.believed[index]);
        let n = &audited.names[index];
        Suspect { n, g, b, s: report.scores[index], p: row[g as usize], q: row[b as usize], i }
    });
    let suspects: Vec<_> = suspects.collect();
    let summary = &report.summary;
    let rates = summary.classes.iter().map(|class| Rate {
        name: class.name,
        examples: class.examples,
        rate: class.noise_rate.filter(|rate| rate.is_finite()),
    });
    let content = Content {
        run: report.run.clone(),
        what: format!(
            "{}: {} examples of {} classes, and {} trusted ones. The {} most doubtful are here; \
             audit.csv has all.",
            set.name,
            set.len(),
            set.classes(),
            audited.clean.len(),
            suspects.len()
        ),
        belief: sentence(&summary.judgement.text()),
        command: options.command_with_decisions(),
        columns: COLUMNS,
        formula: FORMULA.iter().collect(),
        classes: &set.class_names,
        rates: rates.collect(),
        suspects,
    };
    html::page(TEMPLATE, &content)
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// Data URLs of these examples, where they are pictures: made from the files where there are any,
/// and otherwise as the network sees them.
fn pictures(
    audited: &Labelled,
    shown: &[usize],
    options: &PictureOptions,
) -> Result<Vec<Option<String>>> {
    let set = &audited.set;
    let as_seen = |index: usize| {
        let Some(pixels) = set.image(index) else { return Ok(None) };
        data_url(pixels, [set.height, set.width, set.channels], true).map(Some)
    };
    let Some(notes) = &audited.pictures else {
        return shown.iter().map(|&index| as_seen(index)).collect();
    };
    let names = || shown.iter().map(|&index| &audited.names[index]);
    let files: Vec<PathBuf> =
        names().map(|name| data::path_of_text(name).unwrap_or_else(|| name.into())).collect();
    let side = longest_side(shown.len());
    let thumbnails = data::thumbnails(&files, side, options, notes);
    let is_few = side == LONGEST_SIDE;
    let url = |(thumbnail, &index): (Result<Thumbnail, DataError>, &usize)| match thumbnail {
        Ok(Thumbnail { height, width, pixels }) => {
            data_url(&pixels, [height, width, 3], is_few).map(Some)
        }
        Err(error) => {
            log::warn!("{error}\nThe page shows it as it was read before.");
            as_seen(index)
        }
    };
    thumbnails.into_iter().zip(shown).map(url).collect()
}

/// In pixels, of pictures on a page with so many.
fn longest_side(pictures: usize) -> usize {
    (MOST_PIXELS / pictures.max(1)).isqrt().clamp(SHORTEST_SIDE, LONGEST_SIDE)
}

fn data_url(
    pixels: &[u8],
    [height, width, channels]: [usize; 3],
    may_be_lossless: bool,
) -> Result<String> {
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    let (w, h) = (width as u32, height as u32);
    let kind = if may_be_lossless && height * width <= SMALL {
        PngEncoder::new(&mut bytes).write_image(pixels, w, h, color)?;
        "png"
    } else {
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(pixels, w, h, color)?;
        "jpeg"
    };
    Ok(html::data_url(kind, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pictures_are_smaller_and_no_more_pixels() {
        assert_eq!([0, 1, 500].map(longest_side), [160; 3]);
        assert_eq!(longest_side(501), 159);
        assert!(2000 * longest_side(2000).pow(2) <= MOST_PIXELS);
        assert_eq!(longest_side(1_000_000), 32);
    }
}
