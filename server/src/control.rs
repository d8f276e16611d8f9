//! A socket in the data folder for what only its owner may do on this machine: backups.
//!
//! One request is one line of JSON, one answer is one line. Whoever may open the socket may read the folder.

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
/// Requests that are handled at one time.
const REQUESTS_MAX: usize = 4;
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

/// Takes requests as long as the server runs.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn listen(
    data: &Path,
    store: Arc<Stores>,
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
                    let store = store.clone();
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, store).await {
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

async fn answer(mut stream: UnixStream, store: Arc<Stores>) -> anyhow::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let request: Value = serde_json::from_str(&line).context("the request is no JSON")?;
    let outcome = match (request["do"].as_str(), request["to"].as_str()) {
        (Some("backup"), Some(to)) => back_up(store, to.into(), &mut write).await,
        (Some("backup"), None) => Err(anyhow::anyhow!("'to' is missing")),
        _ => Err(anyhow::anyhow!("this is not known here")),
    };
    let answer = match outcome {
        Ok(done) => json!({"ok": true, "files": done.files, "bytes": done.bytes}),
        Err(error) => json!({"ok": false, "error": format!("{error:#}")}),
    };
    write.write_all(format!("{answer}\n").as_bytes()).await.context("cannot answer")
}

/// Backs up, and says how far it is meanwhile.
async fn back_up(store: Arc<Stores>, to: PathBuf, write: &mut WriteHalf<'_>) -> anyhow::Result<BackupReport> {
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
    Ok(done)
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

async fn ask(mut stream: UnixStream, request: &Value, bar: &mut Bar) -> anyhow::Result<BackupReport> {
    stream.write_all(format!("{request}\n").as_bytes()).await.context("the server does not listen")?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await.context("the server does not answer")? {
        let answer: Value = serde_json::from_str(&line).context("the server's answer is no JSON")?;
        let number = |key: &str| answer[key].as_u64().unwrap_or(0);
        match answer["ok"].as_bool() {
            None => bar.at(number("at"), number("of")),
            Some(true) => return Ok(BackupReport { files: number("files"), bytes: number("bytes") }),
            Some(false) => bail!("{}", answer["error"].as_str().unwrap_or("the server refused")),
        }
    }
    bail!("the server went away before the backup was complete")
}
