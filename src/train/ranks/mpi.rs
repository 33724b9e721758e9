//! Ranks that are processes which an MPI launcher has started.

use std::env;
use std::ffi::{c_char, c_int};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use ::mpi::Threading;
use ::mpi::environment::Universe;
use ::mpi::ffi;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{AsRaw, Communicator};

use super::{Ranks, RanksError};

/// A rank that is a process, on this machine or another: the processes that `mpirun`, `srun` or
/// their like have started together. Any MPI library will do that allows calls of several threads,
/// one after the other.
///
/// Handles are cheap to clone. MPI is initialised by the first one and finalised when the last one
/// is dropped, on every rank; the last one should go on the thread that made the first. A program
/// that has initialised MPI itself finalises it itself, after the last handle.
///
/// MPI has the others wait for a rank that has ended. So a rank that cannot go on has to end all of
/// them: with [`abort`](Self::abort) where it has an error. A panic that drops the last handle does
/// the same, and a process that is killed or exits early is the launcher's to notice.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use l2rw::train::{MpiRanks, Ranks, RanksError};
///
/// fn train(ranks: Arc<dyn Ranks>) -> Result<(), RanksError> {
///     // Trainer::distributed(&context, &network, train, Some(clean), &options, ranks)
///     ranks.barrier()
/// }
///
/// fn main() -> Result<(), RanksError> {
///     let ranks = MpiRanks::new()?;
///     if let Err(error) = train(Arc::new(ranks.clone())) {
///         ranks.abort(&error.to_string());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct MpiRanks(Arc<Engine>);

/// What all handles of a process share.
struct Engine {
    rank: usize,
    count: usize,
    local_rank: usize,
    world: Mutex<World>,
}

/// What one thread at a time may use. The communicator has to go before MPI is finalised.
struct World {
    communicator: SimpleCommunicator,
    /// None where the program has initialised MPI.
    _universe: Option<Universe>,
}

// SAFETY: MPI was initialised for calls of any thread, one after the other, which is what the lock
// around the only place that holds a `World` makes of them.
unsafe impl Send for World {}

static LIVE: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

/// For how long another rank than 0 keeps its error to itself: where all fail alike, the message of
/// rank 0 is enough. Open MPI gives processes a second between its signals.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process ends with that has ended all of them.
const FAILURE: c_int = 2;

/// Variables by which launchers tell a process that it is one of several.
const LAUNCHERS: [&str; 5] =
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_SIZE"];

impl MpiRanks {
    /// All processes that were started together. Waits for the others.
    ///
    /// # Errors
    /// When the MPI library allows calls of its main thread alone, or was finalised already, which
    /// is for good.
    pub fn new() -> Result<Self, RanksError> {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = live.upgrade() {
            return Ok(Self(engine));
        }
        let engine = Arc::new(Engine::new()?);
        *live = Arc::downgrade(&engine);
        Ok(Self(engine))
    }

    /// The same, but `None` where no launcher has started this process, or has started it alone:
    /// for programs that run with and without.
    ///
    /// # Errors
    /// As [`MpiRanks::new`].
    pub fn launched() -> Result<Option<Self>, RanksError> {
        if LAUNCHERS.iter().all(|name| env::var_os(name).is_none()) {
            return Ok(None);
        }
        Ok(Some(Self::new()?).filter(|ranks| ranks.count() > 1))
    }

    /// Number of this rank among those on the same machine, from 0: what to choose a device by.
    pub fn local_rank(&self) -> usize {
        self.0.local_rank
    }

    /// Ends the processes of all ranks with exit code 2, after a line on standard error that names
    /// this rank and says why. Files that other ranks are writing stay unfinished.
    ///
    /// Where all ranks fail alike one line is enough: those above 0 wait for two seconds, in which
    /// rank 0 may end them.
    pub fn abort(&self, message: &str) -> ! {
        self.0.abort(message)
    }
}

