//! The ranking, the picture and the summary.

use std::borrow::Cow;

use anyhow::Result;
use l2rw::files::write_atomic;
use l2rw::report::{audit, plots, stats};
use serde::Serialize;

use crate::audit::Judged;
use crate::data::Audited;
use crate::options::Options;

/// A line of audit.csv.
#[derive(Serialize)]
struct Row<'a> {
    example: &'a str,
    given: &'a str,
    believed: &'a str,
    /// 0 for a label that is surely right, 1 for one that is surely wrong.
    score: f64,
    /// 1 for the most doubtful label.
    rank: usize,
    /// Mean probability of the given and of the believed class.
    probability_given: f64,
    probability_believed: f64,
    /// Mean weight in training, in units of the uniform weight.
    mean_weight: Option<f64>,
    /// Whether the label was made wrong, in trials.
    wrong: Option<bool>,
}

/// summary.json
#[derive(Serialize)]
struct Summary<'a> {
    data: &'a str,
    examples: usize,
    trusted: usize,
    model: &'a str,
    steps: u64,
    seconds: f64,
    /// Forward passes of one example; a backward pass counts twice.
    passes: u64,
    classes: Vec<Class<'a>>,
    trial: Option<Trial>,
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    examples: usize,
    /// Estimated share of its labels that are wrong.
    noise_rate: f64,
    /// The true share, in trials.
    true_noise_rate: Option<f64>,
}

/// How well wrong labels were found.
#[derive(Serialize)]
struct Trial {
    auroc: Option<f64>,
    average_precision: Option<f64>,
    auroc_of_mean_weight: Option<f64>,
}

/// What a run may write into its folder besides checkpoints.
pub const FILES: [&str; 5] =
    ["audit.csv", "trusted.csv", "summary.json", "suspects.png", "predictions.csv"];

/// What was found out.
pub struct Report<'a> {
    summary: Summary<'a>,
    /// Of each example: how doubtful its label is.
    scores: Vec<f64>,
    /// Examples, the most doubtful label first.
    order: Vec<usize>,
}

/// Writes the tables and the summary.
pub fn write<'a>(
    options: &Options,
    audited: &'a Audited,
    judged: &'a Judged,
) -> Result<Report<'a>> {
    let set = &audited.set;
    let probabilities: Vec<Vec<f64>> =
        (0..set.len()).map(|index| judged.beliefs.probabilities(index)).collect();
    let weights: Vec<Option<f64>> = (0..set.len()).map(|index| judged.ledger.mean(index)).collect();
    let scores = audit::scores(&set.labels, &probabilities);
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let name = |class: u32| set.class_names[class as usize].as_str();
    let believed = |index: usize| judged.beliefs.believed(index).unwrap_or(set.labels[index]);
    let mut csv = csv::Writer::from_writer(Vec::new());
    for (place, &index) in order.iter().enumerate() {
        let (given, believed) = (set.labels[index], believed(index));
        csv.serialize(Row {
            example: &as_text(&audited.names[index]),
            given: &as_text(name(given)),
            believed: &as_text(name(believed)),
            score: scores[index],
            rank: place + 1,
            probability_given: probabilities[index][given as usize],
            probability_believed: probabilities[index][believed as usize],
            mean_weight: weights[index],
            wrong: audited.wrong.as_ref().map(|wrong| wrong[index]),
        })?;
    }
    write_csv(options, "audit.csv", csv)?;
    write_trusted(options, audited)?;
    let summary = summary(options, audited, judged, &probabilities, &scores, &weights);
    let json = serde_json::to_string_pretty(&summary)?;
    write_atomic(&options.out.join("summary.json"), json.as_bytes())?;
    Ok(Report { summary, scores, order })
}

impl Report<'_> {
    /// Draws the picture.
    pub fn draw(&self, options: &Options, audited: &Audited) -> Result<()> {
        write_picture(options, audited, &self.order, &self.scores)
    }

    /// Prints the summary.
    pub fn print(&self, options: &Options) {
        println!("estimated share of wrong labels:");
        for class in &self.summary.classes {
            let truth = class.true_noise_rate.map(|t| format!("  (truly {:.1} %)", 100.0 * t));
            let (noise, truth) = (100.0 * class.noise_rate, truth.unwrap_or_default());
            println!("  {:<16} {:>6} examples {noise:>6.1} %{truth}", class.name, class.examples);
        }
        if let Some(trial) = &self.summary.trial {
            let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
            println!(
                "wrong labels found: AUROC {:.4}, average precision {:.4} \
                 (AUROC of the mean weight {:.4})",
                number(trial.auroc),
                number(trial.average_precision),
                number(trial.auroc_of_mean_weight)
            );
        }
        println!("{:.1} s; wrote {}", self.summary.seconds, options.out.display());
    }
}

