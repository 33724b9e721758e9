//! What the long-running examples share: errors, lost devices, stopping on signals, and output
//! folders that a run can be taken up from again.

mod adapter;
mod devices;
mod failure;
mod folder;
mod stop;
mod team;

pub use adapter::open_adapter;
pub use devices::Devices;
pub use failure::fail;
pub use folder::{Continuation, RunFolder, check_apart};
pub use stop::Stop;
pub use team::Team;
