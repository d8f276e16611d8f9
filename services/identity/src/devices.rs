//! Devices that a user was seen on.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Peer, Store, StoreError, store::Expect};
use yizhan_talk::Now;

use crate::rows::Rows;

/// Devices of one user that are remembered; of more, the one not seen for longest is forgotten.
const DEVICES_MAX: usize = 100;
/// How exact "last seen" is: within this time a device is noted once.
pub(crate) const NOTED_EVERY: Duration = Duration::from_secs(600);
/// Devices whose last note is remembered in memory.
const NOTED_MAX: usize = 10_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Device {
    first_seen_at: u64,
    last_seen_at: u64,
    address: String,
    door: String,
}

/// A device, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// Its name.
    pub device: String,
    /// When it first came, ms.
    pub first_seen_at: u64,
    /// When it last came, ms; right to within ten minutes.
    pub last_seen_at: u64,
    /// From where it last came.
    pub address: String,
    /// By which door it last came.
    pub door: String,
}

/// The table of devices.
pub(crate) struct Devices {
    rows: Rows<Device>,
    noted: Mutex<FxHashMap<Vec<u8>, Instant>>,
}

impl Devices {
    pub(crate) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self { rows: Rows::open(store, "devices")?, noted: Mutex::default() })
    }

    /// Notes that a device came.
    pub(crate) async fn note(
        &self,
        now: Now,
        peer: Peer,
        user: &str,
        device: &str,
    ) -> Result<(), StoreError> {
        let key = key(user, device);
        if !self.is_due(now.steady, &key) {
            return Ok(());
        }
        let found = self.rows.find(&key).await?;
        let at = now.wall.as_millis();
        let is_new = found.is_none();
        let row = Device {
            first_seen_at: found.map_or(at, |(device, _)| device.first_seen_at),
            last_seen_at: at,
            address: peer.address.to_string(),
            door: peer.door.into(),
        };
        self.rows.put(&key, &row, Expect::Any).await?;
        if is_new { self.forget_oldest(user).await } else { Ok(()) }
    }

    /// A user's devices, the last one seen first.
    pub(crate) async fn of(&self, user: &str) -> Result<Vec<DeviceView>, StoreError> {
        let prefix = key(user, "");
        let rows = self.rows.scan(&prefix, None, DEVICES_MAX + 1).await?;
        let view = |(key, device): (bytes::Bytes, Device)| DeviceView {
            device: String::from_utf8_lossy(&key[prefix.len()..]).into_owned(),
            first_seen_at: device.first_seen_at,
            last_seen_at: device.last_seen_at,
            address: device.address,
            door: device.door,
        };
        let mut views: Vec<_> = rows.into_iter().map(view).collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.last_seen_at));
        Ok(views)
    }

    /// Forgets all devices of a user.
    pub(crate) async fn forget(&self, user: &str) -> Result<(), StoreError> {
        for device in self.of(user).await? {
            let key = key(user, &device.device);
            self.noted.lock().remove(&key);
            self.rows.remove(&key, Expect::Any).await?;
        }
        Ok(())
    }

    fn is_due(&self, now: Instant, key: &[u8]) -> bool {
        let mut noted = self.noted.lock();
        if noted.get(key).is_some_and(|at| now.saturating_duration_since(*at) < NOTED_EVERY) {
            return false;
        }
        if noted.len() >= NOTED_MAX {
            noted.retain(|_, at| now.saturating_duration_since(*at) < NOTED_EVERY);
        }
        // Where all of them are fresh, this one is noted each time it comes.
        if noted.len() < NOTED_MAX {
            noted.insert(key.to_vec(), now);
        }
        true
    }

    async fn forget_oldest(&self, user: &str) -> Result<(), StoreError> {
        for device in self.of(user).await?.drain(..).skip(DEVICES_MAX) {
            self.rows.remove(&key(user, &device.device), Expect::Any).await?;
        }
        Ok(())
    }
}

fn key(user: &str, device: &str) -> Vec<u8> {
    [user.as_bytes(), b"\0", device.as_bytes()].concat()
}
