//! The folder in which a stack keeps everything it makes, so that a later command, in another process, finds it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{identity::Identity, process::Process};

/// A run folder: `.run`, `.run/test`, or a test's own.
#[derive(Clone, Debug)]
pub(crate) struct RunDir(PathBuf);

/// A process of the stack as it was last started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The place in the order of starting.
    pub(crate) order: usize,
    pub(crate) process: Process,
    pub(crate) identity: Option<Identity>,
    /// Where in the log this start begins; before it are earlier ones.
    pub(crate) log_from: usize,
}

impl Record {
    /// The identity, if that process still lives.
    pub(crate) fn alive(&self) -> Option<Identity> {
        self.identity.filter(|identity| identity.is_alive())
    }
}

impl RunDir {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(path.join("processes")).with_context(|| format!("cannot make {}", path.display()))?;
        // Absolute, because servers are started with it from other folders.
        Ok(Self(path.canonicalize()?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.log"))
    }

    /// How long the log is now.
    pub(crate) fn log_bytes(&self, name: &str) -> usize {
        let bytes = fs::metadata(self.log_file(name)).map_or(0, |metadata| metadata.len());
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pid"))
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.0.join("data").join(name)
    }

    fn record_file(&self, name: &str) -> PathBuf {
        self.0.join("processes").join(format!("{name}.json"))
    }

    fn env_file(&self) -> PathBuf {
        self.0.join("stack.env")
    }

    /// Every process that was started here, in the order of starting.
    pub(crate) fn records(&self) -> Result<Vec<Record>> {
        let folder = self.0.join("processes");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            records.push(read_record(&entry?.path())?);
        }
        records.sort_by_key(|record| record.order);
        Ok(records)
    }

    pub(crate) fn find_record(&self, name: &str) -> Result<Option<Record>> {
        let file = self.record_file(name);
        if file.exists() { read_record(&file).map(Some) } else { Ok(None) }
    }

    /// Writes down that `record` is how this process was started.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let name = &record.process.name;
        write_private(&self.record_file(name), &serde_json::to_vec_pretty(record)?)?;
        match record.identity {
            Some(identity) => write(&self.pid_file(name), format!("{}\n", identity.pid).as_bytes()),
            None => remove_file(&self.pid_file(name)),
        }
    }

    /// Forgets every process; data and logs stay.
    pub(crate) fn forget(&self) -> Result<()> {
        for record in self.records()? {
            remove_file(&self.pid_file(&record.process.name))?;
            remove_file(&self.record_file(&record.process.name))?;
        }
        remove_file(&self.env_file())
    }

    pub(crate) fn write_env(&self, variables: &BTreeMap<String, String>) -> Result<()> {
        let lines: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        write_private(&self.env_file(), lines.concat().as_bytes())
    }

    /// The variables of `stack.env`; empty when no stack was started here.
    pub(crate) fn read_env(&self) -> BTreeMap<String, String> {
        fs::read_to_string(self.env_file())
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Removes the folder and what was moved out of it (see `server::postgres`).
    pub(crate) fn wipe(&self) -> Result<()> {
        if let Ok(entries) = fs::read_dir(self.0.join("data")) {
            for target in entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()) {
                remove_folder(&target)?;
            }
        }
        remove_folder(&self.0)
    }
}

fn read_record(file: &Path) -> Result<Record> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a record of a process: remove it and start again", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes a file only its owner may read: settings hold passwords.
pub(crate) fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let written = |file: &Path| -> std::io::Result<()> {
        let mut handle: File = File::options().create(true).write(true).truncate(true).mode(0o600).open(file)?;
        handle.write_all(bytes)
    };
    // Beside the file, then renamed: who reads meanwhile sees the old one or the new one.
    let whole = file.with_extension("part");
    written(&whole).and_then(|()| fs::rename(&whole, file)).with_context(|| format!("cannot write {}", file.display()))
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
