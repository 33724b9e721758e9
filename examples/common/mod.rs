//! What the long-running examples share: stopping on signals, and output folders that a run can be
//! taken up from again.

mod folder;
mod stop;

pub use folder::{Continuation, RunFolder, check_apart};
pub use stop::Stop;
