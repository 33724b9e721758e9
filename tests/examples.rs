//! The examples as a user runs them.

mod examples {
    mod audit;
    mod backgroundflip;
    #[cfg(unix)]
    mod disks;
    mod interrupted;
    mod support;
}
