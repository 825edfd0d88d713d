//! Settings come from the environment, are checked before a port is bound, and name the variable that
//! is wrong.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::{
    Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

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
    read(std::env::args_os(), check).map_err(Refusal::tell)
}

/// Why there are no settings to go on with.
#[derive(Debug)]
enum Refusal {
    /// They were not asked for: the answer is the help or the version.
    Help(clap::Error),
    /// They are wrong: the answer is which, and why.
    Bad(String),
}

impl Refusal {
    fn tell(self) -> ExitCode {
        use std::io::Write as _;
        match self {
            Self::Help(help) => help.print().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
            Self::Bad(reason) => {
                // Logging is not set up yet, and nothing can be done if standard error is closed.
                drop(writeln!(std::io::stderr(), "bad settings: {reason}"));
                ExitCode::from(EXIT_BAD_SETTINGS)
            }
        }
    }
}

fn read<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    check: impl FnOnce(&C) -> Result<(), BadSetting>,
) -> Result<C, Refusal> {
    let config = C::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error),
        _ => Refusal::Bad(name_variables(C::command(), &error)),
    })?;
    check(&config).map_err(|error| Refusal::Bad(error.to_string()))?;
    #[cfg(feature = "mutants")]
    crate::mutant::check().map_err(|error| Refusal::Bad(error.to_string()))?;
    Ok(config)
}

/// The parser speaks of `--environment`; who set a variable is told its name.
fn name_variables(mut command: clap::Command, error: &clap::Error) -> String {
    command.build();
    let named: Vec<&str> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => vec![argument],
        Some(ContextValue::Strings(arguments)) => arguments.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let variables: Vec<_> = command
        .get_arguments()
        .filter(|argument| named.contains(&argument.to_string().as_str()))
        .filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned()))
        .collect();
    if variables.is_empty() { error.to_string() } else { format!("{}: {error}", variables.join(", ")) }
}

/// Reads a number of seconds, fractions allowed: `54`, `0.25`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_not_a_number| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process's settings, as small as they come.
    #[derive(Debug, Parser)]
    struct Small {
        #[command(flatten)]
        common: CommonSettings,
        #[command(flatten)]
        log: crate::telemetry::LogSettings,
        /// Cannot be done without.
        #[arg(long = "where-to", env = "SMALL_TEST_ADDRESS", hide_env_values = true)]
        address: String,
    }

    fn read_small(arguments: &[&str]) -> Result<Small, Refusal> {
        let arguments = ["small"].iter().chain(arguments).map(OsString::from);
        read(arguments, |small: &Small| small.common.check())
    }

    fn refused(arguments: &[&str]) -> (String, ExitCode) {
        let refusal = read_small(arguments).expect_err("these settings are wrong");
        let Refusal::Bad(reason) = &refusal else { panic!("{refusal:?} is no refusal") };
        (reason.clone(), refusal.tell())
    }

    #[test]
    fn wrong_settings_name_the_variable_and_end_with_64() {
        let check = |arguments: &[&str], variable: &str| {
            let (reason, code) = refused(arguments);
            assert!(reason.starts_with(variable), "{arguments:?} says {reason:?}, not {variable}");
            assert_eq!(code, ExitCode::from(64), "{arguments:?}");
        };
        // As the parser sees it ...
        check(&["--where-to", "x", "--environment", "staging"], "TIMINGLE_ENV");
        check(&["--where-to", "x", "--clock-offset-ms", "soon"], "TIMINGLE_CLOCK_OFFSET_MS");
        check(&["--where-to", "x", "--log", "info,,=loud"], "TIMINGLE_LOG");
        check(&[], "SMALL_TEST_ADDRESS");
        // ... and as our own check does.
        check(&["--where-to", "x", "--limits", "off"], "TIMINGLE_LIMITS");
        check(&["--where-to", "x", "--clock-offset-ms", "-5"], "TIMINGLE_CLOCK_OFFSET_MS");
    }

    #[test]
    fn right_settings_and_a_question_for_help_are_no_mistake() {
        let small = read_small(&["--where-to", "x", "--log", "info,gateway=debug"]).expect("right settings");
        assert_eq!((small.address.as_str(), small.log.log.as_str()), ("x", "info,gateway=debug"));
        assert!(matches!(read_small(&["--help"]), Err(Refusal::Help(_))));
    }

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
