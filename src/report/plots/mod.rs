//! PNG plots that need neither a system font nor a display, and survive any input.
//!
//! Each function draws one picture and puts it in its place in one step, so that a failure leaves
//! an older picture as it was. Where there is nothing to draw, the picture says so.

mod confusion;
mod curves;
mod estimates;
mod glyphs;
mod surface;
mod suspects;
mod theme;
mod weight_function;
mod weights;

pub use confusion::confusion;
pub use curves::curves;
pub use estimates::{Line, Row, Titles, against, rows};
pub use suspects::{MAX_SUSPECTS, Suspect, doubtful, suspects};
pub use theme::class_label;
pub use weight_function::{WeightFunction, weight_function};
pub use weights::weights;
