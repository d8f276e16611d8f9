//! A socket in the data folder for what only its owner may do on this machine: backups, and following a client.
//!
//! One request is one line of JSON; what is answered are lines, too, and the last one has `ok`. Whoever may open
//! the socket may read the folder.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::WriteHalf},
    sync::{Semaphore, mpsc},
};
use tracing::{info, warn};
use yizhan_disk::BackupReport;

use crate::{compose::Stores, offline, progress::Bar};

/// The socket's name in the data folder.
const SOCKET: &str = "control";
/// Bytes of one line.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Requests that are handled at one time: some backups, and the clients that may be followed.
const REQUESTS_MAX: usize = 24;
/// Reports of progress that wait to be sent.
const PROGRESS_MAX: usize = 16;
/// How long to wait after accepting failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Back up a data folder while its server runs (or while none does).
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// Where to: a folder that is not there yet.
    to: PathBuf,
    /// The data folder.
    #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
    data: PathBuf,
}

/// What requests are about.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) store: Arc<Stores>,
    pub(crate) mqtt: crate::compose::Mqtt,
    pub(crate) clock: Arc<dyn yizhan_talk::Clock>,
}

/// Takes requests as long as the server runs.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen(
    data: &Path,
    control: Control,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let path = data.join(SOCKET);
    // One that an earlier run left; the store's lock says that no other server has this folder.
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot make {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot protect {}", path.display()))?;
    let slots = Arc::new(Semaphore::new(REQUESTS_MAX));
    Ok(async move {
        loop {
            // The semaphore is never closed.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let control = control.clone();
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, control).await {
                            warn!(error = format!("{error:#}"), "a request at the control socket failed");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "no connection could be accepted at the control socket");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    })
}

async fn answer(mut stream: UnixStream, control: Control) -> anyhow::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
    read.read_line(&mut line).await?;
    let request: Value = serde_json::from_str(&line).context("the request is no JSON")?;
    let outcome = match request["do"].as_str() {
        Some("backup") => match request["to"].as_str() {
            Some(to) => back_up(control.store, to.into(), &mut write).await,
            None => Err(anyhow::anyhow!("'to' is missing")),
        },
        #[cfg(feature = "mqtt")]
        Some("trace") => {
            let gone = async {
                // Whatever else is said, only its end means something.
                while read.read_u8().await.is_ok() {}
            };
            tokio::select! {
                traced = trace(&control, &request, &mut write) => traced,
                () = gone => return Ok(()),
            }
        }
        _ => Err(anyhow::anyhow!("this is not known here")),
    };
    let answer = match outcome {
        Ok(done) => done,
        Err(error) => json!({"ok": false, "error": format!("{error:#}")}),
    };
    write.write_all(format!("{answer}\n").as_bytes()).await.context("cannot answer")
}

/// Backs up, and says how far it is meanwhile.
async fn back_up(store: Arc<Stores>, to: PathBuf, write: &mut WriteHalf<'_>) -> anyhow::Result<Value> {
    store.open_all().await.context("cannot open all journals")?;
    let (told, mut progress) = mpsc::channel(PROGRESS_MAX);
    let folder = to.clone();
    let work = tokio::task::spawn_blocking(move || {
        // What does not fit is not missed: the next one says more.
        store.disk.backup(&folder, &mut |done, all| {
            told.try_send((done, all)).ok();
        })
    });
    while let Some((done, all)) = progress.recv().await {
        let line = format!("{}\n", json!({"at": done, "of": all}));
        if write.write_all(line.as_bytes()).await.is_err() {
            // Whoever asked is gone; the backup is finished all the same.
            break;
        }
    }
    let done = work.await.context("the backup ended early")?;
    let done = done.with_context(|| format!("cannot back up to {}", to.display()))?;
    info!(to = %to.display(), files = done.files, bytes = done.bytes, "backed up");
    Ok(json!({"ok": true, "files": done.files, "bytes": done.bytes}))
}

/// Follows a client of MQTT, and gives what it does line by line until the time is over.
#[cfg(feature = "mqtt")]
async fn trace(control: &Control, request: &Value, write: &mut WriteHalf<'_>) -> anyhow::Result<Value> {
    use futures_util::StreamExt as _;
    let client = request["client"].as_str().context("'client' is missing")?;
    let time = Duration::from_secs(request["seconds"].as_u64().context("'seconds' is missing")?);
    // Dropped where whoever asked goes, and the trace ends with it.
    let mut lines = control.mqtt.traces.follow(control.clock.now(), client, time)?;
    info!(client, seconds = time.as_secs(), "a client is followed");
    let mut count = 0;
    while let Some(line) = lines.next().await {
        write.write_all(&line).await.context("whoever asked is gone")?;
        write.write_all(b"\n").await.context("whoever asked is gone")?;
        count += 1;
    }
    Ok(json!({"ok": true, "lines": count}))
}

/// `yizhan backup`: asks the server that runs with the folder; without one, copies by itself.
///
/// # Errors
/// The backup could not be made.
pub(crate) async fn backup(args: Backup) -> anyhow::Result<()> {
    if !args.data.is_dir() {
        bail!("there is no data folder at {}", args.data.display());
    }
    let to = std::path::absolute(&args.to).context("this is no path")?;
    let mut bar = Bar::new("backing up");
    let done = match UnixStream::connect(args.data.join(SOCKET)).await {
        Ok(stream) => ask(stream, &json!({"do": "backup", "to": to.display().to_string()}), &mut bar).await,
        // No server runs; if one does, the store's own lock says so.
        Err(_) => offline::back_up(&args.data, &to, &mut bar).await,
    };
    bar.finish();
    println!("backed up to {}: {}", to.display(), offline::tell(&done?));
    Ok(())
}

async fn ask(stream: UnixStream, request: &Value, bar: &mut Bar) -> anyhow::Result<BackupReport> {
    let number = |answer: &Value, key: &str| answer[key].as_u64().unwrap_or(0);
    let progress = |answer: &Value, _: &str| {
        bar.at(number(answer, "at"), number(answer, "of"));
        Ok(())
    };
    let done = converse(stream, request, progress).await.context("the backup was not made")?;
    Ok(BackupReport { files: number(&done, "files"), bytes: number(&done, "bytes") })
}

/// Asks the server that runs with a data folder, and shows each line before the last one, which is given back.
///
/// # Errors
/// No server runs there, it refused, or `each` failed.
#[cfg(feature = "mqtt")]
pub(crate) async fn request(
    data: &Path,
    request: &Value,
    each: impl FnMut(&Value, &str) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    let path = data.join(SOCKET);
    let stream = UnixStream::connect(&path).await;
    let stream = stream.with_context(|| format!("no server runs with the data folder {}", data.display()))?;
    converse(stream, request, each).await
}

async fn converse(
    mut stream: UnixStream,
    request: &Value,
    mut each: impl FnMut(&Value, &str) -> anyhow::Result<()>,
) -> anyhow::Result<Value> {
    stream.write_all(format!("{request}\n").as_bytes()).await.context("the server does not listen")?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await.context("the server does not answer")? {
        let answer: Value = serde_json::from_str(&line).context("the server's answer is no JSON")?;
        match answer["ok"].as_bool() {
            None => each(&answer, &line)?,
            Some(true) => return Ok(answer),
            Some(false) => bail!("{}", answer["error"].as_str().unwrap_or("the server refused").to_owned()),
        }
    }
    bail!("the server went away before it was done")
}
