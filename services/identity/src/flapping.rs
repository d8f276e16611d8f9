//! Who comes and goes too often: a client that can't keep its connection costs a hello, a session and a last
//! message each time, and is better sent away for a while.
//!
//! A client is a user and a device. Who names no device isn't counted: all of a user's visits would look
//! like one client's.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::config::Flapping;

/// Clients that are counted at the same time. When all of them are fresh, those that left once are forgotten.
const CLIENTS_MAX: usize = 10_000;

type Client = (Arc<str>, Arc<str>);

/// Counts who leaves.
#[derive(Default)]
pub(crate) struct Leavers(Mutex<FxHashMap<Client, Leaving>>);

#[derive(Clone, Copy)]
struct Leaving {
    first_at: Instant,
    times: u32,
}

impl Leavers {
    /// A client left. Whether that was once too often; then it's counted from the beginning.
    pub(crate) fn left(&self, now: Instant, user: &Arc<str>, device: &Arc<str>, config: &Flapping) -> bool {
        let mut all = self.0.lock();
        let is_fresh = |leaving: &Leaving| now.saturating_duration_since(leaving.first_at) < config.within;
        let client = (user.clone(), device.clone());
        if all.len() >= CLIENTS_MAX && !all.contains_key(&client) {
            all.retain(|_, leaving| is_fresh(leaving));
            if all.len() >= CLIENTS_MAX {
                all.retain(|_, leaving| leaving.times > 1);
            }
            if all.len() >= CLIENTS_MAX {
                return false;
            }
        }
        let leaving = all.entry(client.clone()).or_insert(Leaving { first_at: now, times: 0 });
        if !is_fresh(leaving) {
            *leaving = Leaving { first_at: now, times: 0 };
        }
        leaving.times += 1;
        if leaving.times <= config.connects_max {
            return false;
        }
        all.remove(&client);
        true
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test begins at some moment")]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONFIG: Flapping = Flapping {
        enabled: true,
        connects_max: 3,
        within: Duration::from_secs(60),
        ban_for: Duration::from_secs(300),
    };

    fn left(leavers: &Leavers, at: Instant, user: &str, device: &str) -> bool {
        leavers.left(at, &user.into(), &device.into(), &CONFIG)
    }

    #[test]
    fn leaving_more_often_than_allowed_is_too_often() {
        let (leavers, start) = (Leavers::default(), Instant::now());
        let times = |device: &str, apart: u64| {
            let at = |i: u64| start + Duration::from_secs(i * apart);
            (0..8).map(|i| left(&leavers, at(i), "ann", device)).collect::<Vec<_>>()
        };
        assert_eq!(times("quick", 1), [false, false, false, true, false, false, false, true]);
        assert_eq!(times("slow", 30), [false; 8]);
    }

    #[test]
    fn users_and_devices_are_counted_by_themselves() {
        let (leavers, start) = (Leavers::default(), Instant::now());
        for i in 0..3 {
            for (user, device) in [("ann", "x"), ("ann", "y"), ("bob", "x")] {
                assert!(!left(&leavers, start, user, device), "{i} {user} {device}");
            }
        }
        assert!(left(&leavers, start, "ann", "x"));
    }

    #[test]
    fn many_clients_do_not_fill_the_memory_nor_hide_one_that_flaps() {
        let (leavers, start) = (Leavers::default(), Instant::now());
        let crowd = if cfg!(miri) { 10 } else { CLIENTS_MAX as u32 + 100 };
        for _ in 0..2 {
            left(&leavers, start, "ann", "x");
        }
        for i in 0..crowd {
            left(&leavers, start, "bob", &i.to_string());
        }
        assert!(leavers.0.lock().len() <= CLIENTS_MAX);
        assert!(!left(&leavers, start, "ann", "x") && left(&leavers, start, "ann", "x"));
    }
}
