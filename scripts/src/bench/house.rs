//! The product as it is measured: a stack of its own, with servers and gateways on one core.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{SERVER_CORE, token::Tokens, world};
use crate::{
    stack::{self, Plan, Ports, Stack, Store},
    tool, workspace,
};

/// A running stack and what is needed to load it; ended and removed when it is dropped.
#[derive(Debug)]
pub(super) struct House {
    stack: Stack,
    pub(super) tokens: Tokens,
    gateways: u16,
}

/// How a house differs from the usual one.
#[derive(Clone, Debug)]
pub(super) struct Furnishing {
    pub(super) gateways: u16,
    pub(super) workers: u16,
    /// Where messages are stored.
    pub(super) store: Store,
    pub(super) has_limits: bool,
    /// `NAME=value`, for the gateways.
    pub(super) settings: Vec<String>,
    /// The port through which the first gateway reaches NATS, when its link is to be cut.
    pub(super) nats_proxy: Option<u16>,
}

impl House {
    pub(super) fn open(programs: &Path, furnishing: &Furnishing) -> Result<Self> {
        let folder = Self::folder();
        Stack::at(&folder).clear()?;
        let tokens = Tokens::new()?;
        let mut plan = Plan::new(&folder)
            .ports(Ports::Auto)
            .limits(furnishing.has_limits)
            .gateways(furnishing.gateways)
            .workers(furnishing.workers)
            .store(furnishing.store)
            .binaries(programs.to_owned())
            .core("nats", SERVER_CORE)
            .core("gateway", SERVER_CORE)
            .env("gateway", "JWT_PUBLIC_KEY", &tokens.public_key()?)
            .env("gateway", "TIMINGLE_LOG", "warn");
        for setting in &furnishing.settings {
            let (name, value) = setting.split_once('=').with_context(|| format!("{setting} is not NAME=value"))?;
            plan = plan.env("gateway", name, value);
        }
        if let Some(port) = furnishing.nats_proxy {
            plan = plan.env("gateway-1", "NATS_URL", &stack::nats_url("gateway", port));
        }
        let stack = stack::start(&plan)?;
        Ok(Self { stack, tokens, gateways: furnishing.gateways })
    }

    pub(super) fn folder() -> PathBuf {
        workspace::root().join(".run/bench")
    }

    /// Starts every gateway anew, so that a run begins with a clean process.
    pub(super) fn restart_gateways(&self) -> Result<()> {
        (1..=self.gateways).try_for_each(|number| self.stack.restart_now(&format!("gateway-{number}")))
    }

    pub(super) const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The process number of one of the stack's processes.
    pub(super) fn pid(&self, name: &str) -> Result<i32> {
        let conditions = self.stack.conditions()?;
        let found = conditions.into_iter().find(|condition| condition.name == name);
        found.and_then(|condition| condition.pid).with_context(|| format!("{name} does not run"))
    }

    pub(super) fn gateway_addresses(&self) -> Result<Vec<SocketAddr>> {
        let urls = self.stack.gateway_urls()?;
        urls.iter().map(|url| Ok(url.trim_start_matches("http://").parse()?)).collect()
    }

    /// Gateways and nats-server, by name.
    pub(super) fn processes(&self) -> Result<Vec<(String, i32)>> {
        let mut names: Vec<_> = (1..=self.gateways).map(|number| format!("gateway-{number}")).collect();
        names.push("nats".to_owned());
        names.into_iter().map(|name| self.pid(&name).map(|pid| (name, pid))).collect()
    }

    /// The port of nats-server.
    pub(super) fn nats_port() -> Result<u16> {
        let url = Stack::at(Self::folder()).env("NATS_URL")?;
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.with_context(|| format!("no port in {url}"))
    }

    /// Makes rooms of one member each: `each` of them for every `user_step`th user, from the second on.
    pub(super) fn join_all(&self, first_room: usize, rooms: usize, each: usize, user_step: usize) -> Result<()> {
        let (last, owner) = (rooms.saturating_sub(1), world::user_id(0));
        let room = format!("('00000000-0000-7000-9000-' || lpad(to_hex({first_room} + n), 12, '0'))::uuid");
        let number = format!("(n / {each}) * {user_step} + 1");
        let user = format!("('00000000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid");
        self.psql(&format!(
            "INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
               SELECT {room}, 'team', 'Room', '{owner}', now(), now() FROM generate_series(0, {last}) n
               ON CONFLICT DO NOTHING;
             INSERT INTO room_members (room_id, user_id, joined_at)
               SELECT {room}, {user}, now() FROM generate_series(0, {last}) n ON CONFLICT DO NOTHING;
             ANALYZE rooms; ANALYZE room_members;"
        ))
    }

    /// Runs SQL in the product's database.
    pub(super) fn psql(&self, sql: &str) -> Result<()> {
        let file = self.stack.folder().join("bench.sql");
        fs::write(&file, sql)?;
        let output = Command::new(tool::postgres::ensure()?.get("psql"))
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"])
            .arg(&file)
            .arg(self.stack.env("DATABASE_URL")?)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Whatever is left is found and ended by the next run.
        drop(self.stack.kill_all());
        drop(self.stack.wipe());
    }
}
