//! The program: `bench floor`, `bench load <plan>`, `bench rest`, `bench hostile`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Serves and loads WebSocket rooms for `cargo x bench`.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve rooms with one `send` of the same bytes for each delivery, and nothing else
    Floor {
        /// Where
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Do what a plan says and write a report
    Load {
        /// The plan, in JSON
        plan: PathBuf,
        /// Where the report goes, in JSON
        report: PathBuf,
    },
    /// Ask the api for pages and bookings, and its database for the same without the api
    Rest(bench::rest::Arguments),
    /// Misbehave, for others' sake
    Hostile(bench::hostile::Arguments),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Floor { listen } => bench::floor::serve(listen),
        Command::Load { plan, report } => bench::load::run(&plan, &report),
        Command::Rest(arguments) => bench::rest::run(&arguments),
        Command::Hostile(arguments) => bench::hostile::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this program has no other voice")]
            {
                eprintln!("bench: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
