//! Learning to reweight in the browser: two trainings side by side, and what the page shows of
//! them. `page/` has the page itself.

mod data;
mod fixture;
#[cfg(target_arch = "wasm32")]
mod page;
mod session;

pub use data::{Pictures, SIDE};
pub use fixture::{Fixture, run as run_fixture};
pub use session::{Progress, Session, Suspect};

/// What goes wrong, in words for the visitor.
pub type Failure = Box<dyn std::error::Error>;
