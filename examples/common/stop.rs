//! Ctrl-C and its like end a run after the current step.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::Team;

/// What the shell expects of a program that an interrupt has ended.
const INTERRUPTED: u8 = 130;

/// Whether somebody wants the run to end.
#[derive(Clone)]
pub struct Stop {
    seen: Arc<AtomicBool>,
    team: Team,
}

impl Stop {
    /// From now on the first Ctrl-C, SIGTERM or SIGHUP asks the run to end after its current step,
    /// and the second one ends the program at once. Of several ranks, all end as soon as one is
    /// asked to.
    pub fn on_signals(team: &Team) -> Result<Self> {
        let stop = Self { seen: Arc::new(AtomicBool::new(false)), team: team.clone() };
        let (seen, is_first) = (stop.seen.clone(), team.is_first());
        ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            if is_first {
                eprintln!("\nfinishing the step; press Ctrl-C again to leave at once");
            }
        })
        .context("Ctrl-C cannot be caught")?;
        Ok(stop)
    }

    /// Whether the run should end. All ranks ask at the same places.
    pub fn requested(&self) -> bool {
        self.team.any(self.seen.load(Ordering::Relaxed))
    }

    /// Whoever stops together.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Says how to go on, and with what code the program ends.
    pub fn exit_code(team: &Team) -> ExitCode {
        if team.is_first() {
            eprintln!("stopped: the same command with --resume goes on");
        }
        ExitCode::from(INTERRUPTED)
    }
}
