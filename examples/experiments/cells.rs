//! All runs of an experiment, one after the other: each setting with each seed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::HumanDuration;
use l2rw::report::results;
use l2rw::train::Recipe;

use super::common::{Devices, RunFolder, Stop, Team};
use super::experiment::{Cell, Experiment};
use super::options::Options;
use super::preset::Preset;
use super::spoiled::Data;
use super::study::{Figure, Study};
use super::sweep::Sweep;
use super::{output, run, summary, unseen};

/// The runs of an experiment.
pub struct Cells<'a> {
    study: &'a Study,
    options: &'a Options,
    devices: &'a Devices,
    stop: &'a Stop,
    data: Data,
    recipes: Vec<Recipe>,
    out: PathBuf,
    /// Each with its folder.
    cells: Vec<(Cell<'a>, PathBuf)>,
}

impl<'a> Cells<'a> {
    pub fn new(
        study: &'a Study,
        options: &'a Options,
        preset: Preset,
        devices: &'a Devices,
        stop: &'a Stop,
    ) -> Result<Self> {
        let out = options.out(study);
        let (values, clean) = (options.values(study), options.clean_per_class(study));
        let mut cells = Vec::new();
        for &value in &values {
            for &clean_per_class in &clean {
                for seed in options.seed..options.seed + options.runs {
                    let parts = [
                        (values.len() > 1).then(|| format!("{}-{value}", study.kind.option())),
                        (clean.len() > 1).then(|| format!("clean-{clean_per_class}")),
                        (options.runs > 1).then(|| format!("seed-{seed}")),
                    ];
                    let folder = parts.into_iter().flatten().fold(out.clone(), |at, p| at.join(p));
                    let spoiling = study.kind.with(value);
                    let cell = Cell { study, options, preset, spoiling, clean_per_class, seed };
                    cells.push((cell, folder));
                }
            }
        }
        let data = read(options, stop.team())?;
        let recipes = options.recipes(study);
        Ok(Self { study, options, devices, stop, data, recipes, out, cells })
    }

    /// Makes what is not made yet, and sums up after each run. Whether everything is done.
    pub fn run(&self) -> Result<bool> {
        let several = self.cells.len() > 1;
        let resumes = self.options.continuation.resume;
        let team = self.stop.team();
        let is_left: Vec<bool> = team.on_first(|| {
            let is_left = |folder: &Path| !(resumes && self.has_all(folder));
            Ok(self.cells.iter().map(|(_, folder)| is_left(folder)).collect())
        })?;
        let left = is_left.iter().filter(|left| **left).count();
        let mut announced = false;
        for (at, (cell, folder)) in self.cells.iter().enumerate() {
            let experiment = Experiment::new(cell, &self.data)?;
            if several {
                println!("\nrun {} of {}: {}", at + 1, self.cells.len(), folder.display());
            }
            describe(&experiment);
            if self.options.print_plan {
                return self.print_plans(&experiment);
            }
            if is_left[at] && !announced {
                if !self.announce(&experiment, left)? {
                    return Ok(false);
                }
                announced = true;
            }
            let done = self.make(&experiment, folder)?;
            if several {
                team.on_first(|| summary::write(self.study, &self.out))?;
            }
            if !done {
                return Ok(false);
            }
        }
        if several {
            team.on_first(|| summary::print(self.study, &self.out))?;
        }
        Ok(true)
    }

    fn make(&self, experiment: &Experiment, folder: &Path) -> Result<bool> {
        let parts = self.recipes.iter().map(Recipe::to_string).collect();
        let config = serde_json::to_value(&experiment.config)?;
        let run = (self.study.name, parts, config);
        let continuation = &self.options.continuation;
        let (folder, parts) = RunFolder::open(folder, continuation, run, owns, self.stop.team())?;
        let every = continuation.every(experiment.config.steps);
        let path = folder.path().to_owned();
        let done =
            Sweep::new(experiment, self.devices, (folder, parts), self.stop, every)?.run()?;
        if done && self.study.figure == Figure::Weights {
            for recipe in &self.recipes {
                unseen::weigh(experiment, &self.devices.context(), recipe, (&path, self.stop))?;
            }
        }
        Ok(done)
    }

