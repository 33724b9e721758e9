//! The ranking, the page, the picture and the summary.

use std::path::Path;

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::files::write_atomic;
use l2rw::report::{audit, plots, stats};
use serde::Serialize;

use super::Options;
use super::judgement::Judgement;
use super::page::page;
use super::runs::Judged;
use crate::cells::{as_text, write_csv};
use crate::data::Labelled;
use crate::training;

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
pub struct Summary<'a> {
    data: &'a str,
    examples: usize,
    trusted: usize,
    /// Examples that decisions are known about: they are not ranked.
    decided: usize,
    /// How the data was read and what was left out.
    notes: &'a [String],
    model: &'a str,
    steps: u64,
    pub seconds: f64,
    /// Forward passes of one example; a backward pass counts twice.
    passes: u64,
    /// Of all trainings, those that were left out since a number was not finite.
    skipped_steps: u64,
    pub judgement: Judgement,
    pub classes: Vec<Class<'a>>,
    trial: Option<Trial>,
}

#[derive(Serialize)]
pub struct Class<'a> {
    pub name: &'a str,
    pub examples: usize,
    /// Estimated share of its labels that are wrong; none where the network may be guessing.
    pub noise_rate: Option<f64>,
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
pub const FILES: [&str; 6] =
    ["audit.csv", "trusted.csv", "summary.json", "audit.html", "suspects.png", "predictions.csv"];

/// What was found out.
pub struct Report<'a> {
    pub summary: Summary<'a>,
    /// Of each example: probabilities of the classes, `[n][classes]`.
    pub probabilities: Vec<Vec<f64>>,
    /// The most probable class.
    pub believed: Vec<u32>,
    /// How doubtful the label is.
    pub scores: Vec<f64>,
    /// Examples that are not decided, the most doubtful label first.
    pub order: Vec<usize>,
    /// Tells this run's data from that of others.
    pub run: String,
    weights: Vec<Option<f64>>,
}

impl<'a> Report<'a> {
    /// Ranks the examples.
    pub fn new(options: &Options, audited: &'a Labelled, judged: &'a Judged, run: String) -> Self {
        let (set, totals) = (&audited.set, &judged.done.totals);
        let probabilities = totals.probabilities.clone();
        let weights: Vec<Option<f64>> =
            (0..set.len()).map(|index| judged.done.account.ledger().mean(index)).collect();
        let judgement = Judgement::of(&audited.clean, &totals.trusted, judged.held_out);
        let scores = audit::scores(&set.labels, &probabilities, judgement.mistakes());
        let mut order: Vec<usize> = (0..set.len()).filter(|i| !audited.decided[*i]).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let believed = probabilities.iter().map(|row| most_probable(row)).collect();
        let summary = Summary {
            data: &set.name,
            examples: set.len(),
            trusted: audited.clean.len(),
            decided: set.len() - order.len(),
            notes: &audited.notes,
            model: &judged.model,
            steps: options.training.audit_steps(set),
            seconds: totals.counts.seconds,
            passes: totals.counts.passes,
            skipped_steps: totals.counts.skipped_steps,
            classes: classes(audited, &probabilities, judgement.is_believable()),
            trial: audited.wrong.as_ref().map(|wrong| Trial::of(wrong, &scores, &weights)),
            judgement,
        };
        Self { summary, probabilities, believed, scores, order, run, weights }
    }

    /// Writes the tables, the summary and the page; the picture, which is large, is left for later.
    pub fn write(&self, options: &Options, audited: &Labelled) -> Result<()> {
        let out = |name: &str| options.out.join(name);
        write_csv(&out("audit.csv"), self.ranking(audited)?)?;
        write_trusted(&out("trusted.csv"), audited)?;
        let json = serde_json::to_string_pretty(&self.summary)?;
        write_atomic(&out("summary.json"), json.as_bytes())?;
        let page = page(self, audited, options)?;
        Ok(write_atomic(&out("audit.html"), page.as_bytes())?)
    }

    fn ranking(&self, audited: &Labelled) -> Result<csv::Writer<Vec<u8>>> {
        let set = &audited.set;
        let name = |class: u32| set.class_names[class as usize].as_str();
        let mut csv = csv::Writer::from_writer(Vec::new());
        for (place, &index) in self.order.iter().enumerate() {
            let (given, believed) = (set.labels[index], self.believed[index]);
            let row = &self.probabilities[index];
            csv.serialize(Row {
                example: &as_text(&audited.names[index]),
                given: &as_text(name(given)),
                believed: &as_text(name(believed)),
                score: self.scores[index],
                rank: place + 1,
                probability_given: row[given as usize],
                probability_believed: row[believed as usize],
                mean_weight: self.weights[index],
                wrong: audited.wrong.as_ref().map(|wrong| wrong[index]),
            })?;
        }
        Ok(csv)
    }

