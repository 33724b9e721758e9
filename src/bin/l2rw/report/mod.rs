//! `l2rw report`: one page over many runs of experiments.

mod content;
mod markdown;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use l2rw::files::write_atomic;
use l2rw::report::runs;

use crate::html;

/// One HTML page over all runs in a folder and below: tables with intervals, curves, pictures and
/// settings. It needs no network
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Folder with runs of experiments: with results.json files in it or below
    folder: PathBuf,
    /// Where the page goes [default: report.html in the folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Instead of a page, puts the tables into this Markdown file, between the lines
    /// `<!-- l2rw report: begin -->` and `<!-- l2rw report: end -->`
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    into: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Example:
  cargo run --release --example noise_level -- --runs 3
  l2rw report out/noise_level                         # and open out/noise_level/report.html
  l2rw report out --into README.md                    # the tables, between two marks

A group of runs that differ in their seed alone shows the pictures of its first run.";

const TEMPLATE: &str = include_str!("page.html");

/// Writes the page. Nothing can interrupt it, so that it is always done.
pub fn run(options: &Options) -> Result<bool> {
    let folder = &options.folder;
    ensure!(folder.is_dir(), "{} is not a folder", folder.display());
    let runs = runs::read(folder)?;
    ensure!(
        !runs.is_empty(),
        "{} holds no results.json, and none of its folders does: name the --out of an experiment",
        folder.display()
    );
    let content = content::of(folder, &runs)?;
    if let Some(file) = &options.into {
        markdown::put_into(file, &content)?;
        return Ok(true);
    }
    let page = html::page(TEMPLATE, &content)?;
    let out = options.out.clone().unwrap_or_else(|| folder.join("report.html"));
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be made", parent.display()))?;
    }
    write_atomic(&out, page.as_bytes())?;
    println!("wrote {}: {} runs, {:.1} MB", out.display(), runs.len(), page.len() as f64 * 1e-6);
    Ok(true)
}
