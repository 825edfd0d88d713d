//! A stack that was started, by this process or an earlier one: what can be asked of it and done to it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    plan::kind_of,
    run_dir::{Record, RunDir},
};

/// PostgreSQL's other processes outlive a killed postmaster by a moment in which it cannot start again.
const RESTART_TRIES: usize = 20;
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The stack in a run folder.
#[derive(Clone, Debug)]
pub struct Stack {
    run_dir: RunDir,
}

/// How one process of a stack is.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) name: String,
    /// `None`: it does not run.
    pub(crate) pid: Option<i32>,
    pub(crate) is_ready: bool,
    /// The port that tells whether it is ready.
    pub(crate) port: u16,
}

impl Stack {
    /// The stack whose files are in `run_dir`.
    pub fn at(run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: RunDir::at(run_dir) }
    }

    /// The value of a variable of `stack.env`: `API_URL`, `GATEWAY_URLS`, `NATS_URL` …
    pub fn env(&self, name: &str) -> Result<String> {
        self.variables()
            .remove(name)
            .with_context(|| format!("no {name} in {}/stack.env: is the stack started?", self.run_dir.path().display()))
    }

    /// The api's address, without a path.
    pub fn api_url(&self) -> Result<String> {
        self.env("API_URL")
    }

    /// The gateways' addresses, without a path.
    pub fn gateway_urls(&self) -> Result<Vec<String>> {
        Ok(self.env("GATEWAY_URLS")?.split(',').map(str::to_owned).collect())
    }

    /// The file the process `name` logs to.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.run_dir.log_file(name)
    }

    /// The logs of all processes of these kinds.
    pub fn logs_of(&self, kinds: &[&str]) -> Result<Vec<String>> {
        let names = self.run_dir.records()?.into_iter().map(|record| record.process.name);
        let wanted = names.filter(|name| kinds.contains(&kind_of(name)));
        Ok(wanted.map(|name| self.log_file(&name).display().to_string()).collect())
    }

    /// Kills the process `name` (`SIGKILL`) and returns when it is gone.
    pub fn kill9(&self, name: &str) -> Result<()> {
        self.record(name)?.kill()
    }

    /// Asks the process `name` to end in an orderly way (`SIGTERM`); does not wait.
    pub(crate) fn terminate(&self, name: &str) -> Result<()> {
        self.record(name)?.ask_to_stop()
    }

    /// Starts `name` again, running or not, with the ports, data and settings it had; returns when it is ready.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let (stack, name) = (self.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || stack.restart_now(&name)).await.context("the restarting thread died")?
    }

    /// Ends every process in an orderly way; data and logs stay.
    pub async fn stop(&self) -> Result<()> {
        let stack = self.clone();
        tokio::task::spawn_blocking(move || stack.stop_now()).await.context("the stopping thread died")?
    }

    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.run_dir.read_env()
    }

    /// As [`Stack::restart`], blocking.
    pub(crate) fn restart_now(&self, name: &str) -> Result<()> {
        let record = self.record(name)?;
        record.ask_to_stop()?;
        record.wait_until_gone()?;
        let mut tries = if record.process.is_a_postgres() { RESTART_TRIES } else { 1 };
        loop {
            tries -= 1;
            let result = record.process.launch(&self.run_dir, record.order)?.wait_until_ready(&self.run_dir);
            if result.is_ok() || tries == 0 {
                return result;
            }
            thread::sleep(RESTART_PAUSE);
        }
    }

    /// Runs the program of the process `name` once more, with its settings and other `arguments`, here and now. Of its
    /// log only what is wrong is shown beside its answer.
    pub(crate) fn run_beside(&self, name: &str, arguments: &[&str]) -> Result<ExitStatus> {
        Ok(self.start_beside(name, arguments, &[], Stdio::inherit())?.wait()?)
    }

    /// As [`Stack::run_beside`], with `settings` on top, and does not wait for its end.
    pub(crate) fn start_beside(
        &self,
        name: &str,
        arguments: &[&str],
        settings: &[(&str, &str)],
        stdout: Stdio,
    ) -> Result<Child> {
        let mut process = self.record(name)?.process;
        process.environment.extend(owned(&[("TIMINGLE_LOG", "warn")]));
        process.environment.extend(owned(settings));
        process.start_beside(arguments, stdout)
    }

    /// Runs the program of the process `name` once more, with its settings, `settings` on top and other `arguments`, to its
    /// end.
    pub async fn output(&self, name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Result<Output> {
        let mut process = self.record(name)?.process;
        process.environment.extend(owned(settings));
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let asking =
            tokio::task::spawn_blocking(move || process.ask(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        asking.await.context("the asking thread died")?
    }

    /// As [`Stack::output`]; an error when it does not end well.
    pub async fn ask(&self, name: &str, arguments: &[&str]) -> Result<()> {
        self.ask_as(name, arguments, &[]).await
    }

    /// As [`Stack::ask`], with `settings` on top of those the process has.
    pub async fn ask_as(&self, name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Result<()> {
        let output = self.output(name, arguments, settings).await?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            bail!("{}:\n{}", output.status, said.join("\n"));
        }
        Ok(())
    }

    /// As [`Stack::restart`], with `settings` on top of those it had; it keeps them.
    pub async fn restart_with(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        let mut record = self.record(name)?;
        record.process.environment.extend(owned(settings));
        self.run_dir.save(&record)?;
        self.restart(name).await
    }

    /// As [`Stack::stop`], blocking: our own processes first, then what they stand on.
    pub fn stop_now(&self) -> Result<()> {
        let (ours, servers): (Vec<_>, Vec<_>) = self.run_dir.records()?.into_iter().partition(is_ours);
        let mut result = Ok(());
        for group in [ours, servers] {
            for record in &group {
                record.ask_to_stop()?;
            }
            for record in &group {
                // One that had to be killed must not keep the others from being ended.
                result = result.and(record.wait_until_gone());
            }
        }
        self.run_dir.forget()?;
        result
    }

    /// Kills every process at once.
    pub fn kill_all(&self) -> Result<()> {
        self.run_dir.records()?.iter().try_for_each(Record::kill)
    }

    /// How each process is, in the order of starting.
    pub(crate) fn conditions(&self) -> Result<Vec<Condition>> {
        let condition = |record: Record| {
            let pid = record.alive().map(|identity| identity.pid);
            let ready = &record.process.ready;
            Condition { is_ready: pid.is_some() && ready.is_met(), pid, port: ready.port(), name: record.process.name }
        };
        Ok(self.run_dir.records()?.into_iter().map(condition).collect())
    }

    /// The processes that live.
    pub(crate) fn living(&self) -> Result<Vec<String>> {
        let records = self.run_dir.records()?.into_iter();
        Ok(records.filter(|record| record.alive().is_some()).map(|record| record.process.name).collect())
    }

    /// Whether the stack was ended by [`Stack::stop`] (and not by its processes' deaths).
    pub(crate) fn is_forgotten(&self) -> Result<bool> {
        Ok(self.run_dir.records()?.is_empty())
    }

    /// Ends and removes what an earlier run left in the folder, if there is one.
    pub fn clear(&self) -> Result<()> {
        if self.folder().exists() {
            self.kill_all()?;
            self.wipe()?;
        }
        Ok(())
    }

    /// Removes the run folder with all data and logs.
    pub fn wipe(&self) -> Result<()> {
        self.run_dir.wipe()
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        self.run_dir.path()
    }

    fn record(&self, name: &str) -> Result<Record> {
        if let Some(record) = self.run_dir.find_record(name)? {
            return Ok(record);
        }
        let names: Vec<_> = self.run_dir.records()?.into_iter().map(|record| record.process.name).collect();
        if names.is_empty() {
            bail!("nothing is started: `cargo x up` starts it");
        }
        bail!("there is no process {name}; there are {}", names.join(", "))
    }
}

fn owned(settings: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    settings.iter().map(|&(variable, value)| (variable.to_owned(), value.to_owned()))
}

/// Whether this is one of the three processes of the project.
fn is_ours(record: &Record) -> bool {
    ["api", "gateway", "chat-worker"].contains(&kind_of(&record.process.name))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpStream,
    };

    use super::*;
    use crate::stack::{PortLease, server::redis};

    /// One Redis, the quickest of the servers, started in `folder`.
    fn start(folder: &Path, lease: &PortLease) -> Stack {
        let run_dir = RunDir::create(folder).unwrap();
        let record = redis::process(&run_dir, lease.port(), false).unwrap().launch(&run_dir, 0).unwrap();
        record.wait_until_ready(&run_dir).unwrap();
        Stack::at(folder)
    }

    fn ask(lease: &PortLease, question: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", lease.port())).unwrap();
        write!(stream, "{question}\r\n").unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).find(|line| !line.starts_with('$')).unwrap()
    }

    #[test]
    fn a_killed_process_comes_back_with_its_port_and_data() {
        let (folder, lease) = (tempfile::tempdir().unwrap(), PortLease::take().unwrap());
        let stack = start(folder.path(), &lease);
        assert_eq!(ask(&lease, "SET name Ann"), "+OK");
        let pid = |stack: &Stack| stack.conditions().unwrap()[0].pid;
        let first = pid(&stack).unwrap();

        stack.kill9("redis").unwrap();
        assert_eq!(pid(&stack), None);
        stack.restart_now("redis").unwrap();

        assert_eq!(ask(&lease, "GET name"), "Ann");
        let second = pid(&stack).unwrap();
        assert_ne!(first, second);
        assert_eq!(std::fs::read_to_string(folder.path().join("redis.pid")).unwrap(), format!("{second}\n"));
        stack.stop_now().unwrap();
    }

    #[test]
    fn what_was_stopped_is_forgotten_and_its_log_stays() {
        let (folder, lease) = (tempfile::tempdir().unwrap(), PortLease::take().unwrap());
        let stack = start(folder.path(), &lease);
        stack.stop_now().unwrap();
        assert!(stack.is_forgotten().unwrap());
        assert!(TcpStream::connect(("127.0.0.1", lease.port())).is_err());
        assert!(!folder.path().join("redis.pid").exists());
        assert!(stack.log_file("redis").exists());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (folder, lease) = (tempfile::tempdir().unwrap(), PortLease::take().unwrap());
        let stack = start(folder.path(), &lease);
        let error = stack.kill9("gateway-7").unwrap_err().to_string();
        assert!(error.contains("gateway-7") && error.contains("redis"), "{error}");
        stack.kill_all().unwrap();
    }
}
