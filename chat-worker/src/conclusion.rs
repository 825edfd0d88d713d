//! How a command for operators ends, and the exit code that says so.

use std::process::ExitCode;

use crate::console;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// It did what it was asked, and nothing is wrong.
    Done,
    /// It did what it was asked, and there is something for the operator to do.
    Found,
}

/// The exit code of a command that could not do its work (`EX_UNAVAILABLE` of sysexits): nothing was found out.
pub const EXIT_UNAVAILABLE: u8 = 69;

/// The exit code; an error is told on standard error.
pub fn exit_code(result: anyhow::Result<Conclusion>) -> ExitCode {
    match result {
        Ok(Conclusion::Done) => ExitCode::SUCCESS,
        Ok(Conclusion::Found) => ExitCode::FAILURE,
        Err(error) => {
            console::failure(&error);
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}
