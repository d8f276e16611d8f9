//! How the parts become a server: the list of doors, in plain code.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use yizhan_hub::{
    Filter, Hub, Journal, Keep, Lag, Limits, Options, Space, Store, StoreError, Table, Work, memory::Memory,
    space::Dedup,
};
use yizhan_identity::{Identity, Job, Revoked, Seams, Whom};
use yizhan_net::{Door, Site, SystemClock};
use yizhan_talk::{Clock, Now};

#[cfg(feature = "mqtt")]
use yizhan_hub::Credentials;

use crate::{
    config::{Config, sections::KeepConfig},
    im::all_spaces,
};

/// Passwords that wait for a thread; identity refuses before this is reached.
const JOBS_MAX: usize = 1024;

/// A server that is put together and not open yet.
pub(crate) struct Parts {
    pub(crate) hub: Hub,
    pub(crate) hub_work: Work,
    pub(crate) identity: Identity,
    pub(crate) store: Arc<Stores>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) site: Site,
    /// Told when newer keys for JWTs are wanted.
    pub(crate) keys_wanted: Arc<Notify>,
    pub(crate) mqtt: Mqtt,
    pub(crate) im: yizhan_im::Im,
    pub(crate) im_work: yizhan_im::Work,
    #[cfg(feature = "live")]
    pub(crate) live: crate::live::Live,
    #[cfg(feature = "live")]
    pub(crate) live_work: BoxFuture<'static, ()>,
}

/// What others look at that the MQTT door fills; nothing where it is not built.
#[derive(Clone, Default)]
pub(crate) struct Mqtt {
    #[cfg(feature = "mqtt")]
    pub(crate) meters: Arc<yizhan_mqtt::Meters>,
    #[cfg(feature = "mqtt")]
    pub(crate) traces: Arc<yizhan_mqtt::Traces>,
}

/// Puts everything together; nothing listens yet.
///
/// # Errors
/// The store cannot be opened, or the config does not fit it.
pub(crate) async fn compose(config: &Config, data: &Path) -> anyhow::Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(Stores::open(config, data, clock.clone()).await?);
    let keys_wanted = Arc::new(Notify::new());
    // The hub asks identity who may come in, and identity tells the hub who must go: the later one is put in
    // when it is there.
    let hub_place: Arc<OnceLock<Hub>> = Arc::default();
    let seams = seams(hub_place.clone(), keys_wanted.clone());
    let identity = Identity::open(config.identity.clone(), store.as_ref(), seams).await?;
    let spaces: Vec<Space> = all_spaces(config)
        .iter()
        .map(|(name, space)| space.space(name).with_context(|| format!("space.{name}")))
        .collect::<anyhow::Result<_>>()?;
    let (hub, hub_work) = Hub::open(Options {
        spaces,
        limits: config.hub.limits(),
        store: store.clone(),
        access: Arc::new(identity.clone()),
        clock: clock.clone(),
        random: Arc::new(rand::random::<u128>),
    })
    .await
    .context("cannot open the spaces")?;
    store.tell_recovery();
    let (im, im_work) = crate::im::open(config, &hub, &identity, store.as_ref(), data).await?;
    #[cfg(feature = "live")]
    let (live, live_work) = crate::live::open(config, &hub, &identity, store.as_ref(), &clock, data).await?;
    hub.serve(vec![
        Arc::new(im.clone()),
        #[cfg(feature = "live")]
        live.as_service(),
    ]);
    // Set once, here.
    drop(hub_place.set(hub.clone()));
    let site = Site::new(config.limits.clone(), clock.clone());
    Ok(Parts {
        hub,
        hub_work,
        identity,
        store,
        clock,
        site,
        keys_wanted,
        mqtt: Mqtt::default(),
        im,
        im_work,
        #[cfg(feature = "live")]
        live,
        #[cfg(feature = "live")]
        live_work,
    })
}

/// All doors, and what is to be done for them each second.
pub(crate) struct Doors {
    pub(crate) all: Vec<Box<dyn Door>>,
    pub(crate) maintain: Vec<Box<dyn Fn() + Send + Sync>>,
}

