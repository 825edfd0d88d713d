//! The programs that are not ours: where they are found, and how they are installed when they are not.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::workspace;

pub(crate) mod nats;

/// The first executable `program` on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::var_os("PATH")
        .and_then(|path| env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_program(file)))
}

/// Whether `file` is there and may be executed.
pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Where `cargo x` puts programs it installed itself.
pub(crate) fn cache_bin() -> PathBuf {
    workspace::tool_cache().join("bin")
}
