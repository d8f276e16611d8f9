//! What a request for a playlist, a part or a segment costs, beside nginx that serves the same bytes from files.
//!
//! Our server makes the broadcast into segments meanwhile, which counts; nginx has files that lie there.

use std::{
    cell::OnceCell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Ground, How, Party,
    delay::media_playlist,
    http::Client,
    load::{CONNECTIONS, Load},
    playlist::{Playlist, variants},
    servers::{NAME, Server, Who},
    table::{Column, column},
};

/// CPU time of a request, and what was answered.
pub(super) const COLUMNS: &[Column] = &[
    column("CPU µs each", 1),
    column("requests/s", 0),
    column("cores", 2),
    column("Mbit/s", 0),
    column("p50 ms", 2),
    column("p99 ms", 2),
    column("failed", 0),
];

/// How often is looked which parts and segments there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Of what a playlist lists, so many of the newest are asked for: the oldest may go before a request for it is there.
const NEWEST: usize = 5;
/// How long the broadcast is on air before it is asked for: until its playlists are as long as they get.
const ON_AIR_FOR: Duration = Duration::from_secs(16);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// As viewers ask together: of 20 requests nine for playlists, nine for parts, two for segments.
    Viewers,
    /// Media playlists alone.
    Playlists,
    /// Segments alone, a tenth of the requests: they are large.
    Segments,
}

impl Mix {
    fn rate(self) -> f64 {
        match self {
            Self::Viewers | Self::Playlists => 10_000.0,
            Self::Segments => 1_000.0,
        }
    }

    /// What the request with this number is for.
    fn path(self, number: usize, playlists: &[String], lists: &Lists) -> Option<String> {
        let newest = |of: &Vec<String>| of.get(number / 20 % of.len().max(1)).cloned();
        match (self, number % 20) {
            (Self::Playlists, _) | (Self::Viewers, 0..9) => {
                playlists.get(number % playlists.len().max(1)).cloned()
            }
            (Self::Viewers, 9..18) => newest(&lists.parts),
            (Self::Segments, _) | (Self::Viewers, _) => newest(&lists.segments),
        }
    }
}

/// Parts and segments that there are, of pictures and of sound in turn.
#[derive(Debug, Default, Clone)]
struct Lists {
    parts: Vec<String>,
    segments: Vec<String>,
}

/// All that is asked for, as files.
pub(super) type Snapshot = OnceCell<Vec<(String, Vec<u8>)>>;

/// One measurement: a figure for each column.
///
/// # Errors
/// The server does not do what is asked.
pub(super) fn measure(ground: &Ground, party: &Party) -> Result<Vec<f64>> {
    let How::Asked(mix) = party.how else { bail!("nothing is asked for") };
    if party.who == Who::Nginx {
        let files = snapshot(ground, party)?;
        let server = party.who.start()?;
        lay_out(&server, files)?;
        return ask(ground, &server, mix);
    }
    let (server, publisher) = ground.on_air(party)?;
    // Who asks first is why it is made into segments.
    media_playlist(&mut Client::connect(server.http)?, &server.playlist(party.how))?;
    std::thread::sleep(ON_AIR_FOR);
    let figures = ask(ground, &server, mix)?;
    publisher.published.check()?;
    Ok(figures)
}

/// What our server has, taken once.
fn snapshot<'g>(ground: &'g Ground, party: &Party) -> Result<&'g Vec<(String, Vec<u8>)>> {
    if let Some(files) = ground.snapshot.get() {
        return Ok(files);
    }
    let ours = Party { label: "", who: Who::Yizhan, how: party.how };
    let (server, _publisher) = ground.on_air(&ours)?;
    let mut client = Client::connect(server.http)?;
    let master = server.playlist(ours.how);
    media_playlist(&mut client, &master)?;
    std::thread::sleep(ON_AIR_FOR);
    let mut files = vec![(master.clone(), client.body(&master)?)];
    for path in variants(&master, std::str::from_utf8(&files[0].1)?) {
        let text = client.text(&path)?;
        let list = Playlist::read(&path, &text);
        files.push((path, text.into_bytes()));
        for piece in list.parts.iter().rev().take(NEWEST).chain(list.segments.iter().rev().take(NEWEST)) {
            files.push((piece.path.clone(), client.body(&piece.path)?));
        }
    }
    Ok(ground.snapshot.get_or_init(|| files))
}

