//! nats-server: one static program, installed with Go.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

use super::{cache_bin, is_program, on_path};

const HOW_TO_INSTALL: &str = "no nats-server found: run `cargo x servers up`, or install it with \
     `go install github.com/nats-io/nats-server/v2@v2.15.2`";

/// The program: on PATH, in Go's own folder, or in the tool cache.
pub(crate) fn find() -> Result<PathBuf> {
    let go_bin = env::home_dir().map(|home| home.join("go/bin/nats-server")).filter(|file| is_program(file));
    let cached = Some(cache_bin().join("nats-server")).filter(|file| is_program(file));
    on_path("nats-server").or(go_bin).or(cached).context(HOW_TO_INSTALL)
}