impl Engine {
    fn new() -> Result<Self, RanksError> {
        let fail = |reason: &str| RanksError { rank: 0, count: 1, reason: reason.to_owned() };
        if ::mpi::is_finalized() {
            return Err(fail("MPI was finalised in this process, which is for good"));
        }
        let initialised = ::mpi::initialize_with_threading(Threading::Serialized);
        let universe = initialised.map(|(universe, _)| universe);
        if ::mpi::environment::threading_support() < Threading::Serialized {
            return Err(fail("this MPI library allows calls of its main thread alone"));
        }
        let world = SimpleCommunicator::world();
        let communicator = world.duplicate();
        // SAFETY: the communicator is a valid one, and its error handler MPI's own.
        unsafe { ffi::MPI_Comm_set_errhandler(communicator.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        let [rank, count] = [world.rank(), world.size()].map(|number| number as usize);
        let local_rank = world.split_shared(world.rank()).rank() as usize;
        let world = Mutex::new(World { communicator, _universe: universe });
        Ok(Self { rank, count, local_rank, world })
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abort(&self, message: &str) -> ! {
        if self.rank > 0 {
            thread::sleep(PATIENCE);
        }
        let name = format!("rank {} of {}: ", self.rank, self.count);
        eprintln!("error: {name}{}", message.strip_prefix(&name).unwrap_or(message));
        // The lock may be that of a call which waits for other ranks. A process that exits without
        // having finalised MPI makes its launcher end the others.
        match self.world.try_lock() {
            Ok(world) => world.communicator.abort(FAILURE),
            Err(_) => std::process::exit(FAILURE),
        }
    }

    fn error(&self, reason: String) -> RanksError {
        RanksError { rank: self.rank, count: self.count, reason }
    }

    /// What MPI returned from a call, as a result.
    fn check(&self, name: &str, code: c_int) -> Result<(), RanksError> {
        if code == ffi::MPI_SUCCESS as c_int {
            return Ok(());
        }
        let mut text = vec![0_u8; ffi::MPI_MAX_ERROR_STRING as usize];
        let mut len = 0;
        // SAFETY: the text has room for the longest that MPI may write.
        unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast::<c_char>(), &mut len) };
        text.truncate(len.max(0) as usize);
        Err(self.error(format!("{name}: {}", String::from_utf8_lossy(&text))))
    }

    fn parts(&self, words: &[usize], len: usize) -> Result<Parts, RanksError> {
        let too_many =
            || self.error("2^31 words or more at once are beyond what MPI counts".into());
        let (mut counts, mut firsts, mut first) = (Vec::new(), Vec::new(), 0_usize);
        for &count in words {
            counts.push(c_int::try_from(count).map_err(|_| too_many())?);
            firsts.push(c_int::try_from(first).map_err(|_| too_many())?);
            first += count;
        }
        if first != len || words.len() != self.count {
            return Err(self.error("the parts of the ranks are not the whole".into()));
        }
        Ok(Parts { counts, firsts })
    }
}

/// The words of each rank in a slice: how many there are, and where they begin.
struct Parts {
    counts: Vec<c_int>,
    firsts: Vec<c_int>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        if thread::panicking() {
            self.abort("it has panicked");
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}, {} of its machine", self.rank, self.count, self.local_rank)
    }
}

/// A call that another rank makes with other counts, or does not make, fails where MPI notices:
/// too many words always, too few not.
impl Ranks for MpiRanks {
    fn rank(&self) -> usize {
        self.0.rank
    }

    fn count(&self) -> usize {
        self.0.count
    }

    fn all_to_all(
        &self,
        from: &[u32],
        sent: &[usize],
        into: &mut [u32],
        received: &[usize],
    ) -> Result<(), RanksError> {
        let sent = self.0.parts(sent, from.len())?;
        let received = self.0.parts(received, into.len())?;
        let world = self.0.lock();
        // SAFETY: as many counts and places as there are ranks, all of them within the slices.
        let code = unsafe {
            ffi::MPI_Alltoallv(
                from.as_ptr().cast(),
                sent.counts.as_ptr(),
                sent.firsts.as_ptr(),
                ffi::RSMPI_UINT32_T,
                into.as_mut_ptr().cast(),
                received.counts.as_ptr(),
                received.firsts.as_ptr(),
                ffi::RSMPI_UINT32_T,
                world.communicator.as_raw(),
            )
        };
        self.0.check("MPI_Alltoallv", code)
    }

    fn all_gather(
        &self,
        own: &[u32],
        into: &mut [u32],
        counts: &[usize],
    ) -> Result<(), RanksError> {
        let parts = self.0.parts(counts, into.len())?;
        let len = parts.counts[self.0.rank];
        if own.len() != len as usize {
            let own = own.len();
            return Err(self.0.error(format!("{own} words are sent where {len} are expected")));
        }
        let world = self.0.lock();
        // SAFETY: as many counts and places as there are ranks, all of them within the slice.
        let code = unsafe {
            ffi::MPI_Allgatherv(
                own.as_ptr().cast(),
                len,
                ffi::RSMPI_UINT32_T,
                into.as_mut_ptr().cast(),
                parts.counts.as_ptr(),
                parts.firsts.as_ptr(),
                ffi::RSMPI_UINT32_T,
                world.communicator.as_raw(),
            )
        };
        self.0.check("MPI_Allgatherv", code)
    }
}
