//! What the operating system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that are asked for where the process may raise its hard limit (root, mostly): a connection
/// takes one.
const DESCRIPTORS_WANTED: u64 = 1 << 20;

/// Raises the number of file descriptors as far as the system lets us: to the hard limit, and beyond it where
/// that may be raised. Gives the number; where it cannot be raised, it stays as it is.
pub(crate) fn raise_descriptors() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let hard = before.maximum.unwrap_or(u64::MAX);
    let tries = [hard.max(DESCRIPTORS_WANTED), hard];
    let raised = tries.into_iter().find(|&wanted| {
        let limit = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        setrlimit(Resource::Nofile, limit).is_ok()
    });
    raised.or(before.current).unwrap_or(u64::MAX)
}
