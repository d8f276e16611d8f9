//! Bridges to other MQTT brokers: this server as a client that stores what is to go there, and forwards it in
//! order and by priority once the line is up. It is what makes a Yizhan at the edge of a network work offline.
//!
//! - To the hub each priority of a bridge is a named session, `bridge:NAME:PRIORITY`, with one subscription for
//!   each path out. While the line is down it sleeps, and the journal keeps what it has not acknowledged; a space
//!   that keeps nothing gives what the session collects in memory. After that it goes on from what the other
//!   broker has confirmed.
//! - What comes in is confirmed once the hub has it; one more session, `bridge:NAME`, remembers what is under way.
//! - QoS 2 holds over restarts of either side: what must not be forgotten is saved before it is said.
//! - Nothing goes back where it came from: the hub leaves out a session's own messages, MQTT 5 has no local, MQTT
//!   3.1.1 has the top bit of the protocol level; and in MQTT 5 the user property [`VIA`] names the nodes that a
//!   message has left, so that rings of several brokers end too.
//!
//! Read in this order: [`config`], `rules` (topics), [`ranked`] (priorities), `memory`, `connection` (the talk with
//! the other broker, without I/O), `carry` (a message in both worlds), `status`.

mod carry;
pub mod config;
mod connection;
mod memory;
pub mod ranked;
mod rules;
mod status;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tracing::{debug, warn};
use yizhan_hub::{Answer, Call, Content, Credentials, Hub, Link, Peer, Qos, Topic, message::RETAINED};
use yizhan_net::{DialError, Ended, Next, Outgoing, Site, SiteError, drive};
use yizhan_talk::{Backend as _, Close, Timestamp};

use crate::wire::Version;
pub use config::{Config, Password, Protocol, Rule};
use connection::{Bridge, adopt, hello, wishes};
use memory::Memory;
use ranked::Ranks;
pub use rules::VIA;
use rules::{Hops, Paths};
use status::Status;
pub use status::View;

/// The door's name: metric label, log field, and what the hub is told.
const DOOR: &str = "bridge";
/// How often sessions are visited while the line stays down, so that they are not given up.
const VISIT_INTERVAL: Duration = Duration::from_secs(3600);

/// Says with what a bridge comes to the hub: as this account, or, where none is named, as the server itself.
pub type Admission = Arc<dyn Fn(Option<&str>) -> Credentials + Send + Sync>;

/// What a bridge's connections go by.
pub(crate) struct Setup {
    /// The bridge's name.
    name: String,
    config: Config,
    version: Version,
    client_id: String,
    paths: Paths,
    hops: Hops,
    admission: Admission,
}

impl Setup {
    fn new(name: &str, node: &str, config: &Config, admission: Admission) -> Result<Self, String> {
        config.check(name)?;
        let paths =
            Paths::new(&config.out, &config.into).map_err(|error| format!("bridge.{name}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            version: config.protocol.version(),
            client_id: config.client_id.clone().unwrap_or_else(|| format!("yizhan-{node}-{name}")),
            paths,
            hops: Hops::new(node, config.hops_max),
            admission,
            config: config.clone(),
        })
    }

    /// The name of a rank's session at the hub; behind the last rank comes the main one.
    fn session_name(&self, rank: usize) -> String {
        let name = &self.name;
        match self.paths.out.get(rank) {
            Some(rank) => format!("bridge:{name}:{}", rank.priority),
            None => format!("bridge:{name}"),
        }
    }

    fn credentials(&self) -> Credentials {
        (self.admission)(self.config.account.as_deref())
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All bridges of the config. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Bridges {
    hub: Hub,
    all: Arc<[Arc<One>]>,
}

/// One bridge.
#[derive(Debug)]
struct One {
    setup: Arc<Setup>,
    status: Arc<Status>,
    /// When its sessions at the hub were last opened.
    visited: Mutex<Option<Timestamp>>,
}

impl Bridges {
    /// The bridges of the section `bridge`. `node` is this server's name, another one on each server that
    /// messages may reach over bridges.
    ///
    /// # Errors
    /// A setting makes no sense, or a file of its TLS cannot be used.
    pub fn new(
        hub: Hub,
        node: &str,
        configs: &BTreeMap<String, Config>,
        admission: &Admission,
    ) -> Result<Self, SiteError> {
        let wrong = |reason: String| SiteError::Door { door: DOOR, reason };
        let mut all = Vec::new();
        for (name, config) in configs {
            let setup = Setup::new(name, node, config, admission.clone()).map_err(wrong)?;
            let topic = format!("$SYS/broker/bridge/{name}/state");
            let topic = Topic::new(&topic).map_err(|error| wrong(error.to_string()))?;
            let status = Arc::new(Status::new(teller(hub.clone(), topic)));
            all.push(Arc::new(One { setup: Arc::new(setup), status, visited: Mutex::default() }));
        }
        Ok(Self { hub, all: all.into() })
    }

    /// Starts them: each connects, and connects again, until the site has drained.
    pub fn open(&self, site: &mut Site) {
        for one in &*self.all {
            let (dialer, hub, one) = (site.dialer(), self.hub.clone(), one.clone());
            site.task(DOOR, async move {
                one.status.tell(false);
                // From now on the hub collects what is to go there, line or no line.
                visit(&hub, &one).await;
                let (target, backoff) = (one.setup.config.target(), one.setup.config.backoff());
                let each = |dialled| attempt(hub.clone(), one.clone(), dialled);
                dialer.keep(DOOR, &target, backoff, each).await;
            });
        }
    }

    /// How each of them is doing, by name.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        self.all.iter().map(|one| one.status.view(&one.setup.name, &one.setup.config.address)).collect()
    }
}

impl std::fmt::Debug for Bridges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|one| &one.setup.name)).finish()
    }
}

