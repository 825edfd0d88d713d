//! A CQL server where no Scylla can be had: Cassandra's jars from Maven, on a Java the system has.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{apt, install, is_program, on_path, output_of};
use crate::workspace;

/// Cassandra 5.0 runs on these and on nothing newer.
const JAVA_VERSIONS: [&str; 2] = ["17", "11"];
const FETCH_TRIES: usize = 3;

/// A Java that can run Cassandra, installed when there is none.
pub(crate) fn ensure_java() -> Result<PathBuf> {
    if let Some(java) = find_java() {
        return Ok(java);
    }
    apt::ensure(&["openjdk-17-jre-headless"], "Cassandra needs Java 17 (or 11) and none was found")?;
    find_java().context("Debian's package openjdk-17-jre-headless brought no Java 17: install one by hand")
}

fn find_java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let installed =
        fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path().join("bin/java"));
    home.into_iter().chain(on_path("java")).chain(installed).filter(|java| is_program(java)).find(|java| {
        parse_java_version(&output_of(java, &["-version"])).is_some_and(|is| JAVA_VERSIONS.contains(&is.as_str()))
    })
}

/// The major version out of `openjdk version "17.0.15" 2025-04-15`.
fn parse_java_version(text: &str) -> Option<String> {
    let (_, version) = text.split_once("version \"")?;
    version.split(['.', '"', '-']).next().map(str::to_owned)
}

/// The folder with Cassandra's jars, fetched when it is not there.
pub(crate) fn ensure_jars() -> Result<PathBuf> {
    let pom = workspace::root().join("scripts/cassandra/pom.xml");
    let version = version(&pom)?;
    let jars = workspace::tool_cache().join(format!("cassandra-{version}"));
    if jars.is_dir() {
        return Ok(jars);
    }
    fs::create_dir_all(workspace::tool_cache())?;
    // Two stacks may want them at once; the second waits and finds them there.
    let lock = File::create(workspace::tool_cache().join("cassandra.lock"))?;
    lock.lock()?;
    if !jars.is_dir() {
        fetch(&pom, &version, &jars)?;
    }
    Ok(jars)
}

fn fetch(pom: &Path, version: &str, jars: &Path) -> Result<()> {
    if on_path("mvn").is_none() {
        apt::ensure(&["maven"], "Maven is needed to fetch Cassandra and is not on PATH")?;
    }
    let part = jars.with_extension("part");
    let mut result = Ok(());
    for _ in 0..FETCH_TRIES {
        if part.exists() {
            fs::remove_dir_all(&part)?;
        }
        let mut maven = Command::new("mvn");
        maven.args(["-B", "-q", "-ntp", "-f"]).arg(pom).arg("dependency:copy-dependencies");
        maven.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", part.display()));
        let what = format!("Cassandra {version} with Maven (64 MB, about a minute)");
        result = install(&what, "a CQL server is asked for", &mut maven);
        if result.is_ok() {
            break;
        }
    }
    result?;
    fs::rename(&part, jars).with_context(|| format!("cannot rename {}", part.display()))
}

/// The version lives in the pom, where Maven reads it too.
fn version(pom: &Path) -> Result<String> {
    let text = fs::read_to_string(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    text.split_once("<cassandra.version>")
        .and_then(|(_, rest)| rest.split_once("</cassandra.version>"))
        .map(|(version, _)| version.to_owned())
        .with_context(|| format!("{} names no cassandra.version", pom.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_is_known_by_its_major_version() {
        assert_eq!(parse_java_version("openjdk version \"17.0.15\" 2025-04-15").as_deref(), Some("17"));
        assert_eq!(parse_java_version("openjdk version \"25\" 2025-09-16").as_deref(), Some("25"));
        assert_eq!(parse_java_version("command not found"), None);
    }

    #[test]
    fn the_pom_names_a_version() {
        assert!(version(&workspace::root().join("scripts/cassandra/pom.xml")).unwrap().starts_with("5."));
    }
}
