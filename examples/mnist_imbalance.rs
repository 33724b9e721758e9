//! Fours against up to 200 times as many nines (Ren et al., ICML 2018, Figure 2).

mod experiments;

use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::main("mnist_imbalance")
}
