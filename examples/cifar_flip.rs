//! Flip (Shu et al., NeurIPS 2019): many training images carry the label of one of two classes that
//! theirs is mistaken for.

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("cifar_flip")
}
