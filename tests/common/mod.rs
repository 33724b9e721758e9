//! What several test binaries share.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod device;
pub mod differences;
pub mod ranks;
pub mod steps;
pub mod table;
pub mod values;
pub mod windows;
