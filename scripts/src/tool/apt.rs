//! Debian's packages, for who is root.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{install, on_path};

const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";

/// Installs `packages`; who may not is told the command that would.
pub(crate) fn ensure(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    if !rustix::process::getuid().is_root() || on_path("apt-get").is_none() {
        bail!("{why}: install it with `sudo apt-get install {names}`, or your system's equal");
    }
    let refresh = install("the list of Debian's packages", why, apt().args(["-q", "update"]));
    // Debian starts a server it installs, on the very port we want for ours.
    let _silence = Silence::begin()?;
    install(&format!("Debian's {names}"), why, apt().args(["-qy", "install", "--no-install-recommends"]).args(packages))
        .or_else(|error| refresh.and(Err(error)))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", LOCK_WAIT]);
    command
}

/// While this lives, packages that are installed start no service.
struct Silence {
    is_ours: bool,
}

impl Silence {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<Self> {
        let policy = Path::new(Self::POLICY);
        if policy.exists() {
            // The machine has its own opinion on what is started.
            return Ok(Self { is_ours: false });
        }
        // 101: "action forbidden by policy".
        fs::write(policy, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(policy, Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", policy.display()))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if self.is_ours {
            // If it cannot be removed now, it could not have been written.
            drop(fs::remove_file(Self::POLICY));
        }
    }
}
