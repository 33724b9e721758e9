//! Ctrl-C and its like end a run after the current step.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// What the shell expects of a program that an interrupt has ended.
const INTERRUPTED: u8 = 130;

/// Whether somebody wants the run to end.
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first Ctrl-C, SIGTERM or SIGHUP asks the run to end after its current step,
    /// and the second one ends the program at once.
    pub fn on_signals() -> Result<Self> {
        let stop = Self(Arc::new(AtomicBool::new(false)));
        let seen = stop.clone();
        ctrlc::set_handler(move || {
            if seen.0.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            eprintln!("\nfinishing the step; press Ctrl-C again to leave at once");
        })
        .context("Ctrl-C cannot be caught")?;
        Ok(stop)
    }

    /// Whether the run should end.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says how to go on, and with what code the program ends.
    pub fn exit_code() -> ExitCode {
        eprintln!("stopped: the same command with --resume goes on");
        ExitCode::from(INTERRUPTED)
    }
}
