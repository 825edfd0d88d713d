//! Where things lie: the checkout, its run folder, and the tools' cache outside of it.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    // What cargo says at run time counts: two checkouts that share a target folder may share this program, and each
    // must serve the one it was called in. Every crate lies right below the root, so any crate's folder will do.
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&folder).parent().expect("a crate of the workspace has a parent folder").to_owned()
    });
    &ROOT
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
