//! Tables, files and pictures.
#![cfg(feature = "report")]

mod report {
    mod plots;
    mod results;
    mod stats;
}
