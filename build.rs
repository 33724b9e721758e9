//! Says what to install where the feature `mpi` is built without an MPI library. The build script of
//! mpi-sys only says what it did not find.

use std::env;
use std::process::{Command, Stdio};

/// By which mpi-sys is told of a library.
const VARIABLES: [&str; 3] = ["MPICC", "MPI_PKG_CONFIG", "CRAY_MPICH_DIR"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in VARIABLES {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Windows has Microsoft's library, which is found in other ways.
    if env::var_os("CARGO_FEATURE_MPI").is_none() || cfg!(windows) || has_mpi() {
        return;
    }
    println!(
        "cargo::error=the feature `mpi` needs an MPI library with its compiler wrapper mpicc, and \
         libclang. On Debian and Ubuntu: apt install libopenmpi-dev openmpi-bin libclang-dev. For \
         other systems see docs/many-machines.md; MPICC names a wrapper that is not in PATH"
    );
}

/// Whether there is one in the places where mpi-sys looks.
fn has_mpi() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some();
    let wrapper = env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    is_set("MPI_PKG_CONFIG")
        || is_set("CRAY_MPICH_DIR")
        || succeeds(&wrapper, &["-show"])
        || ["mpich", "ompi"].iter().any(|name| succeeds("pkg-config", &["--exists", name]))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
