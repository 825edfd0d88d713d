//! What a process has spent and holds, as Linux tells it.

use std::fs;

/// Microseconds of processor time of all its threads, user and system; 0 once it is gone.
pub(super) fn cpu_micros(pid: i32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanos = |schedstat: String| schedstat.split(' ').next()?.parse::<f64>().ok();
    let spent = threads.flatten().filter_map(|thread| nanos(fs::read_to_string(thread.path().join("schedstat")).ok()?));
    spent.sum::<f64>() / 1_000.0
}

/// Resident bytes; 0 once it is gone.
pub fn resident_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_and_a_dead_one_spends_nothing() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(cpu_micros(own) > 0.0);
        assert!(resident_bytes(own) > 100_000);
        assert!(cpu_micros(-1).abs() < f64::EPSILON);
        assert_eq!(resident_bytes(-1), 0);
    }
}
