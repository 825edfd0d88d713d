//! A migration that somebody has applied never changes: its sum is written down once and compared ever after.
//!
//! sqlx refuses to start on a database that knows another text of a migration, and CQL would silently keep the old
//! tables. Both show only on a machine with data, which CI's is not; so the text itself is watched.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};

use super::Finding;
use crate::{console, source::sources, workspace};

/// Lines of `<sum>  <path>`, as `sha256sum` prints and checks them.
const SUMS: &str = "scripts/migrations.sha256";

type Sums = BTreeMap<String, String>;

/// Compares every migration with its sum.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let recorded = parse(&fs::read_to_string(root.join(SUMS)).unwrap_or_default());
    Ok(compare(&present(root)?, &recorded))
}

/// Writes down the sums of new migrations; one that is written down already stays as it is.
pub(crate) fn record() -> Result<()> {
    let root = workspace::root();
    let file = root.join(SUMS);
    let mut recorded = parse(&fs::read_to_string(&file).unwrap_or_default());
    for (path, sum) in present(root)? {
        recorded.entry(path).or_insert_with_key(|path| {
            console::step("recording", path);
            sum
        });
    }
    fs::write(&file, print(&recorded)).with_context(|| format!("cannot write {}", file.display()))
}

fn compare(present: &Sums, recorded: &Sums) -> Vec<Finding> {
    let finding = |path: &String, what: &str| Finding { path: path.clone(), line: None, what: what.to_owned() };
    let changed = present.iter().filter_map(|(path, sum)| match recorded.get(path) {
        None => Some(finding(path, "a new migration: write its sum down with `cargo x tidy --record-migrations`")),
        Some(known) if known != sum => Some(finding(
            path,
            "an applied migration is never edited: undo it and write a new one \
             (was it never merged? remove its line from scripts/migrations.sha256 and record it again)",
        )),
        Some(_) => None,
    });
    let gone = recorded
        .keys()
        .filter(|path| !present.contains_key(*path))
        .map(|path| finding(path, "an applied migration is never removed"));
    changed.chain(gone).collect()
}

fn present(root: &Path) -> Result<Sums> {
    let mut sums = Sums::new();
    for (folder, extension) in [("schema/postgres", "sql"), ("schema/scylla", "cql")] {
        for file in sources(root, folder, &[extension])? {
            sums.insert(file.path, sum_of(file.text.as_bytes()));
        }
    }
    Ok(sums)
}

fn sum_of(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn parse(text: &str) -> Sums {
    text.lines().filter_map(|line| line.split_once("  ")).map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect()
}

fn print(sums: &Sums) -> String {
    sums.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(pairs: &[(&str, &str)]) -> Sums {
        pairs.iter().map(|(path, sum)| ((*path).to_owned(), (*sum).to_owned())).collect()
    }

    fn check(present: &[(&str, &str)], recorded: &[(&str, &str)], expected: &[&str]) {
        let findings = compare(&sums(present), &sums(recorded));
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.what.contains(expected), "{finding}");
        }
    }

    #[test]
    fn a_migration_is_new_or_known_or_wrong() {
        check(&[("a.sql", "1")], &[("a.sql", "1")], &[]);
        check(&[("a.sql", "1"), ("b.sql", "2")], &[("a.sql", "1")], &["a new migration"]);
        check(&[("a.sql", "9")], &[("a.sql", "1")], &["never edited"]);
        check(&[], &[("a.sql", "1")], &["never removed"]);
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        assert_eq!(sum_of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let all = sums(&[("a.sql", "1"), ("b.cql", "2")]);
        assert_eq!(parse(&print(&all)), all);
    }
}