/// What doors are made of.
pub(crate) struct Materials<'a> {
    pub(crate) config: &'a Config,
    pub(crate) hub: &'a Hub,
    pub(crate) identity: &'a Identity,
    pub(crate) mqtt: &'a Mqtt,
    /// What the network side counts.
    pub(crate) net: Arc<yizhan_net::Meters>,
    /// Where the chat door keeps its answers and places.
    #[cfg(feature = "chat")]
    pub(crate) store: &'a Stores,
    /// Where its files lie.
    #[cfg(feature = "chat")]
    pub(crate) files: yizhan_chat::FileParts,
    /// Broadcasts.
    #[cfg(feature = "live")]
    pub(crate) live: &'a crate::live::Live,
    /// The one for tools on this machine.
    pub(crate) token: &'a yizhan_identity::Secret<String>,
    #[cfg(feature = "admin")]
    pub(crate) views: yizhan_admin::Views,
}

/// The list of doors.
///
/// # Errors
/// The config of a door makes no sense.
pub(crate) fn doors(materials: Materials<'_>) -> anyhow::Result<Doors> {
    let mut doors = Doors { all: Vec::new(), maintain: Vec::new() };
    #[cfg(feature = "mqtt")]
    let bridges = bridges(&materials)?;
    #[cfg(feature = "socket")]
    {
        let socket = socket(&materials);
        doors.all.push(Box::new(socket.clone()));
        doors.maintain.push(Box::new(move || socket.maintain()));
    }
    #[cfg(feature = "mqtt")]
    {
        let (mqtt, sys) = (mqtt(&materials)?, sys(&materials));
        doors.all.push(Box::new(mqtt.clone()));
        doors.all.push(Box::new(Bridged(bridges.clone())));
        doors.maintain.push(Box::new(move || {
            mqtt.maintain();
            sys.maintain();
        }));
    }
    #[cfg(feature = "chat")]
    doors.all.push(Box::new(chat(&materials)?));
    #[cfg(feature = "live")]
    doors.all.extend(crate::live::doors(materials.config, materials.hub, materials.live)?);
    #[cfg(feature = "admin")]
    {
        let Materials { config, hub, identity, views, .. } = materials;
        #[cfg(feature = "mqtt")]
        let views = yizhan_admin::Views {
            bridges: Arc::new(move || bridges.views().into_iter().map(crate::follow::bridge).collect()),
            ..views
        };
        let api = yizhan_admin::Api::new(hub.clone(), identity.clone(), Arc::new(views));
        doors.all.push(Box::new(yizhan_admin::Admin::new(config.admin, api)));
    }
    Ok(doors)
}

#[cfg(feature = "chat")]
fn chat(materials: &Materials<'_>) -> anyhow::Result<yizhan_chat::Chat> {
    let Materials { config, hub, store, files, .. } = materials;
    let made_of = yizhan_chat::Materials {
        config: config.chat.clone(),
        hub: (*hub).clone(),
        operations: yizhan_im::Im::operations(),
        version: crate::figures::VERSION.to_owned(),
        files: Some(files.clone()),
    };
    Ok(yizhan_chat::Chat::new(made_of, *store)?)
}

#[cfg(feature = "mqtt")]
fn mqtt(materials: &Materials<'_>) -> anyhow::Result<yizhan_mqtt::Mqtt> {
    let Materials { config, hub, mqtt, .. } = materials;
    let server = format!("yizhan/{}", crate::figures::VERSION);
    let (meters, traces) = (mqtt.meters.clone(), mqtt.traces.clone());
    let terms = yizhan_mqtt::Terms::new(config.mqtt.clone(), server, config.hub.keep_max, meters, traces)?;
    let terms = terms.with_messages(config.http.message_bytes_max)?;
    Ok(yizhan_mqtt::Mqtt::new((*hub).clone(), Arc::new(terms)))
}

