//! The CPU twins against definitions and finite differences.

mod common;

mod reference {
    mod conv;
    mod layers;
    mod network;
    mod norm;
}
