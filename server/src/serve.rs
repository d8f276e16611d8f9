//! `yizhan serve`: start, run, reload, drain.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};
use yizhan_hub::{Content, Hub, Topic};
use yizhan_identity::Identity;
use yizhan_net::Open;
use yizhan_probe::{Export, Logs};
use yizhan_talk::Clock;

use crate::{
    cli, client,
    client::RunFile,
    compose::{Materials, Parts, Stores, compose, doors},
    config::{Config, Layers, sections::LogFormat},
    control,
    figures::{Figures, Sources, VERSION},
    keys, limits,
    welcome::Welcome,
};

/// The topic of the live figures, and their key.
const METRICS_TOPIC: &str = "$SYS/metrics";
const METRICS_KEY: &str = "metrics";
/// How often things are looked after: sessions that expire, long-polls that were left, figures.
const TICK: Duration = Duration::from_secs(1);
/// How often expired tokens, tickets and old audit entries are cleared away.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long the trace collector may take for the last spans.
const SPANS_WITHIN: Duration = Duration::from_secs(3);
/// How long the store may take to close after the drain.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// Runs the server until it is told to stop.
///
/// # Errors
/// It cannot start; the message says why.
pub(crate) fn run(layers: Layers) -> anyhow::Result<()> {
    let config = cli::load(&layers)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.server.threads > 0 {
        runtime.worker_threads(config.server.threads);
    }
    let runtime = runtime.enable_all().thread_name("yizhan").build().context("cannot start the runtime")?;
    let result = runtime.block_on(serve(layers, config));
    // What still runs is reading files at most; the store is closed.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What runs, and what a reload changes.
struct Running {
    layers: Layers,
    config: Arc<ArcSwap<Config>>,
    logs: Logs,
    identity: Identity,
    hub: Hub,
    im: yizhan_im::Im,
    #[cfg(feature = "live")]
    live: crate::live::Live,
    store: Arc<Stores>,
    figures: Arc<Figures>,
    clock: Arc<dyn Clock>,
    open: Open,
    keys: Arc<keys::Keys>,
    tasks: Vec<JoinHandle<()>>,
    spans: Option<SpansTask>,
}

async fn serve(layers: Layers, config: Config) -> anyhow::Result<()> {
    // Signals are taken from the first moment: one that comes while the store opens must not be lost.
    let mut signals = Signals::new()?;
    let (logs, otlp, spans) = start_log(&config)?;
    let descriptors = limits::raise_descriptors();
    let data = config.server.data.clone();
    let first_run = make_folder(&data)?;
    let parts = tokio::select! {
        parts = compose(&config, &data) => parts?,
        () = signals.stop() => return Ok(()),
    };
    let Parts {
        hub,
        hub_work,
        identity,
        store,
        clock,
        mut site,
        keys_wanted,
        mqtt,
        im,
        im_work,
        #[cfg(feature = "live")]
        live,
        #[cfg(feature = "live")]
        live_work,
    } = parts;
    let figures = Arc::new(Figures::new(Sources {
        hub: hub.clone(),
        net: site.meters(),
        store: store.disk.meters(),
        mqtt: mqtt.clone(),
        #[cfg(feature = "live")]
        live: live.clone(),
        otlp,
        clock: clock.clone(),
        data: data.clone(),
    }));
    let shared = Arc::new(ArcSwap::from_pointee(config.clone()));
    let listening = Arc::new(AtomicBool::new(false));
    let token = identity.make_local_token();
    let doors = doors(Materials {
        config: &config,
        hub: &hub,
        identity: &identity,
        mqtt: &mqtt,
        net: site.meters(),
        #[cfg(feature = "chat")]
        store: &store,
        #[cfg(feature = "chat")]
        files: crate::chat::files(&config, &data, &im).await?,
        #[cfg(feature = "live")]
        live: &live,
        token: &token,
        #[cfg(feature = "admin")]
        views: views(&figures, &shared, &listening, &store, first_run, &mqtt),
    })?;
    site.listen_http(&config.http)?;
    for door in &doors.all {
        door.open(&mut site)?;
    }
    let mut tasks = vec![tokio::spawn(hub_work), tokio::spawn(im_work)];
    let open = site.start()?;
    listening.store(true, Relaxed);
    let keys = Arc::new(keys::Keys::new(identity.clone(), keys_wanted));
    tasks.push(tokio::spawn(keys.clone().run(shared.clone())));
    let mut maintain = doors.maintain;
    let maintained = im.clone();
    maintain.push(Box::new(move || maintained.maintain()));
    #[cfg(feature = "live")]
    start_live(&live, live_work, &mut tasks, &mut maintain);
    tasks.push(tokio::spawn(tick(hub.clone(), maintain, store.clone(), figures.clone())));
    tasks.push(tokio::spawn(ring(hub.clone())));
    tasks.push(tokio::spawn(sweep(hub.clone(), identity.clone(), clock.clone())));
    let control = control::Control { store: store.clone(), mqtt, clock: clock.clone() };
    tasks.push(tokio::spawn(control::listen(&data, control)?));
    let ticket = identity.bootstrap(clock.now()).await.context("cannot look for an owner")?;
    let run_file = announce(&config, &layers, &data, &token, &figures, open.bound(), ticket)?;
    info!(version = VERSION, data = %data.display(), descriptors, "the server is open");

    let mut running = Running {
        layers,
        config: shared,
        logs,
        identity,
        hub,
        im,
        #[cfg(feature = "live")]
        live,
        store,
        figures,
        clock,
        open,
        keys,
        tasks,
        spans,
    };
    while let Told::Reload = signals.next().await {
        running.reload().await;
    }
    end(running, signals, &run_file).await
}

/// Starts what goes on beside the doors of live streaming.
#[cfg(feature = "live")]
fn start_live(
    live: &crate::live::Live,
    work: futures_util::future::BoxFuture<'static, ()>,
    tasks: &mut Vec<JoinHandle<()>>,
    maintain: &mut Vec<Box<dyn Fn() + Send + Sync>>,
) {
    tasks.push(tokio::spawn(work));
    tasks.push(tokio::spawn(live.clone().turn()));
    tasks.push(tokio::spawn(live.produce()));
    let maintained = live.clone();
    maintain.push(Box::new(move || maintained.maintain()));
}

/// Drains; a second signal ends it at once.
async fn end(running: Running, mut signals: Signals, run_file: &Path) -> anyhow::Result<()> {
    tokio::select! {
        result = running.drain() => {
            // Tools look there for a server that runs; this one does not any more.
            drop(std::fs::remove_file(run_file));
            result
        }
        () = signals.stop() => anyhow::bail!("told to stop twice: ended at once"),
    }
}

/// The task that sends spans, and how to end it.
struct SpansTask {
    task: JoinHandle<()>,
    finish: tokio::sync::oneshot::Sender<()>,
}

impl SpansTask {
    /// Sends what waits, and ends.
    async fn finish(self) {
        // Where the task has ended already, nothing waits.
        self.finish.send(()).ok();
        if tokio::time::timeout(SPANS_WITHIN, self.task).await.is_err() {
            warn!("the trace collector did not take the last spans in time");
        }
    }
}

fn start_log(
    config: &Config,
) -> anyhow::Result<(Logs, Option<Arc<yizhan_probe::OtlpFigures>>, Option<SpansTask>)> {
    let format = match config.log.format {
        LogFormat::Auto => yizhan_probe::Format::Auto,
        LogFormat::Pretty => yizhan_probe::Format::Pretty,
        LogFormat::Json => yizhan_probe::Format::Json,
    };
    let trace = &config.trace;
    let Some(url) = &trace.otlp else {
        return Ok((Logs::start(&config.log.level, format, None)?, None, None));
    };
    let Export { exporter, figures, sending, finish } =
        Export::new(url, &trace.service, &trace.level, trace.sample)?;
    let logs = Logs::start(&config.log.level, format, Some(exporter))?;
    Ok((logs, Some(figures), Some(SpansTask { task: tokio::spawn(sending), finish })))
}

/// Makes the data folder, for its owner only. Whether it was not there.
fn make_folder(data: &Path) -> anyhow::Result<bool> {
    if data.is_dir() {
        return Ok(false);
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("cannot make the data folder {}", data.display()))?;
    Ok(true)
}

#[cfg(feature = "admin")]
fn views(
    figures: &Arc<Figures>,
    config: &Arc<ArcSwap<Config>>,
    listening: &Arc<AtomicBool>,
    store: &Arc<Stores>,
    first_run: bool,
    mqtt: &crate::compose::Mqtt,
) -> yizhan_admin::Views {
    let (newest, metrics, draining) = (figures.clone(), figures.clone(), figures.clone());
    let (settings, listening, store) = (config.clone(), listening.clone(), store.clone());
    let config = config.clone();
    yizhan_admin::Views {
        version: VERSION,
        started_at: figures.started().wall,
        first_run,
        figures: Arc::new(move || Some(newest.newest()).filter(|f| !f.is_null()).map(|f| f.to_string())),
        // Serializing hides the secrets.
        config: Arc::new(move || serde_json::to_value(&**config.load()).unwrap_or_default()),
        metrics: Arc::new(move || metrics.prometheus()),
        listening: Arc::new(move || listening.load(Relaxed)),
        draining: Arc::new(move || draining.is_draining()),
        store_trouble: Arc::new(move || store.trouble(settings.load().store.reserve_bytes)),
        #[cfg(feature = "mqtt")]
        traces: Some(Arc::new(crate::follow::Follow(mqtt.traces.clone()))),
        #[cfg(not(feature = "mqtt"))]
        traces: None,
        bridges: Arc::new(Vec::new),
    }
}

/// Writes `run.json` and the local token, and says on the terminal where to go.
fn announce(
    config: &Config,
    layers: &Layers,
    data: &Path,
    token: &yizhan_identity::Secret<String>,
    figures: &Figures,
    bound: &BTreeMap<&'static str, Vec<SocketAddr>>,
    ticket: Option<yizhan_identity::Secret<String>>,
) -> anyhow::Result<std::path::PathBuf> {
    write_private(&client::token_path(data), token.reveal().as_bytes())?;
    let run = RunFile {
        pid: std::process::id(),
        version: VERSION.to_owned(),
        started_at: figures.started().wall.as_millis(),
        secure: config.http.tls.is_some(),
        doors: bound.iter().map(|(door, at)| ((*door).to_owned(), at.clone())).collect(),
    };
    let path = RunFile::path(data);
    write_private(&path, serde_json::to_string(&run)?.as_bytes())?;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let welcome = Welcome {
        version: VERSION,
        data,
        doors: &run.doors,
        secure: run.secure,
        dev: layers.dev,
        ticket: ticket.as_ref().map(|ticket| ticket.reveal().as_str()),
        colours,
    };
    // Whoever closed our output does not want to read it.
    drop(std::io::stdout().write_all(welcome.text().as_bytes()));
    Ok(path)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let fresh = path.with_extension("new");
    // One that an earlier run left could have another mode.
    drop(std::fs::remove_file(&fresh));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh).with_context(fail)?;
    file.write_all(text).with_context(fail)?;
    std::fs::rename(&fresh, path).with_context(fail)
}