/// The bridges of the config. One without an account is the server itself, as tools on this machine are.
#[cfg(feature = "mqtt")]
fn bridges(materials: &Materials<'_>) -> anyhow::Result<yizhan_mqtt::bridge::Bridges> {
    let Materials { config, hub, token, .. } = materials;
    let token: Arc<str> = token.reveal().as_str().into();
    let admission: yizhan_mqtt::bridge::Admission = Arc::new(move |account| match account {
        // The operator's own config stands for it, as a verified certificate would.
        Some(user) => Credentials::Certificate { user: user.into() },
        None => Credentials::Token(token.clone()),
    });
    let node = config.server.name.clone().unwrap_or_else(machine);
    Ok(yizhan_mqtt::bridge::Bridges::new((*hub).clone(), &node, &config.bridges, &admission)?)
}

/// The machine's name.
#[cfg(feature = "mqtt")]
fn machine() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The bridges as what a site opens.
#[cfg(feature = "mqtt")]
struct Bridged(yizhan_mqtt::bridge::Bridges);

#[cfg(feature = "mqtt")]
impl Door for Bridged {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn open(&self, site: &mut Site) -> Result<(), yizhan_net::SiteError> {
        self.0.open(site);
        Ok(())
    }
}

#[cfg(feature = "mqtt")]
fn sys(materials: &Materials<'_>) -> crate::sys::Sys {
    let Materials { config, hub, mqtt, net, .. } = materials;
    crate::sys::Sys::new((*hub).clone(), net.clone(), mqtt.meters.clone(), config.mqtt.sys_interval)
}

#[cfg(feature = "socket")]
fn socket(materials: &Materials<'_>) -> yizhan_socket::Socket {
    let Materials { config, hub, identity, .. } = materials;
    let terms = yizhan_socket::Terms {
        config: config.socket.clone(),
        server: format!("yizhan/{}", crate::figures::VERSION),
        subscriptions_max: config.hub.subscriptions_max,
    };
    let tickets = IdentityTickets { identity: (*identity).clone(), ticket_for: config.identity.ticket_for };
    yizhan_socket::Socket::new((*hub).clone(), terms, Arc::new(tickets))
}

/// What identity needs of the world.
fn seams(hub: Arc<OnceLock<Hub>>, keys_wanted: Arc<Notify>) -> Seams {
    let jobs = job_threads();
    Seams {
        // A full queue drops the job, and with it the sign-in is refused: come again.
        work: Arc::new(move |job: Job| drop(jobs.try_send(job))),
        revoked: Arc::new(move |revoked: &Revoked| {
            if let Some(hub) = hub.get() {
                hub.kick_where(|who| revoked.concerns(who), &revoked.close());
                if matches!(revoked.whom, Whom::Address(_)) {
                    kick_from(hub, revoked);
                }
            }
        }),
        keys_wanted: Arc::new(move || keys_wanted.notify_one()),
    }
}

/// Ends the connections that come from banned addresses.
fn kick_from(hub: &Hub, revoked: &Revoked) {
    for session in hub.sessions(None, None, usize::MAX) {
        if session.connection.is_some_and(|connection| revoked.concerns_address(connection.address)) {
            // One that has ended by itself meanwhile is as good.
            hub.kick(session.id, revoked.close()).ok();
        }
    }
}

/// Threads that hash passwords: half of the cores, so that a flood of sign-ins leaves the others to the rest.
fn job_threads() -> std::sync::mpsc::SyncSender<Job> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (jobs, waiting) = std::sync::mpsc::sync_channel::<Job>(JOBS_MAX);
    let waiting = Arc::new(parking_lot::Mutex::new(waiting));
    for i in 0..(cores / 2).max(1) {
        let waiting = waiting.clone();
        let thread = std::thread::Builder::new().name(format!("passwords-{i}"));
        let started = thread.spawn(move || {
            loop {
                let job = waiting.lock().recv();
                match job {
                    Ok(job) => job(),
                    Err(_) => return,
                }
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for passwords could be started");
        }
    }
    jobs
}

/// The socket door's tickets come from identity.
#[cfg(feature = "socket")]
struct IdentityTickets {
    identity: Identity,
    ticket_for: std::time::Duration,
}

#[cfg(feature = "socket")]
impl yizhan_socket::Tickets for IdentityTickets {
    fn issue(
        &self,
        now: Now,
        who: Arc<yizhan_hub::Principal>,
    ) -> BoxFuture<'_, Result<yizhan_socket::Ticket, yizhan_hub::Refused>> {
        Box::pin(async move {
            let text = self.identity.ticket(now, &who).await?.into_inner();
            Ok(yizhan_socket::Ticket { text, expires_in: self.ticket_for })
        })
    }
}

