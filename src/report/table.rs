//! The methods of a run beside the published figures, as text.

use super::published::{PublishedDataset, Setting, published};
use super::results::{MethodResult, Results};

/// One column: its title and whether it holds numbers, which stand right-aligned.
pub type Column = (&'static str, bool);

/// A text table of the methods of a run: accuracy beside the published one, speed, and how well the
/// weights find corrupted examples.
///
/// `setting` chooses the published table; without one (another data set, say) that column is left
/// out. What does not apply or was not measured shows as "–"; where the weights are known and no
/// label is wrong, what is about wrong labels is left out. Ends in a newline.
pub fn render(results: &Results, setting: Option<(Setting, PublishedDataset)>) -> String {
    let mut columns: Vec<Column> = vec![("method", false), ("test accuracy", true)];
    if setting.is_some() {
        columns.push(("published", true));
    }
    columns.push(("s/step", true));
    let noisy = has_wrong_labels(results);
    if noisy {
        columns.extend([("weight on corrupted (share)", true), ("noise AUROC", true)]);
    }
    columns.push(("zero-weight steps", true));
    let row = |method| cells(method, setting, noisy);
    let rows: Vec<Vec<String>> = results.methods.iter().map(row).collect();
    let mut text = align(&columns, &rows);
    text.push('\n');
    for note in notes(results, setting) {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

/// Whether there are wrong labels as far as the results know.
fn has_wrong_labels(results: &Results) -> bool {
    let reweighting = results.methods.iter().filter_map(|method| method.reweighting.as_ref());
    let shares: Vec<f64> = reweighting.map(|r| r.corrupted_share).collect();
    shares.is_empty() || shares.iter().any(|share| *share != 0.0)
}

fn cells(
    method: &MethodResult,
    setting: Option<(Setting, PublishedDataset)>,
    noisy: bool,
) -> Vec<String> {
    let mark = if method.interrupted { "*" } else { "" };
    let mut cells = vec![format!("{}{mark}", method.name), percent(method.test_accuracy)];
    if let Some((setting, dataset)) = setting {
        cells.push(match published(setting, dataset, &method.name) {
            Some(figure) => match figure.interval {
                Some(interval) => format!("{:.2} ± {interval:.2} %", figure.mean),
                None => format!("{:.1} %", figure.mean),
            },
            None => absent(),
        });
    }
    cells.push(seconds(method.seconds_per_step));
    if noisy {
        cells.extend(match &method.reweighting {
            Some(r) => [
                format!("{} ({})", percent(r.corrupted_weight_share), percent(r.corrupted_share)),
                if r.noise_auc.is_finite() { format!("{:.3}", r.noise_auc) } else { absent() },
            ],
            None => [absent(), absent()],
        });
    }
    let zero_weight_steps = method.reweighting.as_ref().map(|r| r.zero_weight_steps.to_string());
    cells.push(zero_weight_steps.unwrap_or_else(absent));
    cells
}

fn absent() -> String {
    "–".to_owned()
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", share * 100.0) } else { absent() }
}

/// Three significant digits: steps take from a tenth of a millisecond to seconds.
fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return absent();
    }
    let decimals = match seconds {
        s if s >= 1.0 => 2,
        s if s >= 0.1 => 3,
        s if s >= 0.01 => 4,
        _ => 5,
    };
    format!("{seconds:.decimals$}")
}

fn notes(results: &Results, setting: Option<(Setting, PublishedDataset)>) -> Vec<String> {
    let mut notes = Vec::new();
    for method in results.methods.iter().filter(|m| m.interrupted) {
        notes.push(format!("* {} was interrupted after {} steps.", method.name, method.steps));
    }
    for method in results.methods.iter().filter(|m| m.skipped_steps > 0) {
        notes.push(format!(
            "{} steps of {} were left out: a number in them was not finite.",
            method.skipped_steps, method.name
        ));
    }
    if has_wrong_labels(results) && results.methods.iter().any(|m| m.reweighting.is_some()) {
        notes.push(
            "Weight on corrupted: share of all example weight; in brackets what uniform weights \
             would give."
                .to_owned(),
        );
    }
    if let Some((setting, _)) = setting {
        let (paper, figures) = setting.paper();
        notes.push(format!("Published: {paper}, {} on CIFAR,", setting.provenance()));
        notes.push(format!("{figures}: only the paper preset compares with them."));
    }
    notes
}

/// A text table, every column as wide as its widest cell; a character counts as one column. Ends in
/// a newline.
pub fn align(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, (title, _))| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell));
            cells.chain([width(title)]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[&str]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(columns.iter().zip(&widths))
            .map(
                |(cell, ((_, number), &width))| {
                    if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let rules: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
    let mut text = line(&titles);
    text += &line(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}
