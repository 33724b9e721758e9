//! What holds for the decoders of every format, whatever a file holds.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many bytes a byte becomes at most in zlib's format, hence in gzip and in zip
/// (<https://zlib.net/zlib_tech.html>).
pub(super) const DEFLATE_INFLATION: u64 = 1032;

/// Decoders are held to return, but one that does not must not take more with it than its file.
pub(super) fn without_panic<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let panicked = |_| Err("its decoder panicked: it is damaged".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}
