//! BackgroundFlip (Ren et al., ICML 2018, Table 2): many training images carry the label of one
//! background class. Plain training learns the noise; with a few trusted images L2RW does not.

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("cifar_backgroundflip")
}
