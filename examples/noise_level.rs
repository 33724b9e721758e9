//! Test accuracy against the share of wrong labels (Ren et al., ICML 2018, Figure 5).

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("noise_level")
}
