//! Many runs of an experiment: reads their results, puts those together that differ in their seed
//! alone, and says what the methods reached, with intervals.

use std::cmp::Ordering::{self, Equal};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::ReportError;
use super::results::{self, FILE_NAME, MethodResult, Results};
use crate::files::FileError;

/// Settings that follow from the seed: runs that differ in these alone are repetitions.
pub const BY_SEED: [&str; 4] = ["seed", "background", "fingerprints", "train_images"];

/// What one run left.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What its `results.json` holds.
    pub results: Results,
}

/// Reads every `results.json` in `root` and below, in alphabetical order of their folders. Files of
/// that name with another content are left out, and a warning names them.
///
/// # Errors
///
/// [`ReportError::File`] where a folder or file cannot be read.
pub fn read(root: &Path) -> Result<Vec<Run>, ReportError> {
    let mut runs = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| FileError::Read { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A link may lead back to where it lies.
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            }
        }
        let file = folder.join(FILE_NAME);
        if file.is_file() {
            match results::read(&file) {
                Ok(results) => runs.push(Run { results, folder }),
                // Training with the program leaves a file of that name as well.
                Err(error @ ReportError::Parse { .. }) => log::warn!("left out: {error}"),
                Err(error) => return Err(error),
            }
        }
    }
    runs.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(runs)
}

/// Runs of the same experiment with the same settings, but for their seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    /// By increasing seed.
    pub runs: Vec<&'a Run>,
    /// The settings that they share, by path: `spoiling.share`, say.
    pub settings: BTreeMap<String, Value>,
}

/// What a method reached over the runs of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodSummary {
    /// Name of the method.
    pub name: String,
    /// Test accuracy of each run, 0 to 1. Interrupted runs and those without a number are left out.
    pub accuracies: Vec<f64>,
    /// Runs that are left out.
    pub left_out: usize,
}

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Mean of the runs.
    pub mean: f64,
    /// Half-width of the mean's 95 % confidence interval by Student's t distribution; `None` for a
    /// single run.
    pub half_width: Option<f64>,
}

impl Estimate {
    /// Of numbers that are independent of each other; `None` without any.
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        if numbers.len() < 2 {
            return numbers.first().map(|_| Self { mean, half_width: None });
        }
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let quantile = StudentsT::new(0.0, 1.0, count - 1.0).ok()?.inverse_cdf(0.975);
        Some(Self { mean, half_width: Some(quantile * error) })
    }
}

/// Puts runs together that are repetitions of each other; groups by increasing settings.
pub fn group(runs: &[Run]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in runs {
        let mut settings = BTreeMap::new();
        flatten("", &run.results.config, &mut settings);
        match groups.iter_mut().find(|group| group.settings == settings) {
            Some(group) => group.runs.push(run),
            None => groups.push(Group { runs: vec![run], settings }),
        }
    }
    for group in &mut groups {
        group.runs.sort_by_key(|run| run.results.config.get("seed").and_then(Value::as_u64));
    }
    let values = |group: &Group<'_>| group.settings.values().cloned().collect::<Vec<_>>();
    groups.sort_by(|one, other| {
        let pairs = values(one).into_iter().zip(values(other));
        pairs.map(|(one, other)| compare(&one, &other)).find(|order| order.is_ne()).unwrap_or(Equal)
    });
    groups
}

/// Numbers by their size, all else by its text.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one.to_string().cmp(&other.to_string()),
    }
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        into.insert(path.to_owned(), value.clone());
        return;
    };
    for (name, field) in fields.iter().filter(|(name, _)| !BY_SEED.contains(&name.as_str())) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        flatten(&path, field, into);
    }
}

