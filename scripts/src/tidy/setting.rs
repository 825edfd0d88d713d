//! Every setting is documented: who runs the programs knows them by the README alone.

use super::Finding;
use crate::source::{Source, settings};

/// The settings `file` reads that `readme` does not name.
pub(super) fn check(file: &Source, readme: &str) -> Vec<Finding> {
    settings(&file.text)
        .filter(|(_, name)| !readme.contains(&format!("`{name}`")))
        .map(|(line, name)| Finding {
            path: file.path.clone(),
            line: Some(line),
            what: format!("the setting `{name}` is not in README.md"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_the_readme_does_not_name_is_found() {
        let text = "struct Config {\n  #[arg(long, env = \"API_LISTEN\")]\n  #[arg(env = \"API_OPS_LISTEN\")]\n}";
        let file = Source { path: "api/src/config.rs".to_owned(), text: text.to_owned() };
        let findings = check(&file, "| `API_LISTEN` | where | \n API_OPS_LISTEN without marks");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, Some(3));
    }
}
