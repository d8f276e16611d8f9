//! The transport's side of who is connected: one line for each connection, all lines in one list.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Context,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use tokio::sync::Notify;
use yizhan_talk::{Clock, Close, Now, Timestamp};

use crate::{DoorMeters, Limits, Meters, address};

/// Seconds' worth of new connections that one address may open at once.
const RATE_BURST: u32 = 4;
/// Addresses that are remembered after their last connection, for their rate; beyond it, all those without
/// a connection are forgotten.
const GONE_ADDRESSES_MAX: usize = 100_000;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address; behind a balancer that speaks the PROXY protocol, the one it told.
    pub address: SocketAddr,
    /// Our own address that it came to.
    pub local: SocketAddr,
    /// Whether the connection is encrypted up to us.
    pub secure: bool,
    /// The client certificate that was shown and is signed by `tls.client_ca`.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A client certificate that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of `der`.
    pub fingerprint: [u8; 32],
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// What all lines of a site share.
#[derive(Clone)]
pub struct Shell {
    /// How long to wait, how much to hold.
    pub limits: Limits,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub meters: Arc<Meters>,
}

impl std::fmt::Debug for Shell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shell").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What the site wants of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Nothing.
    None,
    /// Say goodbye with this, finish, end.
    Leave(Close),
    /// End now.
    Cut,
}

const NO_SIGNAL: u8 = 0;
const LEAVE: u8 = 1;
const CUT: u8 = 2;

