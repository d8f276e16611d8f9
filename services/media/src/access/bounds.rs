//! What is counted of those who come: wrong keys, tokens for one time, viewers of one address. All of it is bounded.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use yizhan_talk::Timestamp;

/// Wrong keys and tokens of one address within [`BRAKE_FOR`]; then it waits.
pub(crate) const WRONG_MAX: u32 = 20;
/// How long wrong ones are remembered.
pub(crate) const BRAKE_FOR: Duration = Duration::from_secs(60);
/// Addresses that are remembered with wrong ones; the oldest are forgotten first.
const ADDRESSES_MAX: usize = 65_536;
/// Tokens for one time that are remembered as used until they expire; beyond it such tokens are refused.
const USED_MAX: usize = 1_000_000;

/// How often viewers are counted anew.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// One client as the network gives addresses out: an IPv4 address, or an IPv6 network of 64 bits.
pub(crate) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// Who guesses is slowed down.
#[derive(Default)]
pub(crate) struct Brake {
    wrong: FxHashMap<IpAddr, (u32, Instant)>,
    order: VecDeque<(Instant, IpAddr)>,
}

impl Brake {
    /// Whether this address has to wait.
    pub(crate) fn holds(&self, now: Instant, address: IpAddr) -> bool {
        let of = self.wrong.get(&client(address));
        of.is_some_and(|(wrong, since)| {
            *wrong >= WRONG_MAX && now.saturating_duration_since(*since) < BRAKE_FOR
        })
    }

    /// It showed something wrong.
    pub(crate) fn wrong(&mut self, now: Instant, address: IpAddr) {
        let address = client(address);
        self.forget(now);
        if let Some((wrong, _)) = self.wrong.get_mut(&address) {
            *wrong = wrong.saturating_add(1);
            return;
        }
        self.wrong.insert(address, (1, now));
        self.order.push_back((now, address));
        if self.order.len() > ADDRESSES_MAX {
            self.forget_oldest();
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= BRAKE_FOR)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, address)) = self.order.pop_front() {
            self.wrong.remove(&address);
        }
    }
}

/// Tokens for one time that were used.
#[derive(Default)]
pub(crate) struct Used(FxHashMap<Box<str>, u64>);

impl Used {
    /// Uses one that is good until this second since 1970; false where it was used, or too many are remembered.
    pub(crate) fn take(&mut self, now: Timestamp, once: &str, until: u64) -> bool {
        if self.0.contains_key(once) {
            return false;
        }
        if self.0.len() >= USED_MAX {
            self.forget(now);
        }
        if self.0.len() >= USED_MAX {
            return false;
        }
        self.0.insert(once.into(), until);
        true
    }

    /// Forgets those that have expired: they are refused for that.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let second = now.as_millis() / 1000;
        self.0.retain(|_, until| *until > second);
    }
}

/// Viewers by address: as they were counted last, and those who came since.
#[derive(Default)]
pub(crate) struct Crowd {
    here: FxHashMap<IpAddr, usize>,
    counted: Option<Instant>,
}

impl Crowd {
    /// Counts one in; false where there are as many as may be.
    pub(crate) fn enter(&mut self, address: IpAddr, max: usize) -> bool {
        let here = self.here.entry(client(address)).or_default();
        if *here >= max {
            return false;
        }
        *here += 1;
        true
    }

    /// Whether they are to be counted anew. There may be very many, so that is not done all the time.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        self.counted.is_none_or(|at| now.saturating_duration_since(at) >= COUNT_EVERY)
    }

    /// Counts all of them anew: whoever had a pass and did not come, or has gone, is not among them.
    pub(crate) fn recount(&mut self, now: Instant, all: impl Iterator<Item = IpAddr>) {
        self.counted = Some(now);
        self.here.clear();
        for address in all {
            *self.here.entry(client(address)).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_guesses_waits_a_minute_and_others_do_not() {
        let (mut brake, start) = (Brake::default(), Instant::now());
        let (one, near, other) = (address("2001:db8::1"), address("2001:db8::2"), address("2001:db8:1::1"));
        for _ in 0..WRONG_MAX {
            assert!(!brake.holds(start, one));
            brake.wrong(start, one);
        }
        assert!(brake.holds(start, one) && brake.holds(start, near) && !brake.holds(start, other));
        assert!(!brake.holds(start + BRAKE_FOR, one));
        brake.wrong(start + BRAKE_FOR, one);
        assert!(!brake.holds(start + BRAKE_FOR, one), "it counts anew");
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        for number in 0..(ADDRESSES_MAX as u32 + 1000) {
            brake.wrong(now, IpAddr::V4(number.into()));
        }
        assert_eq!((brake.wrong.len(), brake.order.len()), (ADDRESSES_MAX, ADDRESSES_MAX));
    }

    #[test]
    fn what_is_good_once_is_used_once() {
        let (mut used, now) = (Used::default(), Timestamp::from_millis(10_000));
        assert!(used.take(now, "a", 20) && !used.take(now, "a", 20) && used.take(now, "b", 11));
        used.forget(Timestamp::from_millis(11_000));
        assert_eq!(used.0.len(), 1);
    }

    #[test]
    fn viewers_of_an_address_are_bounded_and_counted_anew() {
        let mut crowd = Crowd::default();
        let here = address("203.0.113.7");
        assert!(
            crowd.enter(here, 2) && crowd.enter(address("::ffff:203.0.113.7"), 2) && !crowd.enter(here, 2)
        );
        assert!(crowd.enter(address("203.0.113.8"), 2));
        let now = Instant::now();
        crowd.recount(now, [here].into_iter());
        assert!(!crowd.is_old(now) && crowd.is_old(now + COUNT_EVERY));
        assert!(crowd.enter(here, 2) && !crowd.enter(here, 2));
    }
}
