//! UniformFlip (Ren et al., ICML 2018, Table 1): many training images carry the label of any class.

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("cifar_uniformflip")
}
