//! The program and the examples as a user runs them.

mod examples {
    mod audit;
    mod cases;
    mod command;
    #[path = "../../examples/common/devices.rs"]
    mod devices;
    #[cfg(unix)]
    mod disks;
    mod experiments;
    mod interrupted;
    mod lost;
    mod page;
    mod program;
    mod support;
    mod sweeps;
}
