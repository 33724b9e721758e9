//! Long tails (Shu et al., NeurIPS 2019, Table 1): classes of exponentially falling size.

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("cifar_longtail")
}
