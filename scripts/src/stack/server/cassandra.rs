//! Cassandra, the CQL server of development and tests: Scylla's protocol and schema, out of packages anybody can get.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::super::{
    process::{Process, Stop},
    ready::Ready,
    run_dir::RunDir,
};
use crate::{tool, workspace};

/// The name of its files in a run folder.
pub(in crate::stack) const NAME: &str = "cassandra";

/// A cold start takes 7 s alone and 18 s beside a build.
const READY_WITHIN: Duration = Duration::from_mins(3);

/// A node that answers CQL on `port`; it binds `storage_port` too, though it has no neighbours.
pub(in crate::stack) fn process(run_dir: &RunDir, port: u16, storage_port: u16, is_detached: bool) -> Result<Process> {
    let java = tool::cassandra::ensure_java()?;
    let jars = tool::cassandra::ensure_jars()?;
    let agent = fs::read_dir(&jars)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jamm-")))
        .with_context(|| format!("{} has no jamm: remove the folder, it is fetched again", jars.display()))?;
    let data = run_dir.data(NAME);
    fs::create_dir_all(data.join("triggers"))?;
    fs::create_dir_all(data.join("tmp"))?;
    let ours = workspace::root().join("scripts/cassandra");
    let (ours, data_text) = (ours.display(), data.display());
    let arguments = vec![
        format!("@{ours}/jvm.options"),
        format!("-javaagent:{}", agent.display()),
        format!("-Dcassandra.config=file://{ours}/cassandra.yaml"),
        format!("-Dlogback.configurationFile=file://{ours}/logback.xml"),
        format!("-Dcassandra.storagedir={data_text}"),
        format!("-Dcassandra.logdir={data_text}"),
        format!("-Dcassandra.triggers_dir={data_text}/triggers"),
        format!("-Djava.io.tmpdir={data_text}/tmp"),
        format!("-XX:ErrorFile={data_text}/crash-%p.log"),
        format!("-Dcassandra.native_transport_port={port}"),
        format!("-Dcassandra.storage_port={storage_port}"),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "org.apache.cassandra.service.CassandraDaemon".to_owned(),
    ];
    Ok(Process {
        name: NAME.to_owned(),
        program: java,
        arguments,
        environment: [("LC_ALL".to_owned(), "C.UTF-8".to_owned())].into(),
        folder: data,
        core: None,
        run_as: None,
        ready: Ready::Cql { port },
        ready_within: READY_WITHIN,
        stop: Stop::Terminate,
        is_detached,
    })
}

/// What clients are told.
pub(in crate::stack) fn nodes(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
