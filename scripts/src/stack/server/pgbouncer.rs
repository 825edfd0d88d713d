//! PgBouncer before the tests' PostgreSQL, in transaction mode: each transaction may get another of few connections, so
//! whatever a program leaves on one is missed at once.

use std::{fs, os::unix::fs::chown, time::Duration};

use anyhow::Result;

use super::{
    super::{
        process::{Process, Stop},
        ready::Ready,
        run_dir::RunDir,
    },
    postgres::OWNER,
};
use crate::tool;

/// The name of its files in a run folder.
pub(in crate::stack) const NAME: &str = "pgbouncer";

const READY_WITHIN: Duration = Duration::from_mins(1);

/// A pooler on `port` before the PostgreSQL on `postgres_port`.
pub(in crate::stack) fn process(run_dir: &RunDir, port: u16, postgres_port: u16) -> Result<Process> {
    let program = tool::pgbouncer::ensure()?;
    let run_as = tool::postgres::run_as()?;
    // Not in the run folder, which its user may not be able to enter.
    let folder = std::env::temp_dir().join(format!("timingle-pgbouncer-{port}"));
    fs::create_dir_all(&folder)?;
    let settings = folder.join("pgbouncer.ini");
    fs::write(&settings, ini(port, postgres_port))?;
    if let Some((user, group)) = run_as {
        chown(&folder, Some(user), Some(group))?;
    }
    Ok(Process {
        name: NAME.to_owned(),
        program,
        arguments: vec![settings.display().to_string()],
        environment: [("LC_ALL".to_owned(), "C.UTF-8".to_owned())].into(),
        folder: run_dir.path().to_owned(),
        core: None,
        run_as,
        ready: Ready::Postgres { pg_isready: tool::postgres::ensure()?.get("pg_isready"), port },
        ready_within: READY_WITHIN,
        stop: Stop::Terminate,
        is_detached: true,
    })
}

fn ini(port: u16, postgres_port: u16) -> String {
    format!(
        "[databases]
* = host=127.0.0.1 port={postgres_port} user={OWNER}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 2000
; Few: two transactions of one client seldom meet the same.
default_pool_size = 4
max_db_connections = 4
ignore_startup_parameters = extra_float_digits
; sqlx names its statements by numbers, from one on in each connection.
server_reset_query = DEALLOCATE ALL
server_reset_query_always = 1
; A test's database is dropped when it ends: nobody may be connected then.
server_idle_timeout = 1
"
    )
}
