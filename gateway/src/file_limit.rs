//! How many files the process may have open: each socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no sockets of clients: links to the servers, the operators' port, those that are
/// being turned away.
const RESERVE: usize = 256;

/// The most sockets for which there are files. Raises the process's own limit as far as it may.
pub(crate) fn sockets_max() -> usize {
    raised().saturating_sub(RESERVE)
}

/// The limit in force, which is the hard one unless the system refuses that.
fn raised() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files can not be raised");
    }
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum }).expect("lower is allowed");
        let sockets = sockets_max();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
        let hard = maximum.map_or(usize::MAX, |files| usize::try_from(files).expect("fits"));
        assert_eq!(sockets, hard - RESERVE);
    }
}
