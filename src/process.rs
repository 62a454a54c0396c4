//! What Prometheus knows of any process, under its standard names: from `/proc`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::fs;

/// The kernel's clock ticks in a second, as `/proc` counts: 100 on all that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(stat) = stat.as_deref().and_then(Stat::read) {
            let cpu = ConstCounter::new(stat.cpu_ticks as f64 / TICKS_PER_SECOND);
            put(&mut encoder, "cpu_seconds", "CPU time, user and system", &cpu)?;
            gauge(&mut encoder, "threads", "Threads", stat.threads as f64)?;
            let text = "Address space";
            gauge(
                &mut encoder,
                "virtual_memory_bytes",
                text,
                stat.virtual_bytes as f64,
            )?;
            if let Some(booted_s) = boot_time() {
                let started_s = booted_s + stat.start_ticks as f64 / TICKS_PER_SECOND;
                let text = "When it started, seconds since 1970";
                gauge(&mut encoder, "start_time_seconds", text, started_s)?;
            }
        }
        if let Some(bytes) = resident_bytes() {
            gauge(&mut encoder, "resident_memory_bytes", "Memory in use", bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // Reading the folder opens one more.
            let open = open.count().saturating_sub(1);
            gauge(&mut encoder, "open_fds", "Open files and sockets", open as f64)?;
        }
        let most = getrlimit(Resource::Nofile).current;
        let text = "Files and sockets that may be open";
        gauge(
            &mut encoder,
            "max_fds",
            text,
            most.map_or(f64::INFINITY, |it| it as f64),
        )
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Result<(), fmt::Error> {
    put(encoder, name, help, &ConstGauge::new(value))
}

fn put<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &M,
) -> Result<(), fmt::Error> {
    let (name, kind) = (format!("process_{name}"), metric.metric_type());
    // Help texts end with a full stop, as those of the registry do.
    let encoder = encoder.encode_descriptor(&name, &format!("{help}."), None, kind)?;
    metric.encode(encoder)
}

/// Some fields of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Stat> {
        // The second field is a name in brackets, which may hold anything; the state behind it is the third.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// When the machine was started, seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Process, Stat};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn fields_are_found_behind_any_name() {
        let text =
            "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 700 30 0 0 20 0 17 0 1234 4096000 55 18446744073709551615";
        let stat = Stat {
            cpu_ticks: 730,
            threads: 17,
            start_ticks: 1234,
            virtual_bytes: 4_096_000,
        };
        assert_eq!(Stat::read(text), Some(stat));
        assert_eq!(Stat::read("42 (short) S 1"), None);
    }

    #[test]
    fn standard_names_without_a_prefix_of_ours() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
            "process_threads",
        ] {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            assert!(value.is_some_and(|it| it >= 0.0), "{name} in\n{text}");
        }
    }
}
