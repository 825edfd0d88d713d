//! Free ports that stay ours: between picking a port and binding it, another test must not pick the same.

use std::{
    collections::hash_map::RandomState,
    env,
    fs::{self, File},
    hash::BuildHasher,
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Context, Result, bail};

/// Below the range out of which the kernel gives ports to outgoing connections, so none of those takes ours while a
/// server is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const TRIES_MAX: u16 = 500;

/// A port on 127.0.0.1 that no other lease has, in any process of this user, for as long as this value lives.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    /// Locked; the lock ends with the file.
    _lock: File,
}

impl PortLease {
    /// Takes a port nobody listens on.
    pub fn take() -> Result<Self> {
        let folder = env::temp_dir().join(format!("timingle-ports-{}", rustix::process::getuid().as_raw()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let start = RandomState::new().hash_one(std::process::id());
        for offset in 0..TRIES_MAX {
            let step = (start.wrapping_add(u64::from(offset))) % u64::from(COUNT);
            let port = FIRST + u16::try_from(step).expect("a remainder below a u16 fits a u16");
            let path = folder.join(port.to_string());
            let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            if lock.try_lock().is_ok() && is_free(port) {
                return Ok(Self { port, _lock: lock });
            }
        }
        bail!("no free port between {FIRST} and {} after {TRIES_MAX} tries", FIRST + COUNT)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Whether nobody listens on `port` of 127.0.0.1.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_port_is_not_leased_again() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take().unwrap()).collect();
        let mut ports: Vec<_> = leases.iter().map(PortLease::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), leases.len());
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
