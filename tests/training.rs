//! Training on the device: steps, goldens, checkpoints, limits.

mod common;

mod training {
    mod checkpoints;
    mod distributed;
    mod examples;
    mod freezing;
    mod goldens;
    mod limits;
    mod lost;
    mod not_finite;
    mod parameters;
    mod prediction;
    mod pytorch;
    mod random_networks;
    mod recovery;
    mod schedules;
    mod soak;
    mod streaming;
    mod trainer;
    mod waiting;
}
