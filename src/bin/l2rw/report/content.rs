//! What the page shows, as data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use l2rw::report::runs::{self, Estimate, Group, MethodSummary, Run};
use serde::Serialize;
use serde_json::Value;

use crate::html;

/// The page.
#[derive(Default, Serialize)]
pub struct Content {
    folder: String,
    pub experiments: Vec<Experiment>,
}

/// All runs of one program.
#[derive(Serialize)]
pub struct Experiment {
    pub name: String,
    /// The picture of all its runs, where there is one.
    figure: Option<String>,
    pub groups: Vec<Repetitions>,
}

/// Runs that differ in their seed.
#[derive(Serialize)]
pub struct Repetitions {
    /// In what they differ from other groups.
    pub varying: BTreeMap<String, Value>,
    pub settings: BTreeMap<String, Value>,
    /// Folder, seed, adapter, driver and version of each.
    pub runs: Vec<Origin>,
    pub methods: Vec<Method>,
    /// Name and data URL.
    pictures: Vec<(String, String)>,
}

#[derive(Serialize)]
pub struct Origin {
    folder: String,
    seed: Option<u64>,
    adapter: String,
    pub driver: String,
    pub version: String,
}

#[derive(Serialize)]
pub struct Method {
    pub name: String,
    pub accuracies: Vec<f64>,
    left_out: usize,
    pub mean: Option<f64>,
    pub half_width: Option<f64>,
    pub seconds_per_step: Option<f64>,
    steps: Option<u64>,
    pub noise_auc: Option<f64>,
    pub corrupted_weight_share: Option<f64>,
    pub corrupted_share: Option<f64>,
    zero_weight_steps: Option<f64>,
    /// Over all runs, those left out since something was not finite.
    skipped_steps: u64,
    /// Step, and mean accuracy on the test set over the runs.
    curve: Vec<(u64, f64)>,
}

/// The pictures of a run that tell what a table does not.
const PICTURES: [&str; 5] =
    ["curves.png", "weights.png", "suspects.png", "confusion.png", "weight_function.png"];

/// Puts the runs of a folder in order.
pub fn of(folder: &Path, all: &[Run]) -> Result<Content> {
    let name = |run: &Run| match run.results.config.get("experiment").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => "experiment without a name".to_owned(),
    };
    let mut by_name: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for run in all {
        by_name.entry(name(run)).or_default().push(run.clone());
    }
    let experiments = by_name.into_iter().map(|(name, runs)| {
        // Another driver rounds otherwise: the same seed on two of them is no repetition.
        let mut by_driver: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for run in &runs {
            by_driver.entry(run.results.driver.clone()).or_default().push(run.clone());
        }
        let groups: Vec<_> = by_driver.values().flat_map(|runs| runs::group(runs)).collect();
        let varying = runs::varying(&groups);
        let groups = groups.iter().map(|group| repetitions(group, &varying, by_driver.len() > 1));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        // One figure lies above the folders of its runs.
        let above = runs.first().into_iter().flat_map(|run| run.folder.ancestors().skip(1));
        let mut above = above.take_while(|place| place.starts_with(folder));
        let figure = above.find(|place| place.join("figure.png").is_file());
        let figure = figure.map(|place| picture(&place.join("figure.png"))).transpose()?;
        anyhow::Ok(Experiment { name, figure, groups })
    });
    let experiments = experiments.collect::<Result<Vec<_>>>()?;
    Ok(Content { folder: folder.display().to_string(), experiments })
}

fn repetitions(group: &Group<'_>, varying: &[String], names_driver: bool) -> Result<Repetitions> {
    let value = |name: &String| Some((name.clone(), group.settings.get(name)?.clone()));
    let origin = |run: &&Run| Origin {
        folder: run.folder.display().to_string(),
        seed: run.results.config.get("seed").and_then(Value::as_u64),
        adapter: run.results.adapter.clone(),
        driver: run.results.driver.clone(),
        version: run.results.version.clone(),
    };
    let first = group.runs.first().map(|run| run.folder.as_path());
    let there = |name: &&str| first.is_some_and(|folder| folder.join(name).is_file());
    let pictures = PICTURES.into_iter().filter(there).filter_map(|name| {
        let data = picture(&first?.join(name));
        Some(data.map(|data| (name.to_owned(), data)))
    });
    let driver = group.runs.first().map(|run| run.results.driver.clone());
    let driver = driver.filter(|_| names_driver).map(|name| ("driver".to_owned(), name.into()));
    Ok(Repetitions {
        varying: varying.iter().filter_map(value).chain(driver).collect(),
        settings: group.settings.clone(),
        runs: group.runs.iter().map(origin).collect(),
        methods: group.methods().into_iter().map(|summary| method(group, summary)).collect(),
        pictures: pictures.collect::<Result<_>>()?,
    })
}

fn picture(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(html::data_url("png", &bytes))
}

fn method(group: &Group<'_>, summary: MethodSummary) -> Method {
    let of = || group.of(&summary.name);
    let mean = |numbers: Vec<f64>| {
        let finite: Vec<f64> = numbers.into_iter().filter(|number| number.is_finite()).collect();
        Estimate::of(&finite).map(|estimate| estimate.mean)
    };
    let weights = || of().filter_map(|result| result.reweighting.as_ref());
    let mut curve: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for point in of().flat_map(|result| &result.curve) {
        if let Some(accuracy) = point.test_accuracy {
            curve.entry(point.step).or_default().push(accuracy);
        }
    }
    let estimate = summary.estimate();
    Method {
        mean: estimate.map(|estimate| estimate.mean),
        half_width: estimate.and_then(|estimate| estimate.half_width),
        seconds_per_step: mean(of().map(|result| result.seconds_per_step).collect()),
        steps: of().map(|result| result.steps).max(),
        noise_auc: mean(weights().map(|found| found.noise_auc).collect()),
        corrupted_weight_share: mean(weights().map(|found| found.corrupted_weight_share).collect()),
        corrupted_share: mean(weights().map(|found| found.corrupted_share).collect()),
        zero_weight_steps: mean(weights().map(|found| found.zero_weight_steps as f64).collect()),
        skipped_steps: of().map(|result| result.skipped_steps).sum(),
        curve: curve.into_iter().filter_map(|(step, all)| Some((step, mean(all)?))).collect(),
        accuracies: summary.accuracies,
        left_out: summary.left_out,
        name: summary.name,
    }
}