/// The store of each kind of space: on disk, or in memory for those that say so. Tables are always on disk.
pub(crate) struct Stores {
    pub(crate) disk: yizhan_disk::Disk,
    memory: Memory,
    /// Spaces of the config that have a journal on disk.
    configured: Vec<String>,
}

/// Opens the journals of spaces that are not `open` yet, such as those that the config no longer has: a backup
/// is to have them, too. Nothing is taken out of them.
///
/// # Errors
/// A journal cannot be opened.
pub(crate) async fn open_others(disk: &yizhan_disk::Disk, open: &[String]) -> Result<(), StoreError> {
    // Any filter does: nobody publishes to it.
    let Ok(topics) = Filter::new("#") else { return Ok(()) };
    for name in disk.spaces()? {
        if !open.contains(&name) {
            let (topics, keep) = (topics.clone(), Keep::Disk(Limits::NONE));
            let space = Space { name, topics, keep, lag: Lag::CatchUp, dedup: Dedup::default(), lanes: 1 };
            disk.journal(&space).await?;
        }
    }
    Ok(())
}

impl Stores {
    async fn open(config: &Config, data: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        // Seconds since 1970 fit until 2106, and two starts are more than one second apart where it matters:
        // a position of the run before is not taken for one of this.
        let epoch = (clock.now().wall.as_millis() / 1000) as u32;
        let on_disk = all_spaces(config).into_iter().filter(|(_, space)| space.keep == KeepConfig::Disk);
        let configured = on_disk.map(|(name, _)| name).collect();
        let (data, config) = (data.to_owned(), config.store.clone());
        let disk =
            tokio::task::spawn_blocking(move || yizhan_disk::Disk::open(&data, &config, clock)).await??;
        Ok(Self { disk, memory: Memory::new(epoch), configured })
    }

    /// Opens what a backup is to have and the hub has not opened.
    ///
    /// # Errors
    /// A journal cannot be opened.
    pub(crate) async fn open_all(&self) -> Result<(), StoreError> {
        open_others(&self.disk, &self.configured).await
    }

    /// What keeps the store from taking messages, where something does.
    pub(crate) fn trouble(&self, reserve_bytes: u64) -> Option<String> {
        match self.disk.free_bytes() {
            Ok(free) if free >= reserve_bytes => None,
            Ok(_) => Some(StoreError::Full.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Says what recovery found, where an operator should look at it.
    pub(crate) fn tell_recovery(&self) {
        for lane in self.disk.recovery().lanes {
            if lane.dropped_bytes > 0 {
                let (space, dropped) = (&lane.space, lane.dropped_bytes);
                tracing::warn!(
                    space,
                    lane = lane.lane,
                    dropped,
                    "a torn write was cut off: nobody was told that it is safe"
                );
            }
            for place in &lane.damaged {
                let space = &lane.space;
                tracing::error!(
                    space,
                    lane = lane.lane,
                    place,
                    "acknowledged data is damaged: run `yizhan store check`"
                );
            }
            if lane.bad_checkpoints > 0 {
                let (space, count) = (&lane.space, lane.bad_checkpoints);
                tracing::warn!(
                    space,
                    lane = lane.lane,
                    count,
                    "saved indexes could not be used: they were made again"
                );
            }
        }
    }

    /// Takes out of memory what is too old by now.
    pub(crate) fn maintain(&self, now: Now) {
        self.memory.prune(now.wall);
    }
}

impl Store for Stores {
    fn journal<'a>(&'a self, space: &'a Space) -> BoxFuture<'a, Result<Arc<dyn Journal>, StoreError>> {
        match space.keep {
            Keep::Memory(_) => self.memory.journal(space),
            // The hub opens no journal for a space that keeps nothing.
            Keep::Nothing | Keep::Disk(_) => self.disk.journal(space),
        }
    }

    fn table(&self, name: &'static str) -> Result<Arc<dyn Table>, StoreError> {
        self.disk.table(name)
    }
}