/// What is done each second.
async fn tick(hub: Hub, doors: Vec<Box<dyn Fn() + Send + Sync>>, store: Arc<Stores>, figures: Arc<Figures>) {
    let Ok(topic) = Topic::new(METRICS_TOPIC) else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.maintain();
        for maintain in &doors {
            maintain();
        }
        store.maintain(hub.now());
        let body = Bytes::from(figures.take().to_string());
        hub.announce(topic.clone(), Some(METRICS_KEY.into()), Content::Json, body);
    }
}

/// Rings when delayed messages are due.
async fn ring(hub: Hub) {
    loop {
        let until = hub.until_due();
        tokio::select! {
            () = tokio::time::sleep(until.unwrap_or(TICK)) => hub.tick(),
            () = hub.due_sooner() => {}
        }
    }
}

/// What is done at the start and each hour: clearing away what has expired.
async fn sweep(hub: Hub, identity: Identity, clock: Arc<dyn Clock>) {
    let mut ticks = interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = identity.sweep(clock.now().wall).await {
            warn!(%error, "expired tokens and tickets could not be cleared away");
        }
        if let Err(error) = hub.purge().await {
            warn!(%error, "sessions that nobody came back to could not be cleared away");
        }
    }
}

impl Running {
    /// Reads the configuration again. A bad one changes nothing.
    async fn reload(&mut self) {
        let new = match self.layers.load() {
            Ok(new) => new,
            Err(problems) => {
                for problem in problems {
                    error!(problem, "the new config is not good: the one before stays in force");
                }
                return;
            }
        };
        let old = self.config.load_full();
        if let Err(error) = self.identity.reload(new.identity.clone()) {
            error!(%error, "the new config is not good: the one before stays in force");
            return;
        }
        if let Err(error) = self.logs.set_level(&new.log.level) {
            error!(%error, "the log's level stays as it was");
        }
        for error in self.open.reload(new.limits.clone()) {
            error!(%error, "could not be read again: the old stays in force");
        }
        self.im.set_config(new.im.clone());
        #[cfg(feature = "live")]
        self.live.reload(&new.live);
        self.keys.refresh();
        for (name, limits) in old.new_limits(&new) {
            self.store.disk.set_limits(&name, limits);
        }
        let waiting = old.need_restart(&new);
        for section in &waiting {
            warn!(section, "this has changed and takes effect after a restart");
        }
        let detail =
            if waiting.is_empty() { None } else { Some(format!("after a restart: {}", waiting.join(", "))) };
        self.config.store(Arc::new(old.reloaded(new)));
        let now = self.clock.now();
        self.identity.record_own(now, yizhan_identity::What::ConfigReload, detail.as_deref()).await;
        info!("the config was read again");
    }