/// The settings in which groups differ, in alphabetical order.
pub fn varying(groups: &[Group<'_>]) -> Vec<String> {
    let mut names: Vec<&String> = groups.iter().flat_map(|group| group.settings.keys()).collect();
    names.sort();
    names.dedup();
    let varies = |name: &&&String| {
        groups.windows(2).any(|pair| pair[0].settings.get(**name) != pair[1].settings.get(**name))
    };
    names.iter().filter(varies).map(|name| (*name).clone()).collect()
}

impl Group<'_> {
    /// The methods, in the order in which runs have them first.
    pub fn methods(&self) -> Vec<MethodSummary> {
        let mut methods: Vec<MethodSummary> = Vec::new();
        for result in self.runs.iter().flat_map(|run| &run.results.methods) {
            let at = methods.iter().position(|method| method.name == result.name);
            let at = at.unwrap_or_else(|| {
                let (name, accuracies) = (result.name.clone(), Vec::new());
                methods.push(MethodSummary { name, accuracies, left_out: 0 });
                methods.len() - 1
            });
            if result.interrupted || !result.test_accuracy.is_finite() {
                methods[at].left_out += 1;
            } else {
                methods[at].accuracies.push(result.test_accuracy);
            }
        }
        methods
    }

    /// What one method left in each run.
    pub fn of<'b>(&'b self, method: &'b str) -> impl Iterator<Item = &'b MethodResult> {
        let all = self.runs.iter().flat_map(|run| &run.results.methods);
        all.filter(move |result| result.name == method)
    }
}

impl MethodSummary {
    /// Mean test accuracy; `None` where no run ended.
    pub fn estimate(&self) -> Option<Estimate> {
        Estimate::of(&self.accuracies)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(folder: &str, config: Value, accuracies: &[(&str, f64)]) -> Run {
        let methods = accuracies.iter().map(|(name, accuracy)| MethodResult {
            skipped_steps: 0,
            name: (*name).to_owned(),
            test_accuracy: *accuracy,
            seconds_per_step: 0.1,
            steps: 10,
            interrupted: false,
            confusion: Vec::new(),
            curve: Vec::new(),
            reweighting: None,
        });
        let methods = methods.collect();
        let [adapter, driver, backend, version] = [""; 4].map(str::to_owned);
        Run {
            folder: folder.into(),
            results: Results { adapter, driver, backend, version, config, methods },
        }
    }

    fn config(share: f64, seed: u32) -> Value {
        json!({"experiment": "e", "seed": seed, "spoiling": {"share": share}})
    }

    #[test]
    fn runs_that_differ_in_their_seed_are_repetitions() {
        let runs = [
            run("a", config(0.1, 1), &[("l2rw", 0.5)]),
            run("b", config(0.2, 1), &[("l2rw", 0.25)]),
            run("c", config(0.1, 2), &[("l2rw", 0.75), ("random", f64::NAN)]),
        ];
        let groups = group(&runs);
        assert_eq!(groups.len(), 2);
        assert_eq!(varying(&groups), ["spoiling.share"]);
        let methods = groups[0].methods();
        assert_eq!(methods[0].accuracies, [0.5, 0.75]);
        assert_eq!((methods[1].left_out, methods[1].estimate()), (1, None));
    }

    #[test]
    fn intervals_are_students() {
        // Five numbers of standard error 1/√2: the 97.5 % quantile for 4 degrees is 2.776.
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(estimate.mean, 3.0);
        let half_width = estimate.half_width.unwrap();
        assert!((half_width - 2.776_445 / 2.0_f64.sqrt()).abs() < 1e-5, "{half_width}");
        assert_eq!(Estimate::of(&[0.5]), Some(Estimate { mean: 0.5, half_width: None }));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn every_run_below_a_folder_is_found_and_numbers_are_in_order() {
        let root = tempfile::tempdir().unwrap();
        for (share, seed) in [(10.0, 1), (9.0, 10), (9.0, 9)] {
            let folder = root.path().join(format!("{share}/seed-{seed}"));
            fs::create_dir_all(&folder).unwrap();
            results::write(&run("", config(share, seed), &[]).results, &folder).unwrap();
        }
        let runs = read(root.path()).unwrap();
        let groups = group(&runs);
        let shares: Vec<_> = groups.iter().map(|group| &group.settings["spoiling.share"]).collect();
        assert_eq!(shares, [&json!(9.0), &json!(10.0)]);
        let seeds: Vec<_> = groups[0].runs.iter().map(|run| &run.results.config["seed"]).collect();
        assert_eq!(seeds, [&json!(9), &json!(10)]);
    }
}
