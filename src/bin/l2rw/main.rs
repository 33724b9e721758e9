//! The program `l2rw`: finds wrong labels, trains on doubtful ones, predicts, and looks at the
//! machine that it runs on.

mod audit;
mod cells;
#[path = "../../../examples/common/mod.rs"]
mod common;
mod data;
mod doctor;
mod html;
mod predict;
mod report;
mod train;
mod training;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use common::{Stop, Team, fail};

/// Learns from data with wrong labels, with the help of a few trusted examples.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  l2rw audit --data photos --clean-per-class 10       # which labels are wrong?
  l2rw train --data photos --clean checked            # a network in spite of them
  l2rw predict --model out/train/model.safetensors --data new_photos
  l2rw doctor                                         # does it work on this machine?
  l2rw report out                                     # all experiments on one page

`l2rw COMMAND --help` says more. RUST_LOG=info shows what it does.";

#[derive(Subcommand)]
enum Command {
    Audit(Box<audit::Options>),
    Train(Box<train::Options>),
    Predict(Box<predict::Options>),
    Doctor(doctor::Options),
    Report(report::Options),
    /// Prints completions for a shell, e.g. `l2rw completions bash`
    Completions {
        /// The shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    sigpipe::reset();
    let log = env_logger::Env::default().default_filter_or("error,l2rw=warn");
    env_logger::init_from_env(log);
    let command = Cli::parse().command;
    // What other commands do, one process does.
    let team = match command {
        Command::Train(_) => Team::join(),
        _ => Ok(Team::default()),
    };
    let team = match team {
        Ok(team) => team,
        Err(error) => return fail(&error),
    };
    match run(command, &team) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => Stop::exit_code(&team),
        Err(error) => team.fail(&error),
    }
}

/// Whether everything is done.
fn run(command: Command, team: &Team) -> Result<bool> {
    match command {
        Command::Audit(options) => audit::run(&options),
        Command::Train(options) => train::run(&options, team),
        Command::Predict(options) => predict::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "l2rw", &mut io::stdout());
            Ok(true)
        }
    }
}
