//! The page of an audit: one file for a browser, in which labels are looked through and decided.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use l2rw::data::Dataset;
use serde::Serialize;

use super::output::Report;
use crate::data::Labelled;

const TEMPLATE: &str = include_str!("page.html");

/// Pictures larger than this are not kept without loss.
const SMALL: usize = 64 * 64;
const QUALITY: u8 = 85;

/// What the page shows; names are short because there is one of each a suspect.
#[derive(Serialize)]
struct Content<'a> {
    /// Tells runs apart in the browser's store.
    run: String,
    what: String,
    belief: String,
    command: String,
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

/// The page with the first `most` suspects, for `command` to be run next.
pub fn page(
    report: &Report<'_>,
    audited: &Labelled,
    most: usize,
    command: String,
) -> Result<String> {
    let set = &audited.set;
    let suspects = report.order.iter().take(most).map(|&index| {
        let row = &report.probabilities[index];
        let (g, b) = (set.labels[index], report.believed[index]);
        Ok(Suspect {
            n: &audited.names[index],
            g,
            b,
            s: report.scores[index],
            p: row[g as usize],
            q: row[b as usize],
            i: picture(set, index)?,
        })
    });
    let suspects = suspects.collect::<Result<Vec<_>>>()?;
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
        command,
        classes: &set.class_names,
        rates: rates.collect(),
        suspects,
    };
    // A name must not end the element that it stands in.
    let json = serde_json::to_string(&content)?.replace('<', "\\u003c");
    Ok(TEMPLATE.replacen("{{DATA}}", &json, 1))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// As the network sees it, as a data URL.
fn picture(set: &Dataset, index: usize) -> Result<Option<String>> {
    let Some(pixels) = set.image(index) else { return Ok(None) };
    let (width, height) = (set.width as u32, set.height as u32);
    let color = if set.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    let kind = if set.height * set.width <= SMALL {
        PngEncoder::new(&mut bytes).write_image(pixels, width, height, color)?;
        "png"
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
        encoder.write_image(pixels, width, height, color)?;
        "jpeg"
    };
    Ok(Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))))
}