    /// Lets everybody go and everything arrive, then closes.
    async fn drain(self) -> anyhow::Result<()> {
        let within = self.config.load().server.drain_within;
        info!(connections = self.hub.counts().connections, within = ?within, "draining");
        self.figures.set_draining();
        self.hub.stop();
        #[cfg(feature = "live")]
        self.live.stop().await;
        let cut = self.open.drain(within).await;
        // What chats remember is written by a task that runs still.
        match tokio::time::timeout(CLOSE_WITHIN, self.im.save()).await {
            Ok(saved) => saved.context("cannot save the conversations")?,
            Err(_) => anyhow::bail!("the conversations were not saved within {CLOSE_WITHIN:?}"),
        }
        for task in &self.tasks {
            task.abort();
        }
        let closing = async {
            self.hub.save().await.context("cannot save the sessions")?;
            let store = self.store.clone();
            let closed = tokio::task::spawn_blocking(move || store.disk.close()).await;
            closed.context("closing the store failed")?.context("cannot close the store")
        };
        match tokio::time::timeout(CLOSE_WITHIN, closing).await {
            Ok(result) => result?,
            Err(_) => anyhow::bail!("the store did not close within {CLOSE_WITHIN:?}"),
        }
        info!(cut, "goodbye");
        if let Some(spans) = self.spans {
            spans.finish().await;
        }
        Ok(())
    }
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot take signals");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }
}

/// What a signal tells.
enum Told {
    Stop,
    Reload,
}

impl Signals {
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    /// The next one that means to stop; a reload has no use at these times.
    async fn stop(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}
