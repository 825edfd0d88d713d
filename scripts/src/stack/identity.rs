//! Which process is ours. A number alone does not tell: the kernel gives it out again.

use std::fs;

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

/// One process, told apart from a later one with the same number by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// In the kernel's ticks since the machine came up.
    born_at: u64,
}

impl Identity {
    /// The living process with this number; `None` when there is none, or only the remains of one.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, born_at: born_at(&stat)? })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends `signal` to this process and to no other; `false` when it is gone.
    pub(crate) fn signal(self, signal: Signal) -> Result<bool> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        // The descriptor stands for whoever has the number now; once it is known to be ours it can be nobody else.
        let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|process| {
            if self.is_alive() { pidfd_send_signal(process, signal).map(|()| true) } else { Ok(false) }
        });
        match sent {
            Err(Errno::SRCH) => Ok(false),
            other => other.with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }
}

/// The start time in `/proc/<pid>/stat`; `None` for a process that has ended and only waits to be noticed.
fn born_at(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    // The start time is field 22 of the whole line, so the 19th after the state.
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    fn check(stat: &str, expected: Option<u64>) {
        assert_eq!(born_at(stat), expected);
    }

    #[test]
    fn the_start_time_is_read_past_a_name_with_spaces() {
        let rest = "1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 100";
        check(&format!("42 (a) b (c) S {rest}"), Some(987_654));
        check(&format!("42 (sleep) Z {rest}"), None);
        check("", None);
    }

    #[test]
    fn a_process_that_ended_is_not_alive_though_nobody_waited_for_it() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(identity.is_alive());
        assert!(identity.signal(Signal::KILL).unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while identity.is_alive() {
            assert!(Instant::now() < deadline, "a killed process is still there");
            thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!identity.signal(Signal::KILL).unwrap());
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        identity.born_at += 1;
        assert!(!identity.signal(Signal::KILL).unwrap());
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
