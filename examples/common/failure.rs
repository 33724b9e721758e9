//! How a program ends that could not do its work.

use std::process::ExitCode;

use anyhow::Error;

/// Prints an error on one line; the code to end with.
pub fn fail(error: &Error) -> ExitCode {
    eprintln!("error: {}", in_a_line(error));
    ExitCode::from(2)
}

/// An error with its causes.
pub fn in_a_line(error: &Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many a message tells its cause already.
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message.replace('\n', " ")
}
