//! Guessing made slow: failed attempts to sign in are counted by user name and by address.
//!
//! After some free failures each further one makes the next attempt wait twice as long. Failures fade
//! with a half-life. The wait for a user name is short, because strangers can bring it about; the one for
//! an address is long. A success clears the name's failures, not the address's: else a guesser with one
//! account of his own would begin anew as often as he likes.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::config::Attempts;

/// Names and addresses remembered, each. When one more comes, the one with the fewest failures goes.
const REMEMBERED_MAX: usize = 10_000;
/// Below this, failures count as forgotten.
const FORGOTTEN: f64 = 0.5;

/// Counts failed attempts and says who has to wait.
#[derive(Debug, Default)]
pub struct Brake {
    users: Mutex<FxHashMap<Arc<str>, Failures>>,
    addresses: Mutex<FxHashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: f64,
    at: Instant,
    wait_until: Instant,
}

impl Failures {
    fn faded(&self, now: Instant, half_life: Duration) -> f64 {
        let halvings = now.saturating_duration_since(self.at).as_secs_f64() / half_life.as_secs_f64();
        self.count * (-halvings).exp2()
    }
}

impl Brake {
    /// Whether an attempt may be made now.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check(&self, now: Instant, user: &str, address: IpAddr) -> Result<(), Duration> {
        self.check_at(now, Some(user), address)
    }

    /// As [`check`](Self::check), where no user may have been named.
    ///
    /// # Errors
    /// How long to wait.
    pub fn check_at(&self, now: Instant, user: Option<&str>, address: IpAddr) -> Result<(), Duration> {
        let until =
            |failures: Option<&Failures>| failures.map(|f| f.wait_until.saturating_duration_since(now));
        let user = user.and_then(|user| until(self.users.lock().get(user)));
        let address = until(self.addresses.lock().get(&network(address)));
        match user.max(address) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// An attempt failed. Gives how long the next one has to wait, where it has to.
    pub fn failed(&self, now: Instant, user: &str, address: IpAddr, config: &Attempts) -> Option<Duration> {
        self.failed_at(now, Some(user), address, config)
    }

    /// As [`failed`](Self::failed), where no user may have been named.
    pub fn failed_at(
        &self,
        now: Instant,
        user: Option<&str>,
        address: IpAddr,
        config: &Attempts,
    ) -> Option<Duration> {
        let user = user
            .and_then(|user| fail(&mut self.users.lock(), user.into(), now, config, config.user_wait_max));
        let address =
            fail(&mut self.addresses.lock(), network(address), now, config, config.address_wait_max);
        user.max(address)
    }

    /// An attempt succeeded.
    pub fn succeeded(&self, user: &str) {
        self.users.lock().remove(user);
    }
}

fn fail<K: Hash + Eq + Clone>(
    all: &mut FxHashMap<K, Failures>,
    key: K,
    now: Instant,
    config: &Attempts,
    wait_max: Duration,
) -> Option<Duration> {
    if all.len() >= REMEMBERED_MAX && !all.contains_key(&key) {
        make_room(all, now, config.half_life);
    }
    let failures = all.entry(key).or_insert(Failures { count: 0.0, at: now, wait_until: now });
    failures.count = failures.faded(now, config.half_life) + 1.0;
    failures.at = now;
    let beyond = failures.count.round() - f64::from(config.free);
    if beyond < 1.0 {
        return None;
    }
    let seconds = (beyond - 1.0).min(32.0).exp2();
    let wait = Duration::from_secs_f64(seconds).min(wait_max);
    failures.wait_until = now + wait;
    Some(wait)
}

fn make_room<K: Hash + Eq + Clone>(all: &mut FxHashMap<K, Failures>, now: Instant, half_life: Duration) {
    all.retain(|_, failures| failures.faded(now, half_life) >= FORGOTTEN);
    if all.len() >= REMEMBERED_MAX {
        let fewest = all
            .iter()
            .min_by(|(_, a), (_, b)| a.faded(now, half_life).total_cmp(&b.faded(now, half_life)))
            .map(|(key, _)| key.clone());
        if let Some(key) = fewest {
            all.remove(&key);
        }
    }
}

/// Who shares an address: one IPv4 address, or one IPv6 /64, which is what one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test begins at some moment")]
mod tests {
    use super::*;

    const CONFIG: Attempts = Attempts {
        free: 3,
        user_wait_max: Duration::from_secs(8),
        address_wait_max: Duration::from_secs(100),
        half_life: Duration::from_secs(60),
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn waits_double_up_to_the_longest_and_fade() {
        let (brake, start) = (Brake::default(), Instant::now());
        let mut waits = vec![];
        for _ in 0..12 {
            waits.push(brake.failed(start, "ann", address(1), &CONFIG).map_or(0, |wait| wait.as_secs()));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(brake.check(start, "bob", address(1)), Err(Duration::from_secs(100)));
        assert_eq!(brake.check(start, "ann", address(2)), Err(Duration::from_secs(8)), "a name waits less");
        assert_eq!(brake.check(start, "bob", address(2)), Ok(()));
        let later = start + Duration::from_secs(600);
        assert_eq!(brake.check(later, "ann", address(1)), Ok(()));
        assert_eq!(brake.failed(later, "ann", address(1), &CONFIG), None);
    }

    #[test]
    fn a_success_clears_the_name_and_not_the_address() {
        let (brake, start) = (Brake::default(), Instant::now());
        for _ in 0..4 {
            brake.failed(start, "ann", address(1), &CONFIG);
        }
        brake.succeeded("ann");
        assert_eq!(brake.check(start, "ann", address(2)), Ok(()));
        assert!(brake.check(start, "ann", address(1)).is_err());
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let (brake, start) = (Brake::default(), Instant::now());
        for i in 0..4_u128 {
            let from = Ipv6Addr::from_bits((0x2001_0db8 << 96) | i);
            brake.failed(start, &format!("user{i}"), from.into(), &CONFIG);
        }
        assert!(brake.check(start, "new", "2001:db8::ffff".parse().unwrap()).is_err());
        assert!(brake.check(start, "new", "2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), address(1));
    }

    #[test]
    fn many_names_push_out_the_fewest_failures_first() {
        let (brake, start) = (Brake::default(), Instant::now());
        for _ in 0..8 {
            brake.failed(start, "ann", address(1), &CONFIG);
        }
        for i in 0..if cfg!(miri) { 10 } else { REMEMBERED_MAX + 5 } {
            brake.failed(start, &format!("user{i}"), address(2), &CONFIG);
        }
        assert!(brake.users.lock().len() <= REMEMBERED_MAX);
        assert!(brake.check(start, "ann", address(3)).is_err());
    }
}
