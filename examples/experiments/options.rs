//! The command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use l2rw::train::{NotFinite, Recipe};
use l2rw::weighting::variants;
use serde::Serialize;

use super::common::{Continuation, check_apart};
use super::preset::Preset;
use super::study::{Kind, Study};

#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Folder of a data set (CIFAR-10 or CIFAR-100 binaries, IDX files, or an image folder
    /// train/<class>/*), or `synthetic` for generated images
    #[arg(long, default_value = "synthetic", value_name = "synthetic|DIR")]
    pub data: String,
    /// Fetch CIFAR-10 into the user's cache folder and train on it
    #[arg(long, conflicts_with = "data")]
    pub download: bool,
    /// Where --download fetches from
    #[arg(long, hide = true)]
    pub download_url: Option<String>,
    /// Size of the experiment [default: quick on a software adapter, paper on a GPU]
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Network, e.g. resnet32, resnet8-w8, resnet20-gn8, wrn-28-10, mnist_lenet, lenet5, mlp
    #[arg(long)]
    pub model: Option<String>,
    /// Share of the training labels that are changed; several for one run each
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    noise: Vec<f64>,
    /// How many times the smallest class the largest has; several for one run each
    #[arg(long, value_name = "FACTOR", value_delimiter = ',', allow_negative_numbers = true)]
    imbalance: Vec<f64>,
    /// Share of nines among the training images; several for one run each
    #[arg(long, value_name = "SHARE", value_delimiter = ',', allow_negative_numbers = true)]
    majority: Vec<f64>,
    /// The background class [default: 3 with the quick preset, otherwise drawn by the seed]
    #[arg(long)]
    pub background: Option<u32>,
    /// Trusted images of each class, taken out of training; several for one run each
    #[arg(long, value_delimiter = ',')]
    clean_per_class: Vec<usize>,
    /// Training images of a step
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Trusted images of a step [default: 100, or all if there are fewer]
    #[arg(long)]
    pub clean_batch: Option<usize>,
    /// Training steps of each method
    #[arg(long)]
    pub steps: Option<u64>,
    /// Learning rate of the first steps
    #[arg(long, allow_negative_numbers = true)]
    pub learning_rate: Option<f32>,
    /// Training images of each class
    #[arg(long)]
    pub images_per_class: Option<usize>,
    /// Seed of everything random, of the first run
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// Runs, each with the next seed; tables and pictures have means and 95 % intervals
    #[arg(long, default_value_t = 1)]
    pub runs: u32,
    /// Methods to compare, each with +es (early stopping) or +ft (fine-tuning on the trusted
    /// images), if wanted; `all` for every method and the combinations of the paper; names below
    #[arg(long, value_delimiter = ',', value_parser = choice)]
    methods: Vec<Choice>,
    /// What is done about a step with a number that is not finite: stop or skip-step
    #[arg(long, default_value = "stop", value_name = "POLICY")]
    pub not_finite: NotFinite,
    /// Route to the weights [default: the exact and cheaper one for the network]
    #[arg(long, alias = "similarity", value_enum)]
    pub route: Option<Route>,
    /// Folder for results.json, pictures and checkpoints [default: out/ and the example's name]. A
    /// finished run with the same options is written anew, any other is refused. Several runs get
    /// a folder each in it
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub continuation: Continuation,
    /// Part of the name of the adapter to run on
    #[arg(long)]
    pub adapter: Option<String>,
    /// Print the dispatches of one step and exit
    #[arg(long)]
    pub print_plan: bool,
}

/// A recipe, or all of them.
#[derive(Clone, Debug)]
enum Choice {
    All,
    One(Recipe),
}

fn choice(text: &str) -> Result<Choice, String> {
    let text = text.trim();
    if text == "all" { Ok(Choice::All) } else { text.parse().map(Choice::One) }
}

/// What stands below the options: what the experiment takes where nothing is said, and methods.
fn after_help(study: &Study) -> String {
    let list = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let clean: Vec<f64> = study.clean_per_class.iter().map(|count| *count as f64).collect();
    let defaults = format!(
        "Defaults of this experiment:\n  --{} {} --clean-per-class {} --methods {}\n\nMethods:",
        study.kind.option(),
        list(study.values),
        list(&clean),
        study.methods.join(",")
    );
    let named = variants().map(|variant| (variant.name, variant.source));
    let all = named.chain([(Recipe::CLEAN_ONLY, "plain training on the trusted images alone")]);
    all.fold(defaults, |text, (name, source)| format!("{text}\n  {name:<22}{source}"))
}

