//! The project's own files, as the checks of them see them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The crates of the workspace; each lies in a folder of its name.
pub(crate) const CRATES: [&str; 8] =
    ["schema", "ops", "chat-store", "verify", "api", "gateway", "chat-worker", "scripts"];

/// One file: where it is below the root, and what is in it.
#[derive(Debug)]
pub(crate) struct Source {
    /// With forward slashes, below the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The files below `folder` of `root` whose names end in one of `extensions`, in the order of their paths.
pub(crate) fn sources(root: &Path, folder: &str, extensions: &[&str]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if extensions.iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
                found.push(read(root, &path)?);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn read(root: &Path, path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let below: PathBuf = path.strip_prefix(root)?.to_owned();
    Ok(Source { path: below.to_string_lossy().into_owned(), text })
}

/// The crates whose documentation holds examples that are tested.
pub(crate) fn packages_with_examples(root: &Path) -> Result<Vec<&'static str>> {
    let mut packages = Vec::new();
    for package in CRATES {
        if sources(root, &format!("{package}/src"), &["rs"])?.iter().any(|source| has_example(&source.text)) {
            packages.push(package);
        }
    }
    Ok(packages)
}

/// The settings a source reads, each with its line: what clap's derive is told as `env = "NAME"`. What tests make up for
/// themselves, at the end of a file, is none.
pub(crate) fn settings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    code.filter_map(|(index, line)| {
        let (_, after) = line.split_once("env = \"")?;
        let (name, _) = after.split_once('"')?;
        Some((index + 1, name))
    })
}

/// Every setting that the programs read.
pub(crate) fn product_settings(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for package in CRATES.iter().filter(|name| **name != "scripts") {
        for source in sources(root, &format!("{package}/src"), &["rs"])? {
            names.extend(settings(&source.text).map(|(_, name)| name.to_owned()));
        }
    }
    Ok(names)
}

fn has_example(text: &str) -> bool {
    let fences = text.lines().map(str::trim_start).filter_map(|line| {
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
        comment.trim().strip_prefix("```")
    });
    // Every second fence ends a block; a block of another language says so.
    fences.step_by(2).any(|language| {
        language.split(',').all(|word| ["", "rust", "no_run", "should_panic", "compile_fail"].contains(&word.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_what_the_program_reads_and_not_what_its_tests_make_up() {
        let text = "#[arg(long, env = \"API_LISTEN\")]\n#[cfg(test)]\nmod tests {\n#[arg(env = \"OTHER\")]\n}";
        assert_eq!(settings(text).collect::<Vec<_>>(), [(1, "API_LISTEN")]);
    }

    #[test]
    fn an_example_is_rust_unless_it_says_otherwise() {
        assert!(has_example("/// ```\n/// let a = 1;\n/// ```"));
        assert!(has_example("    //! ```no_run\n    //! ```"));
        assert!(!has_example("/// ```text\n/// a -> b\n/// ```"));
        assert!(!has_example("/// ```json\n/// ```\n// ```"));
    }
}
