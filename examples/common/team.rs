//! The processes that an MPI launcher started together, if one did.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Error, Result, anyhow};
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::report::StepProgress;
#[cfg(feature = "mpi")]
use l2rw::train::MpiRanks;
use l2rw::train::{Examples, Ranks, TrainError, Trainer, TrainerOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::fail;

/// This process among those that train together: alone, or one rank of several. All ranks make the
/// same calls of methods that say so, in the same order.
#[derive(Clone, Default)]
pub struct Team {
    #[cfg(feature = "mpi")]
    mpi: Option<MpiRanks>,
}

impl Team {
    /// Whoever was started together with this process: nobody where the program was built without
    /// `mpi`. What other ranks than the first print goes nowhere, errors apart.
    #[cfg(feature = "mpi")]
    pub fn join() -> Result<Self> {
        let team = Self { mpi: MpiRanks::launched()? };
        if !team.is_first() {
            silence()?;
        }
        Ok(team)
    }

    #[cfg(not(feature = "mpi"))]
    pub fn join() -> Result<Self> {
        // Each of them would make the whole run.
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
            let count = std::env::var(name).ok().and_then(|count| count.parse::<usize>().ok());
            if count.is_some_and(|count| count > 1) {
                let why = "several ranks were started of a program that was built without MPI";
                return Err(anyhow!("{why}: build it with --features cli,mpi"));
            }
        }
        Ok(Self::default())
    }

    /// All ranks, of a process that is not alone.
    #[cfg(feature = "mpi")]
    pub fn ranks(&self) -> Option<Arc<dyn Ranks>> {
        self.mpi.clone().map(|ranks| Arc::new(ranks) as Arc<dyn Ranks>)
    }

    #[cfg(not(feature = "mpi"))]
    pub fn ranks(&self) -> Option<Arc<dyn Ranks>> {
        None
    }

    /// Number of this rank among those on this machine; `None` of a process that is alone.
    pub fn local_rank(&self) -> Option<usize> {
        #[cfg(feature = "mpi")]
        return self.mpi.as_ref().map(MpiRanks::local_rank);
        #[cfg(not(feature = "mpi"))]
        None
    }

    /// Whether files and the screen are this process's to write to.
    pub fn is_first(&self) -> bool {
        self.ranks().is_none_or(|ranks| ranks.rank() == 0)
    }

    /// Prints an error and ends all processes; the code to end with, of a process that is alone.
    pub fn fail(&self, error: &Error) -> ExitCode {
        #[cfg(feature = "mpi")]
        if let Some(ranks) = &self.mpi {
            ranks.abort(&super::failure::in_a_line(error));
        }
        fail(error)
    }

    /// Whether any rank says so. All make the call.
    pub fn any(&self, own: bool) -> bool {
        let Some(ranks) = self.ranks() else { return own };
        let mut word = [u32::from(own)];
        // Who cannot be reached here cannot be in the next step either, which says why.
        ranks.maximum(&mut word).map_or(own, |()| word != [0])
    }

    /// What the first rank alone does, or why it failed, on every rank. All make the call.
    pub fn on_first<T: Serialize + DeserializeOwned>(
        &self,
        what: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(ranks) = self.ranks() else { return what() };
        if ranks.rank() == 0 {
            let own = what();
            let told = own.as_ref().map_err(super::failure::in_a_line);
            ranks.broadcast(serde_json::to_vec(&told)?)?;
            return own;
        }
        let told: Result<T, String> = serde_json::from_slice(&ranks.broadcast(Vec::new())?)?;
        told.map_err(|reason| anyhow!(reason))
    }

    /// Bytes that the first rank has, on every rank. All make the call.
    pub fn of_first(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        match self.ranks() {
            Some(ranks) => Ok(ranks.broadcast(own)?),
            None => Ok(own),
        }
    }

    /// A trainer that is alone, or one of as many as there are ranks. All make the call.
    pub fn trainer(
        &self,
        context: &Context,
        network: &Network,
        train: Examples<'_>,
        clean: Option<Examples<'_>>,
        options: &TrainerOptions,
    ) -> Result<Trainer, TrainError> {
        match self.ranks() {
            Some(ranks) => Trainer::distributed(context, network, train, clean, options, ranks),
            None => Trainer::new(context, network, train, clean, options),
        }
    }

    /// Progress of a run, which the first rank shows.
    pub fn progress(&self, name: &str, steps: u64) -> StepProgress {
        match self.is_first() {
            true => StepProgress::new(name, steps),
            false => StepProgress::to_writer(name, steps, io::sink()),
        }
    }
}

/// Leads standard output nowhere.
#[cfg(all(feature = "mpi", unix))]
fn silence() -> Result<()> {
    use std::os::fd::AsRawFd;
    let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
    // SAFETY: both descriptors are open, and that of standard output stays so.
    let done = unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDOUT_FILENO) };
    anyhow::ensure!(done >= 0, "standard output: {}", io::Error::last_os_error());
    Ok(())
}

#[cfg(all(feature = "mpi", not(unix)))]
fn silence() -> Result<()> {
    Ok(())
}
