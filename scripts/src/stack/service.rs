//! Our own three processes: the settings each is started with.

use std::{
    collections::BTreeMap,
    env,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    plan::{Plan, Store},
    process::{Process, Stop, tail_of},
    ready::Ready,
    run_dir::RunDir,
    server,
};
use crate::{console, source, tool, workspace};

const READY_WITHIN: Duration = Duration::from_mins(1);

/// Would send our processes to another server than the stack's own, and are no wish of the caller's.
const NOT_TAKEN_OVER: [&str; 2] = ["DATABASE_DIRECT_URL", "TIMINGLE_LIMITS"];

/// Where the servers are that our processes use.
#[derive(Clone, Debug)]
pub(super) struct Backing {
    pub(super) database_url: String,
    pub(super) redis_url: String,
    pub(super) redis_prefix: Option<String>,
    /// One, or those of a cluster.
    pub(super) nats_ports: Vec<u16>,
    pub(super) cql_nodes: Option<String>,
    pub(super) cql_keyspace: String,
}

/// The ports of one of our processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listeners {
    /// For users; a worker has none.
    pub(super) public: Option<u16>,
    /// For operators.
    pub(super) ops: u16,
}

/// Variables and their values.
pub(super) type Settings = BTreeMap<String, String>;

/// What all our processes of a stack have in common.
#[derive(Debug)]
pub(super) struct Services<'a> {
    pub(super) plan: &'a Plan,
    pub(super) run_dir: &'a RunDir,
    pub(super) backing: Backing,
    pub(super) api: Listeners,
    pub(super) signing_key: String,
    /// See [`callers_settings`].
    pub(super) callers: Settings,
}

/// The settings in this command's own environment: `GATEWAY_PING_SECS=5 cargo x up` does what it says.
pub(super) fn callers_settings(plan: &Plan) -> Result<Settings> {
    if !plan.has_callers_settings {
        return Ok(Settings::new());
    }
    let known = source::product_settings(workspace::root())?;
    let is_taken = |name: &str| (known.contains(name) || name == "RUST_BACKTRACE") && !NOT_TAKEN_OVER.contains(&name);
    Ok(env::vars().filter(|(name, _)| is_taken(name)).collect())
}

impl Services<'_> {
    pub(super) fn api(&self) -> Result<Process> {
        let mut settings = self.settings("api", "api");
        set(&mut settings, "API_LISTEN", listen(self.api.public));
        set(&mut settings, "API_OPS_LISTEN", listen(Some(self.api.ops)));
        set(&mut settings, "JWT_PRIVATE_KEY", self.signing_key.clone());
        self.set_redis(&mut settings);
        self.process("api", "api", &[], settings, self.api.ops)
    }

    pub(super) fn gateway(&self, name: &str, listeners: Listeners) -> Result<Process> {
        let mut settings = self.settings(name, "gateway");
        let api_port = self.api.public.context("the api has a public port")?;
        set(&mut settings, "GATEWAY_ID", name.to_owned());
        set(&mut settings, "GATEWAY_LISTEN", listen(listeners.public));
        set(&mut settings, "GATEWAY_OPS_LISTEN", listen(Some(listeners.ops)));
        set(&mut settings, "JWKS_URL", format!("http://127.0.0.1:{api_port}/.well-known/jwks.json"));
        // As in its image: what a storm of handshakes needed for a moment goes back to the system.
        set(&mut settings, "MIMALLOC_PURGE_DELAY", "0".to_owned());
        self.set_redis(&mut settings);
        self.process(name, "gateway", &[], settings, listeners.ops)
    }

    pub(super) fn worker(&self, name: &str, listeners: Listeners) -> Result<Process> {
        let mut settings = self.settings(name, "worker");
        set(&mut settings, "WORKER_OPS_LISTEN", listen(Some(listeners.ops)));
        self.process(name, "chat-worker", &["run"], settings, listeners.ops)
    }

    /// Brings databases and streams to what this build wants, and returns when that is done.
    pub(super) fn migrate(&self) -> Result<()> {
        const NAME: &str = "migrate";
        console::step("migrating", "the database, the message store and the streams");
        let program = self.plan.binaries.join("chat-worker");
        let log_from = self.run_dir.log_bytes(NAME);
        let log = std::fs::File::options().create(true).append(true).open(self.run_dir.log_file(NAME))?;
        let status = Command::new(&program)
            .arg(NAME)
            .env_clear()
            .envs(self.settings("chat-worker", "worker"))
            .current_dir(self.run_dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        if !status.success() {
            bail!("the migrations failed ({status})\n{}", tail_of(self.run_dir, NAME, log_from));
        }
        Ok(())
    }

    /// The settings every process takes, with what was asked for this one on top.
    fn settings(&self, name: &str, nats_user: &str) -> Settings {
        let mut settings = Settings::new();
        set(&mut settings, "TIMINGLE_ENV", "development".to_owned());
        settings.extend(self.callers.clone());
        let backing = &self.backing;
        set(&mut settings, "TIMINGLE_LIMITS", if self.plan.has_limits { "on" } else { "off" }.to_owned());
        set(&mut settings, "STORE", self.plan.store.as_str().to_owned());
        set(&mut settings, "DATABASE_URL", backing.database_url.clone());
        set(&mut settings, "NATS_URL", server::nats::urls(nats_user, &backing.nats_ports));
        if self.plan.store == Store::Scylla {
            set(&mut settings, "CQL_NODES", backing.cql_nodes.clone().unwrap_or_default());
            set(&mut settings, "CQL_KEYSPACE", backing.cql_keyspace.clone());
        }
        for (variable, value) in self.plan.env_of(name) {
            set(&mut settings, variable, value.to_owned());
        }
        settings
    }

    fn set_redis(&self, settings: &mut Settings) {
        set(settings, "REDIS_URL", self.backing.redis_url.clone());
        if let Some(prefix) = &self.backing.redis_prefix {
            set(settings, "REDIS_PREFIX", prefix.clone());
        }
    }

    fn process(&self, name: &str, binary: &str, arguments: &[&str], settings: Settings, ops: u16) -> Result<Process> {
        let program = self.plan.binaries.join(binary);
        require(&program)?;
        Ok(Process {
            name: name.to_owned(),
            program,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: settings,
            folder: self.run_dir.path().to_owned(),
            core: None,
            run_as: None,
            ready: Ready::Http { port: ops },
            ready_within: READY_WITHIN,
            stop: Stop::Terminate,
            is_detached: self.plan.is_detached,
        })
    }
}

fn require(program: &Path) -> Result<()> {
    if !tool::is_program(program) {
        bail!(
            "{} is not there: `cargo build --workspace --bins` makes it, as `cargo x up` and `cargo x test` do",
            program.display()
        );
    }
    Ok(())
}

fn set(settings: &mut Settings, name: &str, value: String) {
    settings.insert(name.to_owned(), value);
}

fn listen(port: Option<u16>) -> String {
    format!("127.0.0.1:{}", port.unwrap_or_default())
}
