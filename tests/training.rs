//! Training on the device: steps, goldens, checkpoints, limits.

mod common;

mod training {
    mod goldens;
    mod limits;
    mod lost;
    mod not_finite;
    mod pytorch;
    mod soak;
    mod trainer;
}
