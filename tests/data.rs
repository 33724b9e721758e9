//! Readers of data sets, through the public `open`.
#![cfg(feature = "data")]

mod data {
    mod image_folder;
    mod readers;
    mod support;
}
