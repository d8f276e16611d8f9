//! Viewers who ask again and again: who they are, what they may, what they count for.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ring::hmac;
use rustc_hash::FxHashMap;
use yizhan_media::{Broadcast, Gone, Media, Name, Party, Viewer, Wish};
use yizhan_talk::{Now, Timestamp};

/// Sessions of one address at one time.
const ADDRESS_MAX: u32 = 1_000;
/// How long somebody who was kicked is refused.
const KICKED_FOR: Duration = Duration::from_secs(60);
/// Broadcasts that one session counts for at one time: the source, and rungs between which it changes.
const WATCHED_MAX: usize = 4;

/// Names a session. Nobody can guess one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u128);

impl Key {
    /// Reads a key: 32 hexadecimal digits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let good = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// All sessions.
pub(crate) struct Sessions {
    media: Media,
    secret: hmac::Key,
    max: usize,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    sessions: FxHashMap<Key, Session>,
    /// The newest session of those who bring no key, by what they look like.
    looks: FxHashMap<Key, Key>,
    addresses: FxHashMap<IpAddr, u32>,
}

struct Session {
    wish: Wish,
    until: Option<Timestamp>,
    look: Key,
    watched: Vec<Watched>,
    /// When it ends, where nothing more is asked for.
    ends: Instant,
    kicked: bool,
    bytes: u64,
}

struct Watched {
    viewer: Viewer,
    ends: Instant,
}

/// What somebody may who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// They have a session.
    Yes(Key),
    /// They were told to go.
    Kicked,
    /// Nobody knows them: who decides is to be asked.
    No,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Sessions {
    pub(crate) fn new(media: Media, secret: [u8; 32], max: usize) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Self { media, secret, max, all: Mutex::default() }
    }

    /// A number that only who knows the secret can make of these texts.
    pub(crate) fn hash(&self, texts: &[&[u8]]) -> u128 {
        let mut context = hmac::Context::with_key(&self.secret);
        for text in texts {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text);
        }
        let tag = context.sign();
        tag.as_ref().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// What somebody looks like who brings no key.
    pub(crate) fn look(&self, name: &Name, party: &Party, bearer: Option<&str>) -> Key {
        let address = party.address.map(|address| address.to_string()).unwrap_or_default();
        let source = name.source().to_string();
        let texts = [&source, &*address, &*party.client, &*party.params, bearer.unwrap_or_default()];
        Key(self.hash(&texts.map(str::as_bytes)))
    }

    /// Looks somebody up, and goes on with their session for so long.
    pub(crate) fn known(&self, now: Now, name: &Name, key: Option<Key>, look: Key, keep: Duration) -> Known {
        let mut all = self.all.lock();
        let Some(key) = key.or_else(|| all.looks.get(&look).copied()) else { return Known::No };
        let Some(session) = all.sessions.get_mut(&key) else { return Known::No };
        let of_this = session.wish.name == name.source();
        if !of_this || session.until.is_some_and(|until| until <= now.wall) {
            return Known::No;
        }
        if session.is_kicked(now) {
            return Known::Kicked;
        }
        session.ends = session.ends.max(now.steady + keep);
        Known::Yes(key)
    }

    /// A new session for somebody who may.
    pub(crate) fn begin(
        &self,
        now: Now,
        wish: Wish,
        until: Option<Timestamp>,
        look: Key,
        keep: Duration,
    ) -> Result<Key, TooMany> {
        let key = Key(self.hash(&[b"session", &wish.id.to_be_bytes()]));
        let mut all = self.all.lock();
        let here = wish.party.address.map_or(0, |one| all.addresses.get(&one).copied().unwrap_or(0));
        if all.sessions.len() >= self.max || here >= ADDRESS_MAX {
            return Err(TooMany);
        }
        if let Some(address) = wish.party.address {
            *all.addresses.entry(address).or_default() += 1;
        }
        all.looks.insert(look, key);
        let ends = now.steady + keep;
        let session = Session { wish, until, look, watched: Vec::new(), ends, kicked: false, bytes: 0 };
        all.sessions.insert(key, session);
        Ok(key)
    }

    /// Counts a session as a viewer of these broadcasts, for so long.
    ///
    /// # Errors
    /// One of them has as many as it may have.
    pub(crate) fn watch(
        &self,
        now: Now,
        key: Key,
        broadcasts: &[&Broadcast],
        keep: Duration,
    ) -> Result<(), yizhan_media::Refused> {
        let mut all = self.all.lock();
        let Some(session) = all.sessions.get_mut(&key) else { return Ok(()) };
        let ends = now.steady + keep;
        session.ends = session.ends.max(ends);
        for broadcast in broadcasts {
            let id = broadcast.id();
            if let Some(one) = session.watched.iter_mut().find(|one| one.viewer.broadcast().id() == id) {
                one.ends = ends;
                continue;
            }
            let viewer = self.media.viewer(now, broadcast, session.wish.party.clone())?;
            if session.watched.len() >= WATCHED_MAX {
                session.watched.remove(0);
            }
            session.watched.push(Watched { viewer, ends });
        }
        Ok(())
    }

    /// So many bytes were given to whoever has this key.
    pub(crate) fn sent(&self, key: Key, bytes: u64) {
        if let Some(session) = self.all.lock().sessions.get_mut(&key) {
            session.bytes += bytes;
            if let Some(one) = session.watched.last() {
                one.viewer.sent(bytes);
            }
        }
    }

    /// Ends what nobody has asked for.
    pub(crate) fn sweep(&self, now: Now) {
        let mut gone = Vec::new();
        {
            let mut all = self.all.lock();
            let All { sessions, looks, addresses } = &mut *all;
            for (key, session) in sessions.extract_if(|_, session| session.is_over(now)) {
                if looks.get(&session.look) == Some(&key) {
                    looks.remove(&session.look);
                }
                if let Some(address) = session.wish.party.address
                    && let Some(count) = addresses.get_mut(&address)
                {
                    *count -= 1;
                    if *count == 0 {
                        addresses.remove(&address);
                    }
                }
                gone.push(session);
            }
        }
        for session in gone {
            let Wish { name, party, publishing, id, .. } = session.wish;
            self.media.gone(Gone { now, name, party, publishing, id, bytes: session.bytes });
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.lock().sessions.len()
    }
}

impl Session {
    /// Whether an operator has told it to go; the first look notes it.
    fn is_kicked(&mut self, now: Now) -> bool {
        if !self.kicked && self.watched.iter().any(|one| one.viewer.kicked().is_some()) {
            self.kicked = true;
            self.watched.clear();
            self.ends = now.steady + KICKED_FOR;
        }
        self.kicked
    }

    fn is_over(&mut self, now: Now) -> bool {
        if !self.is_kicked(now) {
            self.watched.retain(|one| one.ends > now.steady);
        }
        self.ends <= now.steady
    }
}