    /// Whether a folder has results of every method.
    fn has_all(&self, folder: &Path) -> bool {
        let Ok(results) = results::read(&folder.join(results::FILE_NAME)) else { return false };
        self.recipes.iter().all(|recipe| {
            let name = recipe.to_string();
            results.methods.iter().any(|method| method.name == name && !method.interrupted)
        })
    }

    fn print_plans(&self, experiment: &Experiment) -> Result<bool> {
        for recipe in &self.recipes {
            let trainer = experiment.trainer(&self.devices.context(), recipe, None, self.stop)?;
            trainer.iter().for_each(|trainer| print!("{}", trainer.plan()));
        }
        Ok(true)
    }

    /// Takes a few steps of each method and says how long everything will take on this machine, and
    /// how much memory of the device. Whether nobody has asked to stop meanwhile.
    fn announce(&self, experiment: &Experiment, runs: usize) -> Result<bool> {
        let (mut seconds, mut bytes) = (0.0, 0);
        for recipe in &self.recipes {
            let context = self.devices.context();
            let trainer = experiment.trainer(&context, recipe, None, self.stop)?;
            let Some(mut trainer) = trainer.filter(|_| !self.stop.requested()) else {
                return Ok(false);
            };
            bytes = bytes.max(trainer.memory_bytes());
            // The first one compiles.
            trainer.step()?;
            while trainer.take_report(true)?.is_some() {}
            let began = Instant::now();
            let mut steps = 0.0;
            while steps < MEASURED_STEPS && !self.stop.team().any(began.elapsed() >= MEASURED_TIME)
            {
                trainer.step()?;
                while trainer.take_report(true)?.is_some() {}
                steps += 1.0;
            }
            let tuning = match recipe.fine_tuning {
                true => experiment.config.fine_tuning_steps,
                false => 0,
            };
            let all = (experiment.steps(recipe)? + tuning) as f64;
            seconds += began.elapsed().as_secs_f64() / steps * all;
        }
        println!(
            "about {} for {} of {}, by a few steps of each; {:.0} MB of the device's memory",
            HumanDuration(Duration::from_secs_f64(seconds * runs as f64)),
            plural(runs, "run"),
            plural(self.recipes.len(), "method"),
            bytes as f64 * 1e-6
        );
        Ok(true)
    }
}

/// The data. Ranks fetch it one after the other: two must not write into one cache at once.
fn read(options: &Options, team: &Team) -> Result<Data> {
    let Some(ranks) = team.ranks().filter(|_| options.download) else {
        return Data::read(options);
    };
    let mut data = None;
    for rank in 0..ranks.count() {
        if rank == ranks.rank() {
            data = Some(Data::read(options)?);
        }
        ranks.barrier()?;
    }
    data.context("this rank is none of all")
}

/// Steps of each method that are measured, or fewer where they take long.
const MEASURED_STEPS: f64 = 5.0;
const MEASURED_TIME: Duration = Duration::from_secs(2);

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether a file of a run's folder is one of this program's, by its name.
fn owns(name: &str) -> bool {
    let of_series = || {
        let series = name.strip_suffix(".safetensors")?.split('.').next()?;
        Some(series == run::PLAIN || series.parse::<Recipe>().is_ok())
    };
    name == results::FILE_NAME || output::PICTURES.contains(&name) || of_series() == Some(true)
}

fn describe(experiment: &Experiment) {
    let (config, data) = (&experiment.config, &experiment.data);
    let sizes = experiment.class_sizes();
    let corrupted = &data.train.corrupted;
    let wrong = corrupted.iter().filter(|wrong| **wrong).count();
    let about = match (config.spoiling.is_imbalance(), sizes.iter().max(), sizes.iter().min()) {
        (true, Some(most), Some(least)) => format!("from {most} down to {least} a class"),
        _ => {
            let share = 100.0 * wrong as f64 / corrupted.len().max(1) as f64;
            format!("{share:.1} % of the labels wrong")
        }
    };
    let held_out = match config.held_out {
        0 => String::new(),
        count => format!("{count} held out, "),
    };
    println!(
        "{}: {} training images ({about}), {} trusted, {held_out}{} for testing",
        config.data,
        corrupted.len(),
        data.clean.len(),
        data.test.len()
    );
    println!(
        "{}: {} parameters, {} steps of {} images",
        config.model,
        experiment.network.parameter_count(),
        config.steps,
        config.batch
    );
    if config.preset == Preset::Paper {
        println!("other than published: {}", config.deviations.join("; "));
    }
}
