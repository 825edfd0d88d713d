//! Where things lie: the checkout, its run folder, and the tools' cache outside of it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    // Set by cargo when this crate is compiled; `cargo x` always compiles it out of the checkout it serves.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of the workspace has a parent folder")
}

/// `.run`: everything `cargo x up` makes.
pub(crate) fn run_dir() -> PathBuf {
    root().join(".run")
}

/// `.run/test`: the servers that tests share.
pub(crate) fn test_run_dir() -> PathBuf {
    run_dir().join("test")
}

/// Where servers and tools go that the system does not have; kept outside the checkout, so every checkout shares it.
pub(crate) fn tool_cache() -> PathBuf {
    env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("timingle/tools")
}
