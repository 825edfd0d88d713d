//! Settings come from the environment, are checked before a port is bound, and name the variable that
//! is wrong.

use std::{fmt, process::ExitCode, time::Duration};

use clap::{Parser, error::ErrorKind};

/// Where the process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Environment {
    /// The only place where keys are generated, codes are logged, query tokens or bare user ids are
    /// taken and limits may be off.
    Development,
    /// Everything else.
    #[default]
    Production,
}

/// Whether rates, handshakes and numbers per user, room and address are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Limits {
    /// They are.
    #[default]
    On,
    /// They are not, for load tests. Sizes, queue caps and the bad-frame rule stay.
    Off,
}

impl Limits {
    /// Whether limits apply.
    pub const fn are_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What every process is told.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CommonSettings {
    /// `development` or `production`.
    #[arg(long, env = "TIMINGLE_ENV", value_enum, default_value = "production")]
    pub environment: Environment,
    /// `off` lifts rate and handshake limits and caps per user, room and address (development only).
    #[arg(long, env = "TIMINGLE_LIMITS", value_enum, default_value = "on")]
    pub limits: Limits,
    /// The process's clock.
    #[command(flatten)]
    pub clock: crate::clock::ClockSettings,
}

impl CommonSettings {
    /// Whether this is development.
    pub fn is_development(&self) -> bool {
        self.environment == Environment::Development
    }

    /// Refuses what production may not have.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.development_only("TIMINGLE_LIMITS", !self.limits.are_on())?;
        self.development_only("TIMINGLE_CLOCK_OFFSET_MS", self.clock.clock_offset_ms != 0)
    }

    /// Refuses `variable` in production if it is in use.
    pub fn development_only(&self, variable: &'static str, is_used: bool) -> Result<(), BadSetting> {
        if is_used && !self.is_development() {
            return Err(BadSetting::new(variable, "is for TIMINGLE_ENV=development only"));
        }
        Ok(())
    }
}

/// A setting that the process can not start with.
#[derive(Debug, thiserror::Error)]
#[error("{variable} {reason}")]
pub struct BadSetting {
    variable: &'static str,
    reason: String,
}

impl BadSetting {
    /// `variable` is wrong because of `reason`.
    pub fn new(variable: &'static str, reason: impl Into<String>) -> Self {
        Self { variable, reason: reason.into() }
    }
}

/// The exit code for settings that are wrong (`EX_USAGE` of sysexits).
pub const EXIT_BAD_SETTINGS: u8 = 64;

/// Reads the command line and the environment; on a mistake says which variable, on standard error.
pub fn parse<C: Parser>(check: impl FnOnce(&C) -> Result<(), BadSetting>) -> Result<C, ExitCode> {
    let config = match C::try_parse() {
        Ok(config) => config,
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Err(help.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS));
        }
        Err(error) => return Err(refuse(&error)),
    };
    match check(&config) {
        Ok(()) => Ok(config),
        Err(error) => Err(refuse(&error)),
    }
}

fn refuse(error: &dyn fmt::Display) -> ExitCode {
    use std::io::Write as _;
    // Logging is not set up yet, and nothing can be done if standard error is closed.
    drop(writeln!(std::io::stderr(), "bad settings: {error}"));
    ExitCode::from(EXIT_BAD_SETTINGS)
}

/// Reads a number of seconds, fractions allowed: `54`, `0.25`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_not_a_number| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_fractions_and_no_sign() {
        assert_eq!(seconds("54"), Ok(Duration::from_secs(54)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert!(seconds("-1").is_err());
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn production_refuses_what_only_development_may_have() {
        let common = |environment, limits| CommonSettings {
            environment,
            limits,
            clock: crate::clock::ClockSettings { clock_offset_ms: 0 },
        };
        assert!(common(Environment::Development, Limits::Off).check().is_ok());
        assert!(common(Environment::Production, Limits::On).check().is_ok());
        let error = common(Environment::Production, Limits::Off).check().expect_err("limits off in production");
        assert!(error.to_string().starts_with("TIMINGLE_LIMITS "));
    }
}
