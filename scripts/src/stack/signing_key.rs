//! The key that signs access tokens in a stack for development.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::run_dir::write_private;

const LINE_CHARS: usize = 64;

/// The file with the key (PKCS#8, PEM), made if it is not there; it stays, so that tokens survive a restart.
pub(super) fn ensure(run_dir: &Path) -> Result<PathBuf> {
    let file = run_dir.join("jwt.pem");
    if !file.exists() {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|error| anyhow!("cannot make an RSA key: {error}"))?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|error| anyhow!("cannot encode an RSA key: {error}"))?;
        write_private(&file, pem(der.as_ref()).as_bytes())?;
    }
    fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(file)
}

fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE_CHARS));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines + "-----END PRIVATE KEY-----\n"
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = ensure(folder.path()).unwrap();
        let first = fs::read_to_string(&file).unwrap();
        assert!(first.starts_with("-----BEGIN PRIVATE KEY-----\nMII"), "{first}");
        assert!(first.lines().all(|line| line.len() <= LINE_CHARS));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        ensure(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
    }
}
