//! What a stack shall be made of.

use std::path::{Path, PathBuf};

/// The message store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// The default: nothing more to run.
    Postgres,
    /// Through CQL; here a Cassandra answers it.
    Scylla,
}

impl Store {
    /// The value of the setting `STORE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Scylla => "scylla",
        }
    }
}

/// Where the processes listen on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ports {
    /// The documented ones; one that is taken is an error.
    Fixed,
    /// Free ones.
    Auto,
}

/// A stack to be started: the servers, migrations, api, gateways and workers.
///
/// ```no_run
/// use scripts::stack::{Plan, Store, TestStack};
/// # async fn example() -> anyhow::Result<()> {
/// let plan = Plan::for_test().store(Store::Scylla).gateways(2).env("gateway", "GATEWAY_PING_SECS", "5");
/// let stack = TestStack::start(plan).await?;
/// stack.kill9("gateway-1")?;
/// stack.restart("gateway-1").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) run_dir: Option<PathBuf>,
    pub(super) binaries: PathBuf,
    pub(super) store: Store,
    pub(super) gateways: u16,
    pub(super) workers: u16,
    pub(super) nats_servers: u16,
    pub(super) ports: Ports,
    pub(super) has_limits: bool,
    /// Process (or kind of process), variable, value.
    pub(super) env: Vec<(String, String, String)>,
    /// Process (or kind of process) and the one core it may use.
    pub(super) cores: Vec<(String, usize)>,
    pub(super) is_detached: bool,
    pub(super) has_callers_settings: bool,
}

impl Plan {
    /// A stack for people, in `run_dir`; it stays when this process ends.
    pub fn new(run_dir: &Path) -> Self {
        Self {
            run_dir: Some(run_dir.to_owned()),
            binaries: PathBuf::new(),
            store: Store::Postgres,
            gateways: 1,
            workers: 1,
            nats_servers: 1,
            ports: Ports::Fixed,
            has_limits: true,
            env: Vec::new(),
            cores: Vec::new(),
            is_detached: true,
            has_callers_settings: true,
        }
    }

    /// A stack for one test: free ports, a folder that is gone afterwards, a nats-server of its own, and a database,
    /// keyspace and prefix of its own on the servers that tests share. The programs are those `cargo x test` built.
    pub fn for_test() -> Self {
        // A test lies in <target>/<profile>/deps, the programs one folder above.
        let test = std::env::current_exe().unwrap_or_default();
        let binaries = test.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        Self {
            run_dir: None,
            binaries: binaries.to_owned(),
            ports: Ports::Auto,
            is_detached: false,
            has_callers_settings: false,
            ..Self::new(Path::new(""))
        }
    }

    /// The message store; PostgreSQL if not said.
    #[must_use]
    pub fn store(self, store: Store) -> Self {
        Self { store, ..self }
    }

    /// How many gateways; 1 if not said.
    #[must_use]
    pub fn gateways(self, gateways: u16) -> Self {
        Self { gateways, ..self }
    }

    /// How many workers; 1 if not said.
    #[must_use]
    pub fn workers(self, workers: u16) -> Self {
        Self { workers, ..self }
    }

    /// How many nats-servers; 1 if not said. Several are a cluster, and every stream has a copy on each of three.
    #[must_use]
    pub fn nats_servers(self, nats_servers: u16) -> Self {
        let copies = nats_servers.clamp(1, 3).to_string();
        Self { nats_servers, ..self }.env("chat-worker", "STREAM_REPLICAS", &copies)
    }

    /// Whether api and gateways limit rates, handshakes and connections; they do if not said.
    #[must_use]
    pub fn limits(self, has_limits: bool) -> Self {
        Self { has_limits, ..self }
    }

    /// The folder with our own programs.
    #[must_use]
    pub fn binaries(self, binaries: PathBuf) -> Self {
        Self { binaries, ..self }
    }

    /// Fixed or free ports.
    #[must_use]
    pub fn ports(self, ports: Ports) -> Self {
        Self { ports, ..self }
    }

    /// One more setting for `process`: a name (`gateway-2`) or a kind (`api`, `gateway`, `chat-worker`).
    #[must_use]
    pub fn env(mut self, process: &str, name: &str, value: &str) -> Self {
        self.env.push((process.to_owned(), name.to_owned(), value.to_owned()));
        self
    }

    /// Gives `process`, a name or a kind as in [`Plan::env`] or a server's name (`nats`), one core and no other.
    #[must_use]
    pub(crate) fn core(mut self, process: &str, core: usize) -> Self {
        self.cores.push((process.to_owned(), core));
        self
    }

    /// The core of the process `name`, if it was given one.
    pub(super) fn core_of(&self, name: &str) -> Option<usize> {
        let is_meant = |process: &str| kind_of(name) == process || name == process;
        self.cores.iter().find(|(process, _)| is_meant(process)).map(|(_, core)| *core)
    }

    /// The settings added for the process `name`, in the order they were added.
    pub(super) fn env_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.env
            .iter()
            .filter(move |(process, _, _)| kind_of(name) == process || name == process)
            .map(|(_, variable, value)| (variable.as_str(), value.as_str()))
    }
}

/// `gateway` for `gateway-2`; a name without a number is its own kind.
pub(super) fn kind_of(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((kind, number)) if number.parse::<u16>().is_ok() => kind,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_for_one_process_or_for_a_kind() {
        let plan = Plan::for_test().env("gateway", "A", "1").env("gateway-2", "A", "2").env("chat-worker", "B", "3");
        let of = |name| plan.env_of(name).collect::<Vec<_>>();
        assert_eq!(of("gateway-1"), [("A", "1")]);
        assert_eq!(of("gateway-2"), [("A", "1"), ("A", "2")]);
        assert_eq!(of("chat-worker-1"), [("B", "3")]);
        assert_eq!(of("api"), []);
    }
}
