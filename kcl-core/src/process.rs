//! Identifies this process in session rows and detects that another process has exited.

use crate::lease::row::ProcessId;

/// The identity of this process. Empty under virtual time, where one process runs many workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThisProcess(Option<ProcessId>);

impl ThisProcess {
    /// Returns the calling process.
    pub(crate) fn current() -> Self {
        let (started_at_ms, kernel) = kernel::current().unzip();
        let host = kernel::hostname().or_else(|| std::env::var("HOSTNAME").ok());
        ThisProcess(Some(ProcessId {
            host: host.unwrap_or_else(|| "unknown".to_owned()),
            id: std::process::id(),
            started_at_ms: started_at_ms.unwrap_or(0),
            kernel,
        }))
    }

    pub(crate) fn id(&self) -> Option<&ProcessId> {
        self.0.as_ref()
    }

    /// True if the other process is proven to have exited: it ran on this kernel since the same
    /// boot, in the same PID namespace and for the same user, and its id is unused or belongs to a
    /// later process. `false` if any of this cannot be determined.
    pub(crate) fn has_exited(&self, other: &ProcessId) -> bool {
        let mine = self.0.as_ref().and_then(|process| Kernel::parse(process.kernel.as_deref()?));
        let theirs = other.kernel.as_deref().and_then(Kernel::parse);
        let (Some(mine), Some(theirs)) = (mine, theirs) else { return false };
        mine.space == theirs.space
            && kernel::started(other.id).is_some_and(|now| now.as_deref() != Some(theirs.started))
    }
}

/// `<boot>/<namespace>/<user>/<start in clock ticks>`.
#[derive(Debug, PartialEq, Eq)]
struct Kernel<'a> {
    /// The scope in which a process id and a start time identify one process.
    space: &'a str,
    started: &'a str,
}

impl<'a> Kernel<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (space, started) = text.rsplit_once('/')?;
        Some(Kernel { space, started })
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::MetadataExt;

    pub(super) fn hostname() -> Option<String> {
        Some(fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned())
    }

    /// Returns when this process started, in milliseconds since 1970, and its unique name on this
    /// kernel.
    pub(super) fn current() -> Option<(i64, String)> {
        let started = start_of(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        let namespace = namespace.to_str()?.trim_start_matches("pid:[").trim_end_matches(']').to_owned();
        let user = fs::metadata("/proc/self").ok()?.uid();
        let name = format!("{}/{namespace}/{user}/{started}", boot.trim());
        let booted: i64 = fs::read_to_string("/proc/stat")
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .parse()
            .ok()?;
        // Linux reports times to user space in hundredths of a second (USER_HZ), on every
        // architecture that Rust supports.
        let since_boot = started.parse::<i64>().ok()?.checked_mul(10)?;
        Some((booted.checked_mul(1_000)?.checked_add(since_boot)?, name))
    }

    /// Returns when the process with this id started, in clock ticks; `Some(None)` if there is no
    /// such process; `None` if that cannot be determined.
    pub(super) fn started(id: u32) -> Option<Option<String>> {
        match fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) => start_of(&stat).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(None),
            Err(_) => None,
        }
    }

    /// Returns field 22 of `/proc/<pid>/stat` (proc(5)). Field 2 is a name in parentheses that may
    /// contain anything.
    fn start_of(stat: &str) -> Option<String> {
        let (_, after) = stat.rsplit_once(')')?;
        after.split_whitespace().nth(19).map(str::to_owned)
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) fn hostname() -> Option<String> {
        std::env::var("COMPUTERNAME").ok()
    }

    pub(super) fn current() -> Option<(i64, String)> {
        None
    }

    pub(super) fn started(_: u32) -> Option<Option<String>> {
        None
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn other(change: impl FnOnce(&mut ProcessId)) -> (ThisProcess, ProcessId) {
        let me = ThisProcess::current();
        let mut other = me.id().unwrap().clone();
        change(&mut other);
        (me, other)
    }

    #[test]
    fn this_process_has_not_exited() {
        let (me, same) = other(|_| {});
        assert!(same.kernel.is_some() && same.started_at_ms > 1_600_000_000_000, "{same:?}");
        assert!(!me.has_exited(&same));
    }

    #[test]
    fn an_unused_or_reused_process_id_shows_that_its_process_has_exited() {
        let (me, gone) = other(|other| other.id = u32::MAX);
        assert!(me.has_exited(&gone));
        let (me, gone) = other(|other| other.kernel = other.kernel.take().map(|kernel| kernel + "0"));
        assert!(me.has_exited(&gone));
    }

    #[test]
    fn processes_of_other_containers_machines_and_users_are_never_reported_as_exited() {
        for change in [
            |other: &mut ProcessId| other.kernel = None,
            |other: &mut ProcessId| other.kernel = other.kernel.take().map(|kernel| format!("x{kernel}")),
        ] {
            let (me, mut unknown) = other(change);
            unknown.id = u32::MAX;
            assert!(!me.has_exited(&unknown), "{unknown:?}");
        }
        let (_, gone) = other(|other| other.id = u32::MAX);
        assert!(!ThisProcess::default().has_exited(&gone));
    }
}
