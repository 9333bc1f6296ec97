//! The machine that tests share: who may use it at a time, which ports are free, what a process costs.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

use crate::binary::target_dir;

/// A share in the machine; given back when dropped.
#[must_use]
pub struct Share {
    _lock: File,
}

/// The whole machine, for what is measured or plays in a browser. Waits until every other test is done with it.
pub fn alone() -> Share {
    let lock = lock_file();
    lock.lock().expect("the lock file can be locked");
    Share { _lock: lock }
}

/// A part of the machine, for what is not measured.
pub fn shared() -> Share {
    let lock = lock_file();
    lock.lock_shared().expect("the lock file can be locked");
    Share { _lock: lock }
}

/// A lock between processes, because cargo-nextest runs every test in one of its own.
fn lock_file() -> File {
    let dir = target_dir();
    fs::create_dir_all(&dir).expect("the target directory can be made");
    let path = dir.join("headwater-tests.lock");
    File::options().create(true).append(true).open(path).expect("the target directory can be written")
}

const PORT_FIRST: u32 = 20_000;
const PORT_COUNT: u32 = 12_000;
/// Coprime to `PORT_COUNT`: neighbouring process ids start far from one another.
const PORT_STRIDE: u32 = 389;

/// A TCP port that nobody listens on. It lies below the ports that the system hands out to clients, and no other
/// call in this process returns it.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORT_COUNT {
        let offset = (process::id().wrapping_mul(PORT_STRIDE)) % PORT_COUNT;
        let port = PORT_FIRST + (offset + TAKEN.fetch_add(1, Ordering::Relaxed)) % PORT_COUNT;
        let port = u16::try_from(port).expect("PORT_FIRST + PORT_COUNT fits in 16 bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no TCP port between {PORT_FIRST} and {} is free", PORT_FIRST + PORT_COUNT)
}

/// The processor time that a process has used so far, in user and kernel mode.
///
/// # Errors
///
/// If the process is gone.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, which may itself hold spaces and brackets.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has a name in brackets")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next().context("utime")?.parse()?;
    let kernel: u64 = fields.next().context("stime")?.parse()?;
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK)?.context("clock ticks per second")?;
    Ok(Duration::from_secs_f64((user + kernel) as f64 / ticks_per_second as f64))
}

/// What a process holds in memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now, in KiB.
    pub resident_kib: u64,
    /// The most that was ever resident, in KiB.
    pub peak_kib: u64,
}

/// What a process holds in memory now.
///
/// # Errors
///
/// If the process is gone.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Memory { resident_kib: status_kib(&status, "VmRSS:")?, peak_kib: status_kib(&status, "VmHWM:")? })
}

fn status_kib(status: &str, field: &str) -> Result<u64> {
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).context("a field of /proc/PID/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The processor's name and how many cores this process may use.
pub fn processor() -> (String, usize) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (model.to_owned(), cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_never_the_same() {
        let (first, second) = (free_port(), free_port());
        assert_ne!(first, second);
        TcpListener::bind(("127.0.0.1", first)).unwrap();
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        cpu_time(process::id()).unwrap();
        let memory = memory(process::id()).unwrap();
        assert!(memory.resident_kib > 0 && memory.peak_kib >= memory.resident_kib);
    }
}
