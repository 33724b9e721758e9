//! The command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use l2rw::train::Recipe;
use l2rw::weighting::variants;
use serde::Serialize;

use crate::common::{Continuation, check_apart};

/// Trains on images of which many carry the label of one background class, with and without
/// learned example weights (Ren et al., ICML 2018), and compares.
#[derive(Debug, Parser)]
#[command(version, after_help = methods())]
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
    /// Network, e.g. resnet32, resnet8-w8, resnet20-gn8, wrn-28-10, lenet5, mlp
    #[arg(long)]
    pub model: Option<String>,
    /// Share of the training images that get the background label
    #[arg(long, default_value_t = 0.4, allow_negative_numbers = true)]
    pub noise: f64,
    /// Instead of wrong labels, classes of falling size: the largest so many times the smallest
    #[arg(long, value_name = "FACTOR", conflicts_with_all = ["noise", "background"])]
    pub long_tail: Option<u32>,
    /// The background class
    #[arg(long, default_value_t = 3)]
    pub background: u32,
    /// Trusted images of each class, taken out of training
    #[arg(long, default_value_t = 10)]
    pub clean_per_class: usize,
    /// Training images of a step
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Trusted images of a step [default: 100, or all if there are fewer]
    #[arg(long)]
    pub clean_batch: Option<usize>,
    /// Training steps of each method
    #[arg(long)]
    pub steps: Option<u64>,
    /// Learning rate of the first steps [default: 0.1, 0.05 with the quick preset; 0.01 for
    /// networks without normalisation]
    #[arg(long, allow_negative_numbers = true)]
    pub learning_rate: Option<f32>,
    /// Training images of each class; all by default with the paper preset
    #[arg(long)]
    pub images_per_class: Option<usize>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// Methods to compare, each with +es (early stopping) or +ft (fine-tuning), both on the trusted
    /// images, if wanted; `all` for every method and the combinations of the paper; names below
    #[arg(long, value_delimiter = ',', value_parser = choice)]
    #[arg(default_values = ["baseline", "l2rw"])]
    methods: Vec<Choice>,
    /// Route to the weights [default: the exact and cheaper one for the network]
    #[arg(long, alias = "similarity", value_enum)]
    pub route: Option<Route>,
    /// Folder for results.json, pictures and checkpoints. A finished run with the same options is
    /// written anew, any other is refused
    #[arg(long, default_value = "out/cifar_backgroundflip")]
    pub out: PathBuf,
    #[command(flatten)]
    pub continuation: Continuation,
    /// Part of the name of the adapter to run on
    #[arg(long)]
    pub adapter: Option<String>,
    /// Print the dispatches of one step and exit
    #[arg(long)]
    pub print_plan: bool,
}

/// Size of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A small network for a few minutes on two CPU cores.
    Quick,
    /// ResNet-32 and 80,000 steps, as in the paper.
    Paper,
}

/// A recipe, or all of them.
#[derive(Clone, Debug)]
pub enum Choice {
    All,
    One(Recipe),
}

fn choice(text: &str) -> Result<Choice, String> {
    let text = text.trim();
    if text == "all" { Ok(Choice::All) } else { text.parse().map(Choice::One) }
}

/// The names of the methods, for the end of the help.
fn methods() -> String {
    let named = variants().map(|variant| (variant.name, variant.source));
    let all = named.chain([(Recipe::CLEAN_ONLY, "plain training on the trusted images alone")]);
    all.fold("Methods:".to_owned(), |text, (name, source)| format!("{text}\n  {name:<22}{source}"))
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
    /// The methods to compare. What `all` has in common with other names is trained once.
    pub fn recipes(&self) -> Vec<Recipe> {
        let mut recipes: Vec<Recipe> = Vec::new();
        for choice in &self.methods {
            let chosen = match choice {
                Choice::All => Recipe::all(),
                Choice::One(recipe) => vec![recipe.clone()],
            };
            for recipe in chosen {
                if !recipes.contains(&recipe) {
                    recipes.push(recipe);
                }
            }
        }
        recipes
    }

    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        ensure!((0.0..=1.0).contains(&self.noise), "--noise {} is not between 0 and 1", self.noise);
        let rate = self.learning_rate.unwrap_or(1.0);
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate {rate} is not above 0");
        ensure!(self.long_tail != Some(0), "--long-tail must be at least 1");
        ensure!(self.batch > 0, "--batch must be at least 1");
        ensure!(self.clean_batch != Some(0), "--clean-batch must be at least 1");
        ensure!(self.clean_per_class > 0, "--clean-per-class must be at least 1");
        ensure!(self.steps != Some(0), "--steps must be at least 1");
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
        check_apart(&self.out, Path::new(&self.data))
    }
}