fn summary<'a>(
    options: &Options,
    audited: &'a Audited,
    judged: &'a Judged,
    probabilities: &[Vec<f64>],
    scores: &[f64],
    weights: &[Option<f64>],
) -> Summary<'a> {
    let (set, clean) = (&audited.set, &audited.clean);
    let rates = audit::noise_rates(&set.labels, probabilities);
    let class = |(class, noise_rate): (usize, f64)| {
        let of_class: Vec<usize> =
            (0..set.len()).filter(|&i| set.labels[i] as usize == class).collect();
        let share = |wrong: &Vec<bool>| {
            of_class.iter().filter(|&&i| wrong[i]).count() as f64 / of_class.len().max(1) as f64
        };
        Class {
            name: &set.class_names[class],
            examples: of_class.len(),
            noise_rate,
            true_noise_rate: audited.wrong.as_ref().map(share),
        }
    };
    let trial = audited.wrong.as_ref().map(|wrong| {
        let lightness: Vec<f64> = weights.iter().map(|w| -w.unwrap_or(1.0)).collect();
        Trial {
            auroc: stats::auroc(scores, wrong),
            average_precision: stats::average_precision(scores, wrong),
            auroc_of_mean_weight: stats::auroc(&lightness, wrong),
        }
    });
    Summary {
        data: &set.name,
        examples: set.len(),
        trusted: clean.len(),
        model: &judged.model,
        steps: options.steps,
        seconds: judged.seconds,
        passes: judged.passes,
        classes: rates.into_iter().enumerate().map(class).collect(),
        trial,
    }
}

/// Who was trusted: to be looked at before the result is believed.
fn write_trusted(options: &Options, audited: &Audited) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["example", "label"])?;
    for (name, label) in audited.clean_names.iter().zip(&audited.clean.labels) {
        let class = &audited.clean.class_names[*label as usize];
        csv.write_record([as_text(name).as_bytes(), as_text(class).as_bytes()])?;
    }
    write_csv(options, "trusted.csv", csv)
}

fn write_csv(options: &Options, name: &str, csv: csv::Writer<Vec<u8>>) -> Result<()> {
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    Ok(write_atomic(&options.out.join(name), &bytes)?)
}

/// A name as a spreadsheet takes it for text: what begins like a formula gets an apostrophe.
fn as_text(name: &str) -> Cow<'_, str> {
    match name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => Cow::Owned(format!("'{name}")),
        false => Cow::Borrowed(name),
    }
}

fn write_picture(
    options: &Options,
    audited: &Audited,
    order: &[usize],
    scores: &[f64],
) -> Result<()> {
    let set = &audited.set;
    let name = |label: u32| {
        let class = label as usize;
        plots::class_label(&set.class_names[class], class)
    };
    let first = order.iter().take(plots::MAX_SUSPECTS);
    let suspects: Vec<plots::Suspect<'_>> = first
        .filter_map(|&index| {
            Some(plots::Suspect {
                image: set.image(index)?,
                given: name(set.labels[index]),
                truth: audited.wrong.as_ref().map(|_| name(audited.true_labels[index])),
                weight: scores[index] as f32,
            })
        })
        .collect();
    let path = options.out.join("suspects.png");
    plots::doubtful(&path, &suspects, set.height, set.width, set.channels)?;
    Ok(())
}

/// predictions.csv: given label, whether it is wrong, a column of probabilities a class.
pub fn write_predictions(
    options: &Options,
    audited: &Audited,
    probabilities: &[Vec<f64>],
) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let set = &audited.set;
    let head = ["example".to_owned(), "given".to_owned(), "wrong".to_owned()];
    let classes = set.class_names.iter().map(|name| as_text(name).into_owned());
    csv.write_record(head.into_iter().chain(classes))?;
    for (index, row) in probabilities.iter().enumerate() {
        let wrong = audited.wrong.as_ref().is_some_and(|wrong| wrong[index]);
        let head = [
            as_text(&audited.names[index]).into_owned(),
            set.labels[index].to_string(),
            u8::from(wrong).to_string(),
        ];
        csv.write_record(head.into_iter().chain(row.iter().map(f64::to_string)))?;
    }
    write_csv(options, "predictions.csv", csv)
}