/// Says up and down as mosquitto's users know it: `1` and `0`, retained.
fn teller(hub: Hub, topic: Topic) -> impl Fn(bool) + Send + Sync {
    move |is_up| {
        let body = Bytes::from_static(if is_up { b"1" } else { b"0" });
        hub.announce(topic.clone(), Some(RETAINED.into()), Content::Text, body);
    }
}

/// The bridge's links come from this machine.
fn peer() -> Peer {
    Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), door: DOOR, secure: true }
}

/// One connection to the other broker, from its first byte to its last.
async fn attempt(hub: Hub, one: Arc<One>, dialled: Result<Outgoing, DialError>) -> Next {
    let ended = match dialled {
        Ok(outgoing) => {
            let links = (0..=one.setup.paths.out.len()).map(|_| hub.link(peer())).collect();
            let now = hub.now();
            *one.visited.lock() = Some(now.wall);
            let bridge = Bridge::new(now, one.setup.clone(), one.status.clone());
            let line = outgoing.line().clone();
            let ended = drive(outgoing, bridge, Ranks::<Link>::new(links), line).await;
            // Who does not know the top bit of the protocol level may just hang up on it.
            if !one.status.has_answered() && one.setup.version == Version::V4 {
                one.status.refuses_bridges();
            }
            Some(ended)
        }
        Err(error) => {
            one.status.begin();
            one.status.fail(&error);
            visit(&hub, &one).await;
            None
        }
    };
    let (was_up, reason) = one.status.down();
    let bridge = &one.setup.name;
    match (&ended, was_up) {
        (Some(Ended::Closed(close)), _) if *close == Close::GOING_AWAY => return Next::Stop,
        (Some(Ended::Cut), _) => return Next::Stop,
        (_, true) => warn!(bridge, reason, "a bridge is down"),
        // Told once, not at every attempt.
        (_, false) if one.status.failures() == 1 => warn!(bridge, reason, "a bridge does not come up"),
        (_, false) => debug!(bridge, reason, "a bridge does not come up"),
    }
    if was_up { Next::Worked } else { Next::Failed }
}

/// Comes to the bridge's sessions for a moment, at the start and then now and then, so that the hub collects
/// messages for them and keeps them as long as the line is down.
async fn visit(hub: &Hub, one: &One) {
    let now = hub.now();
    let is_due = one.visited.lock().is_none_or(|at| now.wall.since(at) >= VISIT_INTERVAL);
    if !is_due {
        return;
    }
    *one.visited.lock() = Some(now.wall);
    for rank in 0..=one.setup.paths.out.len() {
        let mut link = hub.link(peer());
        let memory = Memory::new(now);
        let hello = hello(&one.setup.session_name(rank), one.setup.credentials(), Some(memory.clone()));
        let mut refused = None;
        match link.call(now, Call::Hello(Box::new(hello))).wait().await {
            Answer::Opened(opened) => {
                adopt(&opened, &memory);
                for wish in wishes(&one.setup, rank, &opened.subscriptions) {
                    // Of QoS 0 nothing is collected, and what is retained is wanted when the line is there.
                    if wish.qos == Qos::AtMostOnce {
                        continue;
                    }
                    if let Answer::Refused(why) = link.call(now, Call::Subscribe(Box::new(wish))).wait().await
                    {
                        refused = Some(why);
                    }
                }
            }
            Answer::Refused(why) => refused = Some(why),
            _ => {}
        }
        if let Some(refused) = refused {
            warn!(bridge = %one.setup.name, %refused, "this server's hub does not let a bridge collect messages");
        }
    }
}
