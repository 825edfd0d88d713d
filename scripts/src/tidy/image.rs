//! What the images are built from must be what the workspace is made of: no engine is needed to see that a crate is left
//! out.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Finding;

const IGNORED: &str = ".dockerignore";

/// What is wrong with `.dockerignore`.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let (workspace, ignored) = (read("Cargo.toml")?, read(IGNORED)?);
    let found = left_out(&workspace, &ignored);
    Ok(found.map(|what| Finding { path: IGNORED.to_owned(), line: None, what }).collect())
}

fn left_out(workspace: &str, ignored: &str) -> impl Iterator<Item = String> {
    let members = workspace.lines().find(|line| line.starts_with("members")).unwrap_or_default();
    // Every second piece stands between quotes.
    let names = members.split('"').skip(1).step_by(2);
    let is_left_out = |name: &&str| !ignored.lines().any(|line| line.strip_prefix('!') == Some(*name));
    names.filter(is_left_out).map(|name| format!("images are built without {name}: add !{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_images_are_built_without_is_named() {
        let workspace = "[workspace]\nmembers = [\"api\", \"verify\"]\nexclude = [\"other\"]\n";
        let found = |ignored: &str| left_out(workspace, ignored).collect::<Vec<_>>();
        assert!(found("*\n!api\n!verify\n").is_empty());
        assert_eq!(found("*\n!api\n"), ["images are built without verify: add !verify"]);
    }
}
