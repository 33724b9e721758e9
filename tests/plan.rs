//! Plans as data: everything here runs without a device.

mod plan {
    mod plans;
}
