//! Bans: who is kept out, however good his credentials are.
//!
//! Those that operators make are kept in a table. Those that the server makes for clients that come and go
//! too often last minutes and are only in memory: else such clients would keep the disk busy.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use yizhan_hub::{Principal, Store, StoreError, store::Expect};
use yizhan_talk::Timestamp;

use crate::{
    failure::Failure,
    names::{DEVICE_BYTES_MAX, JWT_USER_BYTES_MAX, LOCAL},
    network::{BadNetwork, Network},
    rows::Rows,
};

/// Bans that operators have made, at the same time.
pub(crate) const BANS_MAX: usize = 100_000;
/// Bans that the server has made, at the same time. Beyond, a client that flaps is let in.
const PASSING_MAX: usize = 10_000;
/// Who makes bans when nobody does.
const SERVER: &str = "$server";

/// Whom a ban keeps out. As text: `user:NAME`, `device:NAME`, `client:USER/DEVICE`, `address:RANGE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A user, on all devices.
    User(Arc<str>),
    /// Everybody who comes with this device or client id.
    Device(Arc<str>),
    /// One user's device or client id.
    Client {
        /// The user.
        user: Arc<str>,
        /// The device or client id.
        device: Arc<str>,
    },
    /// All who come from these addresses.
    Address(Network),
}

/// The text does not say whom a ban is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWhom {
    /// It has another form.
    #[error("a ban is for user:NAME, device:NAME, client:USER/DEVICE or address:RANGE")]
    Form,
    /// The addresses are none.
    #[error(transparent)]
    Network(#[from] BadNetwork),
}

impl Whom {
    /// Whether it means somebody who is in. Tools on the server's own machine are never meant.
    #[must_use]
    pub fn means(&self, who: &Principal, address: IpAddr) -> bool {
        *who.user != *LOCAL
            && match self {
                Self::User(user) => *who.user == **user,
                Self::Device(device) => who.device.as_ref() == Some(device),
                Self::Client { user, device } => *who.user == **user && who.device.as_ref() == Some(device),
                Self::Address(network) => network.contains(address),
            }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Device(device) => write!(f, "device:{device}"),
            Self::Client { user, device } => write!(f, "client:{user}/{device}"),
            Self::Address(network) => write!(f, "address:{network}"),
        }
    }
}

impl FromStr for Whom {
    type Err = BadWhom;

    fn from_str(text: &str) -> Result<Self, BadWhom> {
        let name = |name: &str, bytes_max: usize| {
            (1..=bytes_max).contains(&name.len()).then(|| Arc::from(name)).ok_or(BadWhom::Form)
        };
        match text.split_once(':') {
            Some(("user", user)) => Ok(Self::User(name(user, JWT_USER_BYTES_MAX)?)),
            Some(("device", device)) => Ok(Self::Device(name(device, DEVICE_BYTES_MAX)?)),
            // A user's name has no slash, a client id may have one.
            Some(("client", client)) => match client.split_once('/') {
                Some((user, device)) => Ok(Self::Client {
                    user: name(user, JWT_USER_BYTES_MAX)?,
                    device: name(device, DEVICE_BYTES_MAX)?,
                }),
                None => Err(BadWhom::Form),
            },
            Some(("address", range)) => Ok(Self::Address(range.parse()?)),
            _ => Err(BadWhom::Form),
        }
    }
}

impl Serialize for Whom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A ban, as it is kept and as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom it keeps out; there is one ban for each.
    pub whom: Whom,
    /// Why; the client is told.
    pub reason: String,
    /// Who made it; `$server` for a client that came and went too often.
    pub by: String,
    /// When it was made, ms.
    pub at: u64,
    /// When it ends, ms; `None`: never.
    pub until: Option<u64>,
}

impl Ban {
    /// One that the server makes by itself.
    pub(crate) fn passing(whom: Whom, reason: &str, now: Timestamp, until: Timestamp) -> Self {
        let (at, until) = (now.as_millis(), Some(until.as_millis()));
        Self { whom, reason: reason.into(), by: SERVER.into(), at, until }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now.as_millis())
    }

    fn is_passing(&self) -> bool {
        self.by == SERVER
    }
}

/// All bans: the table, and what is looked at when somebody comes in.
pub(crate) struct Bans {
    rows: Rows<Ban>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    bans: FxHashMap<Whom, Arc<Ban>>,
    /// How many ranges of addresses there are of each size, so that an address is looked for in few.
    sizes: BTreeMap<u8, usize>,
    passing: usize,
}

impl Known {
    fn put(&mut self, ban: Arc<Ban>) {
        self.remove(&ban.whom);
        self.passing += usize::from(ban.is_passing());
        if let Whom::Address(network) = ban.whom {
            *self.sizes.entry(network.bits()).or_default() += 1;
        }
        self.bans.insert(ban.whom.clone(), ban);
    }

    fn remove(&mut self, whom: &Whom) -> Option<Arc<Ban>> {
        let ban = self.bans.remove(whom)?;
        self.passing -= usize::from(ban.is_passing());
        if let Whom::Address(network) = whom
            && let Some(count) = self.sizes.get_mut(&network.bits())
        {
            *count -= 1;
            if *count == 0 {
                self.sizes.remove(&network.bits());
            }
        }
        Some(ban)
    }

