//! Rules that need to see one file only.

use std::path::Path;

use super::Finding;
use crate::source::Source;

const LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 800;

/// Names that say nothing of what is inside.
const BANNED: [&str; 10] = ["common", "utils", "helpers", "misc", "types", "manager", "base", "data", "info", "impl"];

/// A mark for work left over; split, so that this file does not hold one.
const MARK: &str = concat!("TO", "DO");

/// Folders of somebody's own machine; split for the same reason.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// All findings in one file.
pub(super) fn check(file: &Source) -> Vec<Finding> {
    let mut findings: Vec<_> = marks(file).chain(machine_paths(file)).collect();
    if Path::new(&file.path).extension().is_some_and(|extension| extension == "rs") {
        findings.extend(length(file).into_iter().chain(name(file)).chain(purpose(file)));
    }
    if file.path.ends_with("/Cargo.toml") {
        findings.extend(lints(file));
    }
    findings
}

fn about(file: &Source, line: Option<usize>, what: String) -> Finding {
    Finding { path: file.path.clone(), line, what }
}

fn length(file: &Source) -> Option<Finding> {
    let max = if is_test(&file.path) { TEST_LINES_MAX } else { LINES_MAX };
    let lines = file.text.lines().count();
    (lines > max).then(|| about(file, None, format!("{lines} lines, {max} at most: split it by noun")))
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs")
}

fn name(file: &Source) -> Option<Finding> {
    let stem = Path::new(&file.path).file_stem()?.to_str()?;
    let word = stem.split('_').find(|word| BANNED.contains(word))?;
    Some(about(file, None, format!("a file name with the word `{word}` does not say what is inside")))
}

fn purpose(file: &Source) -> Option<Finding> {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    (!first.starts_with("//!")).then(|| about(file, Some(1), "begin with `//!` and why this file exists".to_owned()))
}

fn marks(file: &Source) -> impl Iterator<Item = Finding> {
    lines_with(file, |line| {
        let (_, after) = line.split_once(MARK)?;
        (!after.starts_with('(')).then(|| format!("a {MARK} names its owner: {MARK}(name)"))
    })
}

fn machine_paths(file: &Source) -> impl Iterator<Item = Finding> {
    lines_with(file, |line| {
        let path = MACHINE_PATHS.into_iter().find(|path| line.contains(path))?;
        Some(format!("`{path}…` is a place on somebody's own machine"))
    })
}

fn lints(file: &Source) -> Option<Finding> {
    let has_lints = file.text.contains("[lints]\nworkspace = true");
    (!has_lints).then(|| about(file, None, "every crate says `[lints]` `workspace = true`".to_owned()))
}

fn lines_with(file: &Source, rule: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = Finding> {
    file.text.lines().enumerate().filter_map(move |(index, line)| Some(about(file, Some(index + 1), rule(line)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = Source { path: path.to_owned(), text: text.to_owned() };
        check(&file).iter().map(|finding| finding.what.clone()).collect()
    }

    fn check_one(path: &str, text: &str, expected: &str) {
        let found = findings(path, text);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}");
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(findings("api/src/clock.rs", "//! What time it is.\n"), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_is_split_and_a_test_may_be_twice_as_long() {
        let text = |lines| "//! Long.\n".repeat(lines);
        check_one("api/src/long.rs", &text(401), "401 lines, 400 at most");
        check_one("api/tests/it/long.rs", &text(801), "801 lines, 800 at most");
        assert!(findings("api/src/long.rs", &text(400)).is_empty());
        assert!(findings("api/tests/it/long.rs", &text(800)).is_empty());
        assert!(findings("api/src/model/tests.rs", &text(800)).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_found_also_inside_a_longer_one() {
        check_one("api/src/utils.rs", "//! .", "`utils`");
        check_one("api/src/user_info.rs", "//! .", "`info`");
        assert!(findings("api/src/database.rs", "//! .").is_empty());
    }

    #[test]
    fn a_file_begins_with_its_purpose() {
        check_one("api/src/clock.rs", "use std::time;\n", "why this file exists");
        assert!(findings("api/src/clock.rs", "\n//! .").is_empty());
    }

    #[test]
    fn work_left_over_has_an_owner() {
        check_one("docker/compose.yaml", &format!("# {MARK}: later"), "names its owner");
        assert!(findings("docker/compose.yaml", &format!("# {MARK}(ann): later")).is_empty());
    }

    #[test]
    fn no_document_tells_of_a_machine() {
        check_one("README.md", &format!("see {}ann/timingle", MACHINE_PATHS[1]), "somebody's own machine");
    }

    #[test]
    fn every_crate_takes_the_lints() {
        check_one("api/Cargo.toml", "[package]\nname = \"api\"\n", "every crate");
        assert!(findings("api/Cargo.toml", "[lints]\nworkspace = true\n").is_empty());
    }
}
