//! The tables of the page as Markdown, within a file that people write.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use l2rw::files::write_atomic;
use serde_json::Value;

use super::content::{Content, Experiment, Method, Repetitions};

/// What stands around the tables in a file.
const BEGIN: &str = "<!-- l2rw report: begin -->";
const END: &str = "<!-- l2rw report: end -->";

/// Settings that are told below a table where all of its runs share them.
const TOLD: [&str; 13] = [
    "data",
    "spoiling.share",
    "preset",
    "model",
    "images_per_class",
    "clean_per_class",
    "held_out",
    "steps",
    "reweighting_steps",
    "batch",
    "clean_batch",
    "learning_rate",
    "weight_decay",
];

/// Puts the tables between the marks of a file, in place of what stands there.
pub fn put_into(file: &Path, content: &Content) -> Result<()> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    ensure!(
        parts.is_some(),
        "{name} does not say where the tables go: write the lines {BEGIN} and {END} into it"
    );
    let (before, after) = parts.unwrap_or_default();
    let tables = tables(content);
    write_atomic(file, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}").as_bytes())?;
    println!("wrote {name}");
    Ok(())
}

fn tables(content: &Content) -> String {
    let sections: Vec<String> = content.experiments.iter().map(section).collect();
    sections.join("\n")
}

fn section(experiment: &Experiment) -> String {
    let groups = &experiment.groups;
    let varying: Vec<&String> =
        groups.first().map(|group| group.varying.keys().collect()).unwrap_or_default();
    let heads = varying.iter().map(|name| name.replace('_', " ")).chain(
        ["method", "runs", "test accuracy", "weight on wrong labels", "noise AUROC", "s a step"]
            .map(str::to_owned),
    );
    let heads: Vec<String> = heads.collect();
    let mut text = format!("### {}\n\n{}", experiment.name, row(&heads));
    text += &row(&vec!["---".to_owned(); heads.len()]).replace(' ', "");
    for group in groups {
        for method in &group.methods {
            let values = varying.iter().map(|name| shown(group.varying.get(*name)));
            text += &row(&values.chain(cells(method)).collect::<Vec<_>>());
        }
    }
    let _ = writeln!(text, "\n{}", conditions(groups, &varying));
    text
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn cells(method: &Method) -> [String; 6] {
    let percent = |share: Option<f64>| match share {
        Some(share) => format!("{:.1} %", 100.0 * share),
        None => String::new(),
    };
    let accuracy = match (method.mean, method.half_width) {
        (Some(mean), Some(half)) => format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * half),
        (mean, _) => percent(mean),
    };
    let weight = match (method.corrupted_weight_share, method.corrupted_share) {
        (Some(share), Some(uniform)) if uniform > 0.0 => {
            format!("{} of {}", percent(Some(share)), percent(Some(uniform)))
        }
        _ => String::new(),
    };
    let number = |value: Option<f64>, digits: usize| {
        value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
    };
    [
        method.name.clone(),
        method.accuracies.len().to_string(),
        accuracy,
        weight,
        number(method.noise_auc, 3),
        number(method.seconds_per_step, 3),
    ]
}

/// Settings, adapters and versions.
fn conditions(groups: &[Repetitions], varying: &[&String]) -> String {
    let empty = BTreeMap::new();
    let settings = groups.first().map_or(&empty, |group| &group.settings);
    let is_told = |name: &&str| {
        settings.get(*name).is_some_and(|value| !value.is_null())
            && !varying.iter().any(|other| other == name)
    };
    let told = TOLD.into_iter().filter(is_told);
    let told: Vec<String> = told
        .map(|name| format!("{} {}", name.replace(['_', '.'], " "), shown(settings.get(name))))
        .collect();
    let runs = || groups.iter().flat_map(|group| &group.runs);
    let drivers: BTreeSet<&str> = runs().map(|run| run.driver.as_str()).collect();
    let versions: BTreeSet<&str> = runs().map(|run| run.version.as_str()).collect();
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    format!("{}. Driver: {}. Version: {}.", told.join(", "), list(drivers), list(versions))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.replace('_', " "),
        // Settings of 32 bits are written with the digits of 64.
        Some(Value::Number(number)) if number.is_f64() => {
            number.as_f64().map(|value| (value as f32).to_string()).unwrap_or_default()
        }
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.md");
        let content = Content::default();
        std::fs::write(&file, "no marks").unwrap();
        assert!(put_into(&file, &content).unwrap_err().to_string().contains(BEGIN));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "no marks");
        let around = |text: &str| format!("before\n\n{BEGIN}{text}{END}\n\nafter\n");
        std::fs::write(&file, around("\nold\n")).unwrap();
        put_into(&file, &content).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), around("\n\n\n"));
    }
}