    /// Draws the picture, where the examples are pictures.
    pub fn draw(&self, options: &Options, audited: &Labelled) -> Result<()> {
        let set = &audited.set;
        if set.values.as_bytes().is_none() {
            return Ok(());
        }
        let name = |label: u32| {
            let class = label as usize;
            plots::class_label(&set.class_names[class], class)
        };
        let first = self.order.iter().take(plots::MAX_SUSPECTS);
        let suspects: Vec<plots::Suspect<'_>> = first
            .filter_map(|&index| {
                Some(plots::Suspect {
                    image: set.image(index)?,
                    given: name(set.labels[index]),
                    truth: audited.wrong.as_ref().map(|_| name(audited.true_labels[index])),
                    weight: self.scores[index] as f32,
                })
            })
            .collect();
        let path = options.out.join("suspects.png");
        plots::doubtful(&path, &suspects, set.height, set.width, set.channels)?;
        Ok(())
    }

    /// Prints the summary.
    pub fn print(&self, options: &Options) {
        println!("{}", self.summary.judgement.text());
        training::say_skipped(self.summary.skipped_steps);
        if self.summary.judgement.is_believable() {
            println!("estimated share of wrong labels:");
        }
        for class in &self.summary.classes {
            let noise = class.noise_rate.map(|rate| format!("{:>6.1} %", 100.0 * rate));
            let truth = class.true_noise_rate.map(|t| format!("  (truly {:.1} %)", 100.0 * t));
            let (noise, truth) = (noise.unwrap_or_default(), truth.unwrap_or_default());
            println!("  {:<16} {:>6} examples {noise}{truth}", class.name, class.examples);
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
        let page = options.out.join("audit.html");
        println!(
            "{:.1} s; open {} to look through the labels",
            self.summary.seconds,
            page.display()
        );
    }
}

fn most_probable(row: &[f64]) -> u32 {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or_default() as u32
}

fn classes<'a>(
    audited: &'a Labelled,
    probabilities: &[Vec<f64>],
    believable: bool,
) -> Vec<Class<'a>> {
    let set = &audited.set;
    let class = |(class, noise_rate): (usize, f64)| {
        let of_class: Vec<usize> =
            (0..set.len()).filter(|&i| set.labels[i] as usize == class).collect();
        let share = |wrong: &Vec<bool>| {
            of_class.iter().filter(|&&i| wrong[i]).count() as f64 / of_class.len().max(1) as f64
        };
        Class {
            name: &set.class_names[class],
            examples: of_class.len(),
            noise_rate: (believable && noise_rate.is_finite()).then_some(noise_rate),
            true_noise_rate: audited.wrong.as_ref().map(share),
        }
    };
    let rates = audit::noise_rates(&set.labels, probabilities);
    rates.into_iter().enumerate().map(class).collect()
}

impl Trial {
    fn of(wrong: &[bool], scores: &[f64], weights: &[Option<f64>]) -> Self {
        let lightness: Vec<f64> = weights.iter().map(|w| -w.unwrap_or(1.0)).collect();
        Self {
            auroc: stats::auroc(scores, wrong),
            average_precision: stats::average_precision(scores, wrong),
            auroc_of_mean_weight: stats::auroc(&lightness, wrong),
        }
    }
}

/// Who was trusted: to be looked at before the result is believed.
fn write_trusted(path: &Path, audited: &Labelled) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["example", "label"])?;
    for (name, label) in audited.clean_names.iter().zip(&audited.clean.labels) {
        let class = &audited.clean.class_names[*label as usize];
        csv.write_record([as_text(name).as_bytes(), as_text(class).as_bytes()])?;
    }
    write_csv(path, csv)
}

/// predictions.csv: given label, whether it is wrong, a column of probabilities a class.
pub fn write_predictions(
    path: &Path,
    (set, names): (&Dataset, &[String]),
    wrong: Option<&[bool]>,
    probabilities: &[Vec<f64>],
) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head = ["example".to_owned(), "given".to_owned(), "wrong".to_owned()];
    let classes = set.class_names.iter().map(|name| as_text(name).into_owned());
    csv.write_record(head.into_iter().chain(classes))?;
    for (index, row) in probabilities.iter().enumerate() {
        let wrong = wrong.is_some_and(|wrong| wrong[index]);
        let head = [
            as_text(&names[index]).into_owned(),
            set.labels[index].to_string(),
            u8::from(wrong).to_string(),
        ];
        csv.write_record(head.into_iter().chain(row.iter().map(f64::to_string)))?;
    }
    write_csv(path, csv)
}