/// One connection as the transport sees it. It leaves the list of lines when its last `Arc` is dropped.
pub struct Line {
    id: u64,
    key: usize,
    lines: Weak<Inner>,
    shell: Arc<Shell>,
    door: Arc<DoorMeters>,
    peer: Peer,
    since: Timestamp,
    signal: AtomicU8,
    close: OnceLock<Box<Close>>,
    waker: AtomicWaker,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Line {
    /// A line that is in no list: for tests, and for streams that no site accepted.
    #[must_use]
    pub fn detached(shell: &Arc<Shell>, door: &'static str, peer: Peer) -> Arc<Self> {
        Arc::new(Self::new(0, 0, Weak::new(), Arc::clone(shell), shell.meters.door(door), peer))
    }

    fn new(
        id: u64,
        key: usize,
        lines: Weak<Inner>,
        shell: Arc<Shell>,
        door: Arc<DoorMeters>,
        peer: Peer,
    ) -> Self {
        door.connections.up();
        door.opened.one();
        let since = shell.clock.now().wall;
        Self {
            id,
            key,
            lines,
            shell,
            door,
            peer,
            since,
            signal: AtomicU8::new(NO_SIGNAL),
            close: OnceLock::new(),
            waker: AtomicWaker::new(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// The same client at another door: an upgraded connection, a stream within one.
    #[must_use]
    pub(crate) fn beside(&self, door: &'static str) -> Arc<Self> {
        self.again(door, self.peer.clone())
    }

    /// The same connection, of which more is known now.
    #[must_use]
    pub(crate) fn again(&self, door: &'static str, peer: Peer) -> Arc<Self> {
        match self.lines.upgrade() {
            Some(inner) => Lines { inner }.add(&self.shell, door, peer),
            None => Self::detached(&self.shell, door, peer),
        }
    }

    /// A number that no other line of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What all lines share.
    #[must_use]
    pub fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// The counts of the line's door.
    #[must_use]
    pub fn meters(&self) -> &DoorMeters {
        &self.door
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Now {
        self.shell.clock.now()
    }

    /// Says goodbye to the client with `close`; the first goodbye stands.
    pub fn leave(&self, close: Close) {
        // A second goodbye changes nothing: the first is on its way.
        drop(self.close.set(Box::new(close)));
        self.signal.fetch_max(LEAVE, Ordering::Release);
        self.waker.wake();
    }

    /// Ends the connection without a word.
    pub fn cut(&self) {
        self.signal.fetch_max(CUT, Ordering::Release);
        self.waker.wake();
    }

    /// What the site wants, cheap enough for every turn. The task of `cx` is woken when that changes.
    pub(crate) fn signal(&self, cx: &mut Context<'_>) -> Signal {
        self.waker.register(cx.waker());
        match self.signal.load(Ordering::Acquire) {
            NO_SIGNAL => Signal::None,
            LEAVE => Signal::Leave(self.close.get().map_or(Close::GOING_AWAY, |close| (**close).clone())),
            _ => Signal::Cut,
        }
    }

    pub(crate) fn count_in(&self, bytes: usize) {
        // Only the line's own task writes these two, so a load and a store are enough.
        self.bytes_in.store(self.bytes_in.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
        self.door.bytes_in.add(bytes as u64);
    }

    pub(crate) fn count_out(&self, bytes: usize) {
        self.bytes_out.store(self.bytes_out.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
        self.door.bytes_out.add(bytes as u64);
    }

    fn info(&self) -> LineInfo {
        LineInfo {
            id: self.id,
            door: self.door.name,
            address: self.peer.address,
            secure: self.peer.secure,
            since: self.since,
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.door.connections.down();
        if let Some(inner) = self.lines.upgrade() {
            inner.remove(self.key, self.peer.address.ip());
        }
    }
}

/// A line, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineInfo {
    /// See [`Line::id`].
    pub id: u64,
    /// Which door.
    pub door: &'static str,
    /// The client's address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted up to us.
    pub secure: bool,
    /// Since when.
    pub since: Timestamp,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// All lines of a site.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<Table>,
    ids: AtomicU64,
    /// Told when the last line is gone.
    empty: Notify,
    /// New lines are told this at once.
    leaving: OnceLock<Close>,
}

#[derive(Debug, Default)]
struct Table {
    lines: Slab<Weak<Line>>,
    addresses: HashMap<IpAddr, Visits, FxBuildHasher>,
    /// How many of the addresses have no connection now.
    gone: usize,
}

/// What one address has open, and how fast it came.
#[derive(Debug)]
struct Visits {
    open: usize,
    tokens: f32,
    at: Timestamp,
}

/// Why a new connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Full,
    Address,
    Rate,
}

impl Lines {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.table.lock().lines.len()
    }

    /// Up to `max` lines, those with a number above `after`, by number.
    #[must_use]
    pub fn list(&self, after: u64, max: usize) -> Vec<LineInfo> {
        let mut all: Vec<_> = self.all().iter().map(|line| line.info()).collect();
        all.retain(|info| info.id > after);
        all.sort_unstable_by_key(|info| info.id);
        all.truncate(max);
        all
    }

    /// Says goodbye to one client; false where it is gone.
    #[must_use]
    pub fn leave(&self, id: u64, close: Close) -> bool {
        let found = self.all().into_iter().find(|line| line.id == id);
        found.inspect(|line| line.leave(close)).is_some()
    }

    /// Says goodbye to everyone, and to all who come from now on.
    pub(crate) fn leave_all(&self, close: &Close) {
        // A second drain says the same.
        drop(self.inner.leaving.set(close.clone()));
        for line in self.all() {
            line.leave(close.clone());
        }
    }

    /// Ends everything.
    pub(crate) fn cut_all(&self) {
        for line in self.all() {
            line.cut();
        }
    }

    /// Whether one more connection is taken now, wherever it comes from.
    pub(crate) fn admit_any(&self, limits: &Limits) -> Result<(), Denied> {
        if self.count() >= limits.connections_max { Err(Denied::Full) } else { Ok(()) }
    }

    /// Whether one more connection of `address` is taken now. Counts it for the rate.
    pub(crate) fn admit(&self, address: IpAddr, limits: &Limits, at: Timestamp) -> Result<(), Denied> {
        let mut table = self.inner.table.lock();
        if table.lines.len() >= limits.connections_max {
            return Err(Denied::Full);
        }
        if address::any_contains(&limits.exempt, address) {
            return Ok(());
        }
        let burst = limits.address_rate_max.saturating_mul(RATE_BURST) as f32;
        let visits = table.visits(household(address), || Visits { open: 0, tokens: burst, at });
        if visits.open >= limits.address_connections_max {
            return Err(Denied::Address);
        }
        let passed = at.since(visits.at).min(Duration::from_secs(3600));
        visits.at = at;
        visits.tokens = (visits.tokens + passed.as_secs_f32() * limits.address_rate_max as f32).min(burst);
        if visits.tokens < 1.0 {
            return Err(Denied::Rate);
        }
        visits.tokens -= 1.0;
        Ok(())
    }

    /// Puts a new line into the list.
    pub(crate) fn add(&self, shell: &Arc<Shell>, door: &'static str, peer: Peer) -> Arc<Line> {
        let id = self.inner.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let meters = shell.meters.door(door);
        let address = household(peer.address.ip());
        let at = shell.clock.now().wall;
        let mut table = self.inner.table.lock();
        let visits = table.visits(address, || Visits { open: 0, tokens: 0.0, at });
        visits.open += 1;
        if visits.open == 1 {
            table.gone -= 1;
        }
        let entry = table.lines.vacant_entry();
        let lines = Arc::downgrade(&self.inner);
        let line = Arc::new(Line::new(id, entry.key(), lines, Arc::clone(shell), meters, peer));
        entry.insert(Arc::downgrade(&line));
        drop(table);
        if let Some(close) = self.inner.leaving.get() {
            line.leave(close.clone());
        }
        line
    }

    /// Waits until there is no line.
    pub(crate) async fn none_left(&self) {
        loop {
            let gone = self.inner.empty.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// All lines, held: they are dropped when the list's lock is not held, since dropping the last takes it.
    fn all(&self) -> Vec<Arc<Line>> {
        self.inner.table.lock().lines.iter().filter_map(|(_, line)| line.upgrade()).collect()
    }
}

impl Table {
    /// What is known of an address, which now is or soon will be connected.
    fn visits(&mut self, address: IpAddr, fresh: impl FnOnce() -> Visits) -> &mut Visits {
        if self.gone >= GONE_ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, visits| visits.open > 0);
            self.gone = 0;
        }
        let Self { addresses, gone, .. } = self;
        addresses.entry(address).or_insert_with(|| {
            *gone += 1;
            fresh()
        })
    }
}

impl Inner {
    fn remove(&self, key: usize, address: IpAddr) {
        let mut table = self.table.lock();
        table.lines.remove(key);
        let address = household(address);
        if let Some(visits) = table.addresses.get_mut(&address) {
            visits.open -= 1;
            if visits.open == 0 {
                table.gone += 1;
            }
        }
        if table.lines.is_empty() {
            drop(table);
            self.empty.notify_waiters();
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 that a household has in IPv6.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn shell() -> Arc<Shell> {
        let limits = Limits { exempt: Vec::new(), address_rate_max: 10, ..Limits::default() };
        Arc::new(Shell { limits, clock: Arc::new(SystemClock), meters: Arc::default() })
    }

    fn peer(ip: impl Into<IpAddr>) -> Peer {
        let address = SocketAddr::new(ip.into(), 1);
        Peer { address, local: address, secure: false, certificate: None }
    }

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let (lines, shell) = (Lines::default(), shell());
        let ip = IpAddr::from([192, 0, 2, 1]);
        let admitted = |at: u64| {
            let at = Timestamp::from_millis(at);
            (0..100).filter(|_| lines.admit(ip, &shell.limits, at).is_ok()).count()
        };
        assert_eq!(admitted(0), 40);
        assert_eq!(admitted(500), 5);
        assert_eq!(admitted(100_000), 40);
        assert_eq!(admitted(50_000), 0, "a clock that was set back gives nothing away");
        assert!(lines.admit([192, 0, 2, 2].into(), &shell.limits, Timestamp(0)).is_ok());
    }

    #[test]
    fn a_household_is_one_address() {
        let net = |text: &str| household(text.parse().unwrap());
        assert_eq!(net("2001:db8:1:2::1"), net("2001:db8:1:2:ffff::"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
        assert_ne!(net("192.0.2.1"), net("192.0.2.2"));
    }

    #[test]
    fn addresses_without_a_connection_are_forgotten_when_there_are_too_many() {
        let (lines, shell) = (Lines::default(), shell());
        let stays = lines.add(&shell, "test", peer([10, 0, 0, 1]));
        for i in 0..GONE_ADDRESSES_MAX as u32 + 10 {
            let ip = IpAddr::from((0x0b00_0000 + i).to_be_bytes());
            lines.admit(ip, &shell.limits, Timestamp(0)).unwrap();
            drop(lines.add(&shell, "test", peer(ip)));
        }
        let table = lines.inner.table.lock();
        assert!(table.addresses.len() <= 11);
        assert_eq!(table.addresses.values().filter(|visits| visits.open == 0).count(), table.gone);
        assert_eq!(table.addresses[&stays.peer.address.ip()].open, 1);
        drop(table);
        drop(stays);
        assert_eq!(lines.count(), 0);
    }

    #[test]
    fn who_comes_during_a_drain_is_told_at_once() {
        let (lines, shell) = (Lines::default(), shell());
        lines.leave_all(&Close::GOING_AWAY);
        let late = lines.add(&shell, "test", peer([10, 0, 0, 1]));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(late.signal(&mut cx), Signal::Leave(Close::GOING_AWAY));
        late.cut();
        assert_eq!(late.signal(&mut cx), Signal::Cut);
        late.leave(Close::KICKED);
        assert_eq!(late.signal(&mut cx), Signal::Cut);
    }
}
