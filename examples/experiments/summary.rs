//! What all runs of an experiment have shown: a table and a picture.

use std::path::Path;

use anyhow::Result;
use l2rw::report::plots::{self, Line, Row, Titles};
use l2rw::report::runs::{self, Estimate, Group, Run};
use l2rw::report::{Published, published, table};
use serde_json::Value;

use super::output::published_table;
use super::study::{Figure, Study};

/// The picture of all runs.
pub const PICTURE: &str = "figure.png";

/// The runs of this experiment below a folder.
fn of(study: &Study, out: &Path) -> Result<Vec<Run>> {
    let mut all = runs::read(out)?;
    all.retain(|run| run.results.config["experiment"] == study.name);
    Ok(all)
}

/// Draws what there is.
pub fn write(study: &Study, out: &Path) -> Result<()> {
    let runs = of(study, out)?;
    let groups = runs::group(&runs);
    let path = out.join(PICTURE);
    let Some(last) = groups.last() else { return Ok(()) };
    let count = groups.iter().map(|group| group.runs.len()).max().unwrap_or_default();
    let data = last.settings.get("data").and_then(Value::as_str).unwrap_or_default();
    let explanation = match count {
        1 => format!("{data}; one run of each"),
        _ => format!("{data}; means of up to {count} runs, with 95 % intervals"),
    };
    let titles = |title, x, y| Titles { title, explanation: &explanation, x, y };
    let x = study.axis();
    match study.figure {
        Figure::Methods | Figure::Weights => {
            let rows = groups.iter().flat_map(|group| {
                group.methods().into_iter().map(|method| Row {
                    published: published_of(study, group, &method.name),
                    measured: method.estimate().map(per_cent),
                    name: match value(study, group) {
                        Some(value) if groups.len() > 1 => format!("{}, {value}", method.name),
                        _ => method.name,
                    },
                })
            });
            let rows: Vec<Row> = rows.collect();
            plots::rows(&path, &format!("{}: test accuracy", study.name), "published", &rows)?;
        }
        Figure::Error => {
            let title = "Test error against imbalance";
            let error = |e: Estimate| Estimate { mean: 100.0 - e.mean, ..e };
            let lines = lines(study, &groups, |e| error(per_cent(e)));
            plots::against(&path, titles(title, x, "test error (%)"), &lines)?;
        }
        Figure::Accuracy => {
            let title = format!("Test accuracy against the {x}");
            let lines = lines(study, &groups, per_cent);
            plots::against(&path, titles(&title, x, "test accuracy (%)"), &lines)?;
        }
    }
    Ok(())
}

fn per_cent(estimate: Estimate) -> Estimate {
    let half_width = estimate.half_width.map(|half| 100.0 * half);
    Estimate { mean: 100.0 * estimate.mean, half_width }
}

/// The number along the axis.
fn value(study: &Study, group: &Group<'_>) -> Option<f64> {
    group.settings.get(study.varying())?.as_f64()
}

fn lines(study: &Study, groups: &[Group<'_>], shown: impl Fn(Estimate) -> Estimate) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for group in groups {
        let Some(x) = value(study, group) else { continue };
        for method in group.methods() {
            let Some(estimate) = method.estimate() else { continue };
            let at = lines.iter().position(|line| line.name == method.name).unwrap_or_else(|| {
                lines.push(Line { name: method.name.clone(), points: Vec::new() });
                lines.len() - 1
            });
            lines[at].points.push((x, shown(estimate)));
        }
    }
    lines
}

fn published_of(study: &Study, group: &Group<'_>, method: &str) -> Option<Estimate> {
    // The tables are of one number of trusted images.
    if study.clean_per_class.len() > 1 {
        return None;
    }
    let spoiling = study.kind.with(value(study, group)?);
    let classes = group.runs.first()?.results.methods.first()?.confusion.len();
    let (setting, dataset) = published_table(spoiling, classes)?;
    let Published { mean, interval } = published(setting, dataset, method)?;
    Some(Estimate { mean, half_width: interval })
}

/// Prints a line for each setting and method.
pub fn print(study: &Study, out: &Path) -> Result<()> {
    let runs = of(study, out)?;
    let groups = runs::group(&runs);
    let varying = study.varying().rsplit('.').next().unwrap_or_default();
    let columns = [
        (varying, true),
        ("method", false),
        ("accuracy", true),
        ("runs", true),
        ("published", true),
    ];
    let text = |estimate: Option<Estimate>| match estimate {
        Some(Estimate { mean, half_width: Some(half) }) => format!("{mean:.2} ± {half:.2} %"),
        Some(Estimate { mean, .. }) => format!("{mean:.2} %"),
        None => "–".to_owned(),
    };
    let rows = groups.iter().flat_map(|group| {
        group.methods().into_iter().map(move |method| {
            vec![
                value(study, group).unwrap_or(f64::NAN).to_string(),
                method.name.clone(),
                text(method.estimate().map(per_cent)),
                method.accuracies.len().to_string(),
                text(published_of(study, group, &method.name)),
            ]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    println!("\n{}", table::align(&columns, &rows));
    println!("all runs in one picture: {}", out.join(PICTURE).display());
    Ok(())
}
