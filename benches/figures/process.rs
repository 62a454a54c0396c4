//! What the system says of a process.

use std::fs;
use std::time::Duration;

/// A process is at rest once it takes less than a tenth of a core for so long.
const AT_REST: Duration = Duration::from_millis(1500);

/// How long a process may take to come to rest.
const UNREST_MAX: Duration = Duration::from_secs(30);

/// CPU seconds of a process so far, all its threads, user and system.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces; fields count from behind its parenthesis.
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|it| it.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // utime and stime are fields 14 and 15 of all, 12 and 13 of these from 1; a tick is 10 ms.
    (ticks(11) + ticks(12)) / 100.0
}

/// [`cpu_seconds`], once the process has come to rest.
pub async fn settled_cpu_seconds(pid: u32) -> f64 {
    let mut before = cpu_seconds(pid);
    for _ in 0..UNREST_MAX.as_millis() / AT_REST.as_millis() {
        tokio::time::sleep(AT_REST).await;
        let now = cpu_seconds(pid);
        if now - before < AT_REST.as_secs_f64() / 10.0 {
            return now;
        }
        before = now;
    }
    before
}

/// Resident memory of a process, MB.
pub fn resident_mb(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|it| it.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1000.0
}
