//! How a test finds the servers that tests share.

use std::{env, fs, path::Path};

use crate::workspace;

/// How a run of tests is told to go through the pooler.
pub(crate) const POOLER_PORT: &str = "TEST_PGBOUNCER_PORT";

/// The value of `name` (`DATABASE_URL`, `REDIS_URL`, `CQL_NODES`) for this test: the environment's, else that of the
/// servers `cargo x servers up` started.
///
/// # Panics
///
/// When there is neither: a test that cannot run must fail, and say how it can.
#[expect(clippy::panic, reason = "only tests call this, and a panic is how a test fails")]
pub fn test_env(name: &str) -> String {
    env::var(name)
        .ok()
        .or_else(|| read_from(&workspace::test_run_dir().join("stack.env"), name))
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| {
            panic!("{name} is not set: start the servers with `cargo x servers up`, or run through `cargo x test`")
        })
}

/// The port of the pooler that a test shall reach PostgreSQL through, when `cargo x test --pgbouncer` says so.
pub fn test_pooler_port() -> Option<u16> {
    env::var(POOLER_PORT).ok()?.parse().ok()
}

/// The value of `name` in a file of `NAME=value` lines; `None` without such a file or line.
fn read_from(file: &Path, name: &str) -> Option<String> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_everything_after_the_first_equals_sign() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stack.env");
        fs::write(&file, "STORE=scylla\nDATABASE_URL=postgres://u@h/db?a=b\n").unwrap();
        assert_eq!(read_from(&file, "DATABASE_URL").as_deref(), Some("postgres://u@h/db?a=b"));
        assert_eq!(read_from(&file, "REDIS_URL"), None);
        assert_eq!(read_from(&folder.path().join("absent"), "STORE"), None);
    }
}
