//! `cargo x`: see `cargo x --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scripts::run()
}
