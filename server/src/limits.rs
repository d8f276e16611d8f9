//! What the operating system allows this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the number of file descriptors to the hard limit: each connection takes one. Gives the number; where
/// it cannot be raised, it stays as it is.
pub(crate) fn raise_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    let now = if raised { limit.current } else { before };
    now.unwrap_or(u64::MAX)
}
