//! Weights of images that the network has never seen (Ren et al., ICML 2018, Figure 3).

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("weight_distribution")
}
