//! The table, the pictures and the files.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::report::{MethodResult, PublishedDataset, Results, Setting, plots, table};
use l2rw::weighting::MetaWeightNet;

use super::experiment::Experiment;
use super::run::Run;
use super::spoiled::Marked;
use super::study::Spoiling;
use super::unseen;

/// The pictures of a run.
pub const PICTURES: [&str; 7] = [
    "curves.png",
    "confusion.png",
    "weights.png",
    "suspects.png",
    "weight_function.png",
    unseen::PICTURES[0],
    unseen::PICTURES[1],
];

/// What results.json holds.
pub fn results(
    experiment: &Experiment,
    context: &Context,
    methods: Vec<MethodResult>,
) -> Result<Results> {
    let adapter = &context.adapter;
    Ok(Results {
        adapter: adapter.name.clone(),
        driver: format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned(),
        backend: format!("{:?}", adapter.backend),
        version: version().to_owned(),
        config: serde_json::to_value(&experiment.config)?,
        methods,
    })
}

/// The crate's version, with the commit where the sources lie in a repository, and whether they
/// differ from it.
///
/// To be asked for at the start of the program: the sources may change while it runs.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let release = env!("CARGO_PKG_VERSION");
        let mut git = Command::new("git");
        git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--exclude=*"]);
        let found = git.args(["--abbrev=12", "--dirty=, changed"]).output();
        match found {
            Ok(output) if output.status.success() => {
                format!("{release} ({})", String::from_utf8_lossy(&output.stdout).trim())
            }
            _ => release.to_owned(),
        }
    });
    &VERSION
}

/// Draws pictures into `out`.
pub fn draw(
    experiment: &Experiment,
    methods: &[MethodResult],
    runs: &[Run],
    out: &Path,
) -> Result<()> {
    plots::curves(&out.join("curves.png"), methods)?;
    let names: Vec<&str> =
        experiment.data.train.set.class_names.iter().map(String::as_str).collect();
    let matrices: Vec<(&str, &[Vec<u32>])> =
        methods.iter().map(|m| (m.name.as_str(), m.confusion.as_slice())).collect();
    plots::confusion(&out.join("confusion.png"), &matrices, &names)?;
    // L2RW's weights if it is among the methods, else those of the first method with weights.
    let weighted = || runs.iter().filter(|run| run.result.reweighting.is_some());
    let l2rw = weighted().find(|run| run.result.name == "l2rw");
    if let Some(run) = l2rw.or_else(|| weighted().next()) {
        write_weights(experiment, run, out)?;
    }
    let functions: Vec<plots::WeightFunction> =
        runs.iter().flat_map(|run| weight_functions(run, &names)).collect();
    if !functions.is_empty() {
        plots::weight_function(&out.join("weight_function.png"), &functions)?;
    }
    Ok(())
}

/// Prints the table.
pub fn print(
    experiment: &Experiment,
    context: &Context,
    methods: Vec<MethodResult>,
    out: &Path,
) -> Result<()> {
    let published = published_table(experiment.config.spoiling, experiment.network.classes());
    let results = results(experiment, context, methods)?;
    println!();
    println!("{}", table::render(&results, published));
    println!("wrote results, pictures and checkpoints into {}", out.display());
    Ok(())
}

/// Where to find what is published of such an experiment; `None` where it has other numbers.
pub fn published_table(spoiling: Spoiling, classes: usize) -> Option<(Setting, PublishedDataset)> {
    let dataset = match classes {
        10 => PublishedDataset::Cifar10,
        100 => PublishedDataset::Cifar100,
        _ => return None,
    };
    let setting = match spoiling {
        Spoiling::BackgroundFlip { share: 0.4 } => Setting::BackgroundFlip,
        Spoiling::UniformFlip { share: 0.4 } => Setting::UniformFlip,
        Spoiling::LongTail { factor } if factor.fract() == 0.0 => {
            Setting::LongTail { factor: factor as u32 }
        }
        _ => return None,
    };
    Some((setting, dataset))
}

/// What a run learned of the weight of a loss: a curve, or one for each class.
fn weight_functions(run: &Run, names: &[&str]) -> Vec<plots::WeightFunction> {
    let Some(theta) = &run.weight_function else { return Vec::new() };
    let name = &run.result.name;
    let one_a_class = name.starts_with("mwn-class");
    let nets = if one_a_class { names.len() } else { 1 };
    let nets = theta.chunks(theta.len() / nets).enumerate();
    nets.map(|(class, net)| {
        let losses = (0..=200).map(|i| f64::from(i) * 0.05);
        let points = losses.map(|loss| (loss, MetaWeightNet::value(net, loss))).collect();
        let name = if one_a_class { format!("{name}: {}", names[class]) } else { name.clone() };
        plots::WeightFunction { name, points }
    })
    .collect()
}

/// The distribution of mean weights (of right and wrong labels, or of the two halves of a long
/// tail) and the images that weighed least.
fn write_weights(experiment: &Experiment, run: &Run, out: &Path) -> Result<()> {
    let drawn: Vec<(usize, f32)> =
        (0..run.ledger.len()).filter_map(|i| Some((i, run.ledger.mean(i)? as f32))).collect();
    let recipe = run.result.name.parse().map_err(anyhow::Error::msg)?;
    let Marked { set: train, true_labels, corrupted } = experiment.train(&recipe)?;
    let (title, names, in_second) = if experiment.config.spoiling.is_imbalance() {
        let sizes = experiment.class_sizes();
        let mut by_size: Vec<usize> = (0..sizes.len()).collect();
        by_size.sort_by_key(|class| sizes[*class]);
        let rare = &by_size[..sizes.len() / 2];
        let is_rare = |label: &u32| rare.contains(&(*label as usize));
        let title = "the more and the less frequent half of the classes";
        (title, ["frequent", "rare"], train.labels.iter().map(is_rare).collect())
    } else {
        ("clean and flipped labels", ["clean", "flipped"], corrupted.clone())
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (i, weight) in &drawn {
        if in_second[*i] { &mut second } else { &mut first }.push(*weight);
    }
    let groups = [(names[0], first.as_slice()), (names[1], second.as_slice())];
    plots::weights(&out.join("weights.png"), title, groups)?;

    let name = |label: u32| {
        let class = label as usize;
        plots::class_label(&train.class_names[class], class)
    };
    let suspects: Vec<plots::Suspect<'_>> = drawn
        .iter()
        .filter_map(|&(i, weight)| {
            let (given, truth) = (train.labels[i], true_labels[i]);
            Some(plots::Suspect {
                image: train.image(i)?,
                given: name(given),
                truth: Some(name(truth)),
                weight,
            })
        })
        .collect();
    let path = out.join("suspects.png");
    plots::suspects(&path, &suspects, train.height, train.width, train.channels)?;
    Ok(())
}
