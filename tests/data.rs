//! Readers of data sets, through the public `open`, and all that is read by what fuzzing tried.
#![cfg(feature = "data")]

mod data {
    mod damaged_pictures;
    #[path = "../../fuzz/src/lib.rs"]
    mod fuzz;
    mod fuzz_seeds;
    mod image_folder;
    mod manifest;
    mod pictures;
    mod readers;
    mod support;
    #[cfg(feature = "tables")]
    mod tables;
}