/// A route to the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Dual numbers: exact for every network.
    Tangent,
    /// Layer by layer: exact without BatchNorm.
    PerLayer,
}

impl Options {
    /// Reads the command line of an experiment; options of other experiments are refused.
    pub fn parse(study: &Study) -> Result<Self, clap::Error> {
        let needless =
            ["noise", "imbalance", "majority", "background"].into_iter().filter(|name| {
                let fits = *name == study.kind.option();
                !(fits || *name == "background" && study.kind == Kind::BackgroundFlip)
            });
        let needless: Vec<&str> = needless.collect();
        let command = Self::command().about(study.about).after_help(after_help(study));
        let command =
            needless.iter().fold(command, |all, name| all.mut_arg(name, |arg| arg.hide(true)));
        let matches = command.clone().try_get_matches()?;
        for name in needless {
            if matches.value_source(name) == Some(ValueSource::CommandLine) {
                let text = format!("{} has no --{name}", study.name);
                return Err(command.clone().error(ErrorKind::UnknownArgument, text));
            }
        }
        Self::from_arg_matches(&matches)
    }

    /// The methods to compare. What `all` has in common with other names is trained once.
    pub fn recipes(&self, study: &Study) -> Vec<Recipe> {
        let mut recipes: Vec<Recipe> = Vec::new();
        let chosen = self.methods.iter().flat_map(|choice| match choice {
            Choice::All => Recipe::all(),
            Choice::One(recipe) => vec![recipe.clone()],
        });
        let mut chosen: Vec<Recipe> = chosen.collect();
        if chosen.is_empty() {
            chosen = study.methods.iter().filter_map(|name| name.parse().ok()).collect();
        }
        for recipe in chosen {
            if !recipes.contains(&recipe) {
                recipes.push(recipe);
            }
        }
        recipes
    }

    /// Shares or factors, whichever the experiment has.
    pub fn values(&self, study: &Study) -> Vec<f64> {
        let given = match study.kind.option() {
            "imbalance" => &self.imbalance,
            "majority" => &self.majority,
            _ => &self.noise,
        };
        if given.is_empty() { study.values.to_vec() } else { given.clone() }
    }

    pub fn clean_per_class(&self, study: &Study) -> Vec<usize> {
        let given = &self.clean_per_class;
        if given.is_empty() { study.clean_per_class.to_vec() } else { given.clone() }
    }

    pub fn out(&self, study: &Study) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new("out").join(study.name))
    }

    /// Checks what does not depend on the data.
    pub fn check(&self, study: &Study) -> Result<()> {
        for value in self.values(study) {
            match study.kind {
                Kind::LongTail => ensure!(value >= 1.0, "--imbalance {value} is not at least 1"),
                kind => ensure!(
                    (0.0..=1.0).contains(&value),
                    "--{} {value} is not between 0 and 1",
                    kind.option()
                ),
            }
        }
        let rate = self.learning_rate.unwrap_or(1.0);
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate {rate} is not above 0");
        ensure!(self.batch > 0, "--batch must be at least 1");
        ensure!(self.clean_batch != Some(0), "--clean-batch must be at least 1");
        ensure!(!self.clean_per_class.contains(&0), "--clean-per-class must be at least 1");
        ensure!(self.steps != Some(0), "--steps must be at least 1");
        ensure!(self.runs > 0, "--runs must be at least 1");
        ensure!(
            self.seed.checked_add(self.runs).is_some(),
            "--seed {} leaves no room for {} runs",
            self.seed,
            self.runs
        );
        let named = |choice: &Choice| match choice {
            Choice::All => "all".to_owned(),
            Choice::One(recipe) => recipe.to_string(),
        };
        let names: Vec<String> = self.methods.iter().map(named).collect();
        for (at, name) in names.iter().enumerate() {
            ensure!(!names[..at].contains(name), "--methods names '{name}' twice");
        }
        ensure!(self.images_per_class != Some(0), "--images-per-class must be at least 1");
        self.continuation.check()?;
        check_apart(&self.out(study), Path::new(&self.data))
    }
}