/// Puts files where nginx serves them, under the paths that our server has for them.
fn lay_out(server: &Server, files: &[(String, Vec<u8>)]) -> Result<()> {
    for (path, bytes) in files {
        let file = server.files().join(path.split('?').next().unwrap_or("").trim_start_matches('/'));
        std::fs::create_dir_all(file.parent().context("a folder")?)?;
        std::fs::write(file, bytes)?;
    }
    Ok(())
}

/// Asks a server for as much as the mix says.
fn ask(ground: &Ground, server: &Server, mix: Mix) -> Result<Vec<f64>> {
    let master = format!("/live/{}.m3u8", NAME);
    // A session for each connection, as viewers have.
    let mut playlists = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(server.http)?;
        playlists.extend(variants(&master, &client.text(&master)?));
    }
    let mut client = Client::connect(server.http)?;
    let first: Vec<String> = variants(&master, &client.text(&master)?);
    let lists = Mutex::new(listed(&mut client, &first)?);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let look = || -> Result<()> {
            while !stop.load(Relaxed) {
                std::thread::sleep(LOOK_EVERY);
                let fresh = listed(&mut client, &first)?;
                *lists.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
            Ok(())
        };
        let looker = scope.spawn(look);
        let outcome = drive(ground, server, mix, &playlists, &lists);
        stop.store(true, Relaxed);
        looker.join().map_err(|_| anyhow::anyhow!("the looker panicked"))??;
        outcome
    })
}

/// The newest of what the playlists list, of each in turn.
fn listed(client: &mut Client, playlists: &[String]) -> Result<Lists> {
    let mut all = Vec::new();
    for path in playlists {
        all.push(Playlist::read(path, &client.text(path)?));
    }
    let mut lists = Lists::default();
    for i in 0..NEWEST {
        for list in &all {
            // The very last segment may still be on its way to caches; the last part of all is not.
            lists.parts.extend(list.parts.iter().rev().nth(i).map(|p| p.path.clone()));
            lists.segments.extend(list.segments.iter().rev().nth(i).map(|p| p.path.clone()));
        }
    }
    Ok(lists)
}

fn drive(
    ground: &Ground,
    server: &Server,
    mix: Mix,
    playlists: &[String],
    lists: &Mutex<Lists>,
) -> Result<Vec<f64>> {
    let (warm, watched) = if ground.quick { (1, 4) } else { (2, 10) };
    let mut load = Load::new(server.http, mix.rate())?;
    let path = |number| {
        let lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
        mix.path(number, playlists, &lists).context("the playlists list nothing to ask for")
    };
    load.go_on(Duration::from_secs(warm), &path)?;
    load.reset();
    let (cpu, begun) = (server.cpu()?, Instant::now());
    load.go_on(Duration::from_secs(watched), &path)?;
    load.finish()?;
    let (cpu, took) = ((server.cpu()? - cpu).as_secs_f64(), begun.elapsed().as_secs_f64());
    let answered = load.waits.len() as f64;
    let ms = |quantile| load.waits.value_at_quantile(quantile) as f64 / 1e3;
    if let Some(why) = &load.why {
        eprintln!("  {} of {answered} requests failed: {why}", load.failed);
    }
    Ok(vec![
        cpu * 1e6 / answered,
        answered / took,
        cpu / took,
        load.bytes as f64 * 8.0 / 1e6 / took,
        ms(0.5),
        ms(0.99),
        load.failed as f64,
    ])
}
