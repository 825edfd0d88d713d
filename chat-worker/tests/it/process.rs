//! The program itself: `migrate`, `run`, `probe`, and how it ends.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
};

use chat_store::postgres::PostgresStore;
use schema::{
    id::RoomId,
    stream::{CHAT_DEAD, CHAT_MARKS, CHAT_MESSAGES, EVENTS},
};
use sqlx::{ConnectOptions as _, PgPool};
use tokio::process::{Child, Command};

use crate::harness::{Scene, eventually};

pub(crate) struct Program {
    pub(crate) environment: Vec<(&'static str, String)>,
    ops: SocketAddr,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) answer: String,
    pub(crate) beside: String,
}

impl Program {
    pub(crate) fn new(scene: &Scene, pool: &PgPool) -> Self {
        // Bound and let go: the next to ask gets another one.
        let ops = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let environment = vec![
            ("TIMINGLE_ENV", "development".into()),
            ("NATS_URL", scene.nats.url("worker")),
            ("DATABASE_URL", pool.connect_options().to_url_lossy().to_string()),
            ("WORKER_OPS_LISTEN", ops.to_string()),
            ("STORE", "postgres".into()),
        ];
        Self { environment, ops }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat-worker"));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// With the operator's NATS user.
    pub(crate) fn of_operator(scene: &Scene, pool: &PgPool) -> Self {
        let mut program = Self::new(scene, pool);
        program.environment.push(("NATS_URL", scene.nats.url("operator")));
        program
    }

    /// Runs a command to its end.
    pub(crate) async fn says(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), answer: text(output.stdout), beside: text(output.stderr) }
    }

    async fn exit_code(&self, arguments: &[&str]) -> Option<i32> {
        self.command(arguments).status().await.unwrap().code()
    }

    async fn run(&self) -> Child {
        let child = self.command(&[]).spawn().unwrap();
        eventually("the worker is ready", async || ops::probe::ask(self.ops).await.ok()).await;
        child
    }
}

#[sqlx::test(migrations = false)]
async fn migrate_makes_everything_and_may_run_again(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let program = Program::new(&scene, &pool);
    assert_eq!(program.exit_code(&["probe"]).await, Some(1), "nobody runs yet");
    assert_eq!(program.exit_code(&["migrate"]).await, Some(0));
    assert_eq!(program.exit_code(&["migrate"]).await, Some(0));
    for stream in [CHAT_MESSAGES, CHAT_MARKS, EVENTS, CHAT_DEAD] {
        scene.operator.js.get_stream(stream).await.unwrap();
    }
    let _worker = program.run().await;
    assert_eq!(program.exit_code(&["probe"]).await, Some(0));
    assert_eq!(program.exit_code(&["reopen-log"]).await, Some(0), "nothing to do is no failure");
}

#[sqlx::test(migrations = false)]
async fn a_wrong_setting_ends_with_64(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let mut program = Program::new(&scene, &pool);
    program.environment.push(("CHAT_MAX_AGE_HOURS", "soon".into()));
    assert_eq!(program.exit_code(&[]).await, Some(64));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_worker_killed_in_the_middle_of_the_work_loses_nothing(pool: PgPool) {
    let scene = Scene::new(pool.clone()).await;
    let program = Program::new(&scene, &pool);
    let mut worker = program.run().await;
    let rooms: Vec<RoomId> = (0..5).map(|_| RoomId::random()).collect();
    let mut said = Vec::new();
    for n in 0..200 {
        said.push(scene.say(rooms[n % rooms.len()], &format!("{n}")).await);
        if n == 100 {
            worker.kill().await.unwrap();
            worker = program.run().await;
        }
    }
    scene.settled(CHAT_MESSAGES).await;
    for room in rooms {
        let seqs: Vec<u64> = said.iter().filter(|said| said.room == room).map(|said| said.seq).collect();
        scene.stored(room, &seqs).await;
    }
    assert!(scene.dead().await.is_empty());
    // And an orderly end.
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(worker.wait().await.unwrap().code(), Some(0));
    let store = PostgresStore::new(pool);
    assert_eq!(chat_store::MessageStore::high_water(&store).await.unwrap(), said.last().unwrap().seq);
}
