//! Test accuracy against the number of trusted images (Ren et al., ICML 2018, Figure 4).

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("clean_set_size")
}
