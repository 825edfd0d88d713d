//! What the gateway is compared with: the floor program, and servers of other makes.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bench::plan::Dialect;

use super::SERVER_CORE;
use crate::{console, stack::PortLease, tool, workspace};

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Floor,
    Warp,
    Gws,
    Ws,
    Nats,
}

impl Peer {
    pub(super) const OTHERS: [Self; 4] = [Self::Warp, Self::Gws, Self::Ws, Self::Nats];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Warp => "warp-ws (Rust)",
            Self::Gws => "gws (Go)",
            Self::Ws => "ws (Node)",
            Self::Nats => "nats-server's WebSocket",
        }
    }

    pub(super) const fn dialect(self) -> Dialect {
        match self {
            Self::Nats => Dialect::Nats,
            _ => Dialect::Room,
        }
    }

    /// Builds it from its registry; `None`, with a word why, when its toolchain is not there.
    pub(super) fn build(self, programs: &Path) -> Result<Option<Recipe>> {
        let source = workspace::root().join("bench/peers");
        let built = workspace::tool_cache().join("peers");
        fs::create_dir_all(&built)?;
        let recipe = |program: PathBuf, first: &[&str]| Recipe {
            peer: self,
            program,
            first: first.iter().map(|&word| word.to_owned()).collect(),
        };
        match self {
            Self::Floor => Ok(Some(recipe(programs.join("bench"), &["floor"]))),
            Self::Warp => {
                let target = built.join("warp");
                let folder = source.join("warp");
                let mut cargo = Command::new("cargo");
                cargo.args(["build", "--release", "--locked"]).env("CARGO_TARGET_DIR", &target);
                Ok(make(self, &mut cargo, &folder)?.then(|| recipe(target.join("release/peer-warp"), &[])))
            }
            Self::Gws => {
                let program = built.join("gws-peer");
                let mut go = Command::new("go");
                go.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
                Ok(make(self, &mut go, &source.join("gws"))?.then(|| recipe(program, &[])))
            }
            Self::Ws => {
                let folder = source.join("ws");
                let Some(node) = tool::on_path("node") else { return Ok(None) };
                let mut npm = Command::new("npm");
                npm.args(["ci", "--no-audit", "--no-fund"]);
                let script = folder.join("server.mjs").display().to_string();
                Ok(make(self, &mut npm, &folder)?.then(|| recipe(node, &[&script])))
            }
            Self::Nats => Ok(Some(recipe(tool::nats::ensure()?, &[]))),
        }
    }
}

fn make(peer: Peer, command: &mut Command, folder: &Path) -> Result<bool> {
    console::step("building", peer.name());
    match command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => Ok(true),
        Ok(output) => bail!("{} can not be built: {}", peer.name(), String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            console::note(format_args!("{} is left out: its toolchain is not there", peer.name()));
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// How a peer is started.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) peer: Peer,
    program: PathBuf,
    first: Vec<String>,
}

/// A peer that runs; killed when it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
    _folder: tempfile::TempDir,
    /// For NATS's own protocol, where there is one beside the WebSocket.
    second: PortLease,
    _lease: PortLease,
}

impl Recipe {
    pub(super) fn start(&self) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let (lease, second) = (PortLease::take()?, PortLease::take()?);
        let address = SocketAddr::from(([127, 0, 0, 1], lease.port()));
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &SERVER_CORE.to_string()]).arg(&self.program).args(&self.first);
        if self.peer == Peer::Nats {
            command.arg("-c").arg(nats_conf(folder.path(), lease.port(), second.port())?);
        } else {
            command.arg("--listen").arg(address.to_string());
        }
        // One core: more threads than that would only get into each other's way.
        command.env("GOMAXPROCS", "1").env("TOKIO_WORKER_THREADS", "1");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.peer.name()))?;
        let running = Running { child, address, _folder: folder, second, _lease: lease };
        running.wait(self.peer)?;
        if self.peer == Peer::Nats {
            make_stream(running.second.port())?;
        }
        Ok(running)
    }
}

impl Running {
    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    fn wait(&self, peer: Peer) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline {
                bail!("{} does not listen after {READY_WITHIN:?}", peer.name());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn nats_conf(folder: &Path, websocket: u16, port: u16) -> Result<PathBuf> {
    let template = fs::read_to_string(workspace::root().join("bench/peers/nats/websocket.conf"))?;
    let store = folder.join("store").display().to_string();
    let conf = template
        .replace("{{WS_PORT}}", &websocket.to_string())
        .replace("{{PORT}}", &port.to_string())
        .replace("{{STORE}}", &store);
    let file = folder.join("nats.conf");
    fs::write(&file, conf)?;
    Ok(file)
}

/// The stream the product has too: each message is stored and republished.
fn make_stream(port: u16) -> Result<()> {
    use std::io::{BufRead, BufReader, Write};
    let config = serde_json::json!({
        "name": "CHAT_MESSAGES", "subjects": ["chat.message.*"], "storage": "file", "max_age": 259_200_000_000_000_u64,
        "discard": "new", "allow_direct": true, "duplicate_window": 120_000_000_000_u64, "num_replicas": 1,
        "republish": { "src": "chat.message.*", "dest": "live.chat.message.{{wildcard(1)}}" },
    });
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    let body = config.to_string();
    let mut output = &stream;
    write!(output, "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\n")?;
    write!(output, "PUB $JS.API.STREAM.CREATE.CHAT_MESSAGES answer {}\r\n{body}\r\n", body.len())?;
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.contains("\"error\"") {
            bail!("nats-server makes no stream: {line}");
        }
        if line.contains("\"did_create\"") || line.contains("\"config\"") {
            return Ok(());
        }
    }
    bail!("nats-server hung up")
}