    /// Removes those that are over, and names those of them that are in the table.
    fn drop_over(&mut self, now: Timestamp) -> Vec<Whom> {
        let over: Vec<_> = self.bans.values().filter(|ban| ban.is_over(now)).cloned().collect();
        for ban in &over {
            self.remove(&ban.whom);
        }
        over.iter().filter(|ban| !ban.is_passing()).map(|ban| ban.whom.clone()).collect()
    }
}

impl Bans {
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let rows = Rows::<Ban>::open(store, "bans")?;
        let mut known = Known::default();
        rows.each(b"", |_, ban| known.put(Arc::new(ban))).await?;
        Ok(Self { rows, known: RwLock::new(known) })
    }

    /// The ban that keeps this user, device or address out. What is `None` is not asked about.
    pub(crate) fn find(
        &self,
        now: Timestamp,
        user: Option<&Arc<str>>,
        device: Option<&Arc<str>>,
        address: IpAddr,
    ) -> Option<Arc<Ban>> {
        let known = self.known.read();
        if known.bans.is_empty() {
            return None;
        }
        let client = user
            .zip(device)
            .map(|(user, device)| Whom::Client { user: user.clone(), device: device.clone() });
        let names = [user.cloned().map(Whom::User), device.cloned().map(Whom::Device), client];
        let networks = known.sizes.keys().map(|&bits| Whom::Address(Network::around(address, bits)));
        let mut found = names.into_iter().flatten().chain(networks).filter_map(|whom| known.bans.get(&whom));
        found.find(|ban| !ban.is_over(now)).cloned()
    }

    /// Keeps a ban; one for the same is replaced.
    pub(crate) async fn add(&self, now: Timestamp, ban: Ban) -> Result<(), Failure> {
        self.sweep(now).await?;
        {
            let known = self.known.read();
            if known.bans.len() - known.passing >= BANS_MAX && !known.bans.contains_key(&ban.whom) {
                return Err(Failure::BadField(
                    "there are 100,000 bans: ban ranges of addresses, or remove some",
                ));
            }
        }
        self.rows.put(ban.whom.to_string().as_bytes(), &ban, Expect::Any).await?;
        self.known.write().put(Arc::new(ban));
        Ok(())
    }

    /// Sets a ban that is only in memory. False where too many are there, or an operator's is.
    pub(crate) fn add_passing(&self, now: Timestamp, ban: Ban) -> bool {
        let mut known = self.known.write();
        if known.passing >= PASSING_MAX {
            let over = |ban: &&Arc<Ban>| ban.is_passing() && ban.is_over(now);
            let over: Vec<_> = known.bans.values().filter(over).map(|ban| ban.whom.clone()).collect();
            for whom in &over {
                known.remove(whom);
            }
        }
        let stays = known.bans.get(&ban.whom).is_some_and(|other| !other.is_passing() && !other.is_over(now));
        if stays || known.passing >= PASSING_MAX {
            return false;
        }
        known.put(Arc::new(ban));
        true
    }

    /// Ends a ban; false where there was none.
    pub(crate) async fn remove(&self, now: Timestamp, whom: &Whom) -> Result<bool, StoreError> {
        self.rows.remove(whom.to_string().as_bytes(), Expect::Any).await?;
        Ok(self.known.write().remove(whom).is_some_and(|ban| !ban.is_over(now)))
    }

    /// Bans after `after`, in the order of their texts.
    pub(crate) fn list(&self, now: Timestamp, after: Option<&str>, most: usize) -> Vec<Ban> {
        let known = self.known.read();
        let good = known.bans.values().filter(|ban| !ban.is_over(now));
        let texts = good.map(|ban| (ban.whom.to_string(), ban));
        let mut found: Vec<_> = texts.filter(|(text, _)| after.is_none_or(|after| **text > *after)).collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        found.into_iter().take(most).map(|(_, ban)| Ban::clone(ban)).collect()
    }

    /// Clears away those that are over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let over = self.known.write().drop_over(now);
        for whom in over {
            self.rows.remove(whom.to_string().as_bytes(), Expect::Any).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_ban_is_for_survives_its_text() {
        for text in ["user:ann", "device:a:b/c", "client:ann/a/b", "address:10.0.0.0/8", "address:::1"] {
            assert_eq!(text.parse::<Whom>().unwrap().to_string(), text);
        }
        let client = Whom::Client { user: "ann".into(), device: "a/b".into() };
        assert_eq!("client:ann/a/b".parse(), Ok(client));
        let long = format!("user:{}", "x".repeat(JWT_USER_BYTES_MAX + 1));
        for bad in
            ["", "ann", "user:", "client:ann", "client:/x", "client:ann/", "address:home", "role:x", &long]
        {
            assert!(bad.parse::<Whom>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_of_ranges_are_counted_down_again() {
        let mut known = Known::default();
        let ban = |text: &str| {
            let (now, until) = (Timestamp::from_millis(1), Timestamp::from_millis(5));
            Arc::new(Ban::passing(text.parse().unwrap(), "", now, until))
        };
        for text in ["address:10.0.0.0/8", "address:10.0.0.0/8", "address:11.0.0.0/8", "user:ann"] {
            known.put(ban(text));
        }
        assert_eq!((known.sizes.get(&8), known.passing), (Some(&2), 3));
        known.remove(&"address:10.0.0.0/8".parse().unwrap());
        assert!(known.drop_over(Timestamp::from_millis(5)).is_empty(), "none of them was in the table");
        assert!(known.sizes.is_empty() && known.bans.is_empty() && known.passing == 0);
    }
}
