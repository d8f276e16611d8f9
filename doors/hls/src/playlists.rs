//! Playlists and manifests: what is asked for again and again, and tells who watches.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use yizhan_media::{Broadcast, Codec, Detail, Name, Refused, Setup, ts};
use yizhan_net::{Request, Response, reply};

use crate::{
    admit::{Admitted, admit, keep, name, on_air, refusal},
    door::{Inner, fleeting, nothing},
    names::{Entry, File, Rendition},
    playlist::{
        MEDIA_TYPE,
        date::Date,
        master::{Master, Sound, Variant},
        reload::Wish,
    },
    respond::Shown,
    segments::busy,
    stage::{Awaited, Stage, mpd},
};

/// The rate of a rendition of which nothing is known yet, bits a second.
const UNKNOWN_RATE: u64 = 1_000_000;
/// What the target duration counts more while somebody waits for a first playlist, seconds.
const WAIT_SECONDS: u64 = 10;

/// `/{app}/{name}.m3u8`, `/{app}/{name}.ts.m3u8`
pub(crate) async fn master(inner: &Arc<Inner>, request: &Request, of: &str, entry: Entry) -> Response {
    try_master(inner, request, of, entry).await.unwrap_or_else(|response| response)
}

async fn try_master(
    inner: &Arc<Inner>,
    request: &Request,
    of: &str,
    entry: Entry,
) -> Result<Response, Response> {
    let name = name(request, of)?;
    let admitted = admit(inner, request, &name, "hls").await?;
    let broadcast = on_air(inner, &name).await?;
    let stage = begun(inner, &broadcast, Rendition::Ts).await?;
    let suffix = admitted.suffix(inner);
    let master = match entry {
        Entry::TsMaster => ts_master(inner, &stage, &suffix)?,
        // No browser has MP3 in MP4.
        _ if has_mp3(&stage.setup()) => {
            ts_master(inner, &stage, &suffix).unwrap_or_else(|_| cmaf_master(inner, &stage, &suffix))
        }
        _ => cmaf_master(inner, &stage, &suffix),
    };
    let etag = format!("{}-master-{:x}", stage.tag, stage.version());
    let shown = Shown::new(master.write(), MEDIA_TYPE, &etag);
    // With a session in it, it is for one viewer.
    let cache = match (inner.config.sessions, suffix.is_empty()) {
        (false, _) => "public, max-age=2",
        (true, true) => "no-cache",
        (true, false) => "no-store",
    };
    let mut response = shown.respond(request, &HeaderValue::from_static(cache));
    admitted.remember(inner, request, &name, response.headers_mut());
    Ok(response)
}

fn has_mp3(setup: &Setup) -> bool {
    setup.audio.as_ref().is_some_and(|track| track.codec == Codec::Mp3)
}

/// The stage of a broadcast, once it has anything to list.
async fn begun(inner: &Inner, broadcast: &Broadcast, rendition: Rendition) -> Result<Arc<Stage>, Response> {
    let stage = inner.stage(broadcast);
    if !stage.has(rendition, Awaited::Segment) {
        let until = inner.clock.now().steady + keep(stage.target_duration());
        match stage.wait(rendition, Awaited::Segment, until).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(busy()),
        }
    }
    if stage.ended_empty() {
        return Err(fleeting(refusal(&Refused::NotOnAir)));
    }
    Ok(stage)
}

fn ts_master(inner: &Inner, stage: &Stage, suffix: &str) -> Result<Master, Response> {
    let mut variants = Vec::new();
    let mut reason = None;
    for broadcast in renditions(inner, stage) {
        let setup = setup_of(inner, &broadcast);
        match ts::in_ts(&setup) {
            Ok(()) => variants.push(variant(inner, &broadcast, &setup, Rendition::Ts, suffix)),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    match reason {
        Some(reason) if variants.is_empty() => Err(not_in_ts(&reason)),
        _ => Ok(Master { sound: None, variants }),
    }
}

fn not_in_ts(reason: &str) -> Response {
    fleeting(reply::error(StatusCode::NOT_FOUND, reason))
}

fn cmaf_master(inner: &Inner, stage: &Stage, suffix: &str) -> Master {
    let name = stage.broadcast.name();
    let of =
        inner.media.find(&name.source()).map_or_else(|| stage.broadcast.setup(), |source| source.setup());
    let has_video = stage.broadcast.setup().video.is_some();
    let mut variants: Vec<_> = renditions(inner, stage)
        .iter()
        .map(|broadcast| {
            let rendition = if has_video { Rendition::Video } else { Rendition::Audio };
            variant(inner, broadcast, &setup_of(inner, broadcast), rendition, suffix)
        })
        .collect();
    if name.rung_name().is_none() && has_video {
        variants.extend(offers(inner, stage, suffix));
    }
    let sound = of.audio.as_ref().filter(|_| has_video).map(|track| Sound {
        uri: address(&name.source(), Rendition::Audio, suffix),
        channels: match track.detail {
            Detail::Audio { channels, .. } => channels,
            Detail::Video { .. } => 2,
        },
    });
    Master { sound, variants }
}

/// What is on air of a broadcast: itself, and its rungs where it is no rung.
fn renditions(inner: &Inner, stage: &Stage) -> Vec<Broadcast> {
    let name = stage.broadcast.name();
    let mut all = vec![stage.broadcast.clone()];
    if name.rung_name().is_none() {
        let rungs = inner.media.rungs(name);
        all.extend(rungs.into_iter().filter(|rung| rung.name() != name && rung.setup().video.is_some()));
    }
    // The source first, the others by what they take.
    all[1..].sort_by_key(|rung| std::cmp::Reverse(rung.view().bits_per_second));
    all
}

/// What a broadcast is encoded with: as far as it was shown, so that nothing is missing while a publisher comes back.
fn setup_of(inner: &Inner, broadcast: &Broadcast) -> Arc<Setup> {
    let stage = inner.stages.find(broadcast.name()).filter(|stage| stage.broadcast.id() == broadcast.id());
    stage.map_or_else(|| broadcast.setup(), |stage| stage.setup())
}

/// What a ladder would make of it.
fn offers(inner: &Inner, stage: &Stage, suffix: &str) -> Vec<Variant> {
    let Some(ladder) = &inner.ladder else { return Vec::new() };
    let source = stage.broadcast.name();
    let all = ladder.offers(&stage.broadcast).into_iter().filter_map(|offer| {
        let name = source.rung(&offer.rung).ok()?;
        if inner.media.find(&name).is_some_and(|rung| rung.setup().video.is_some()) {
            return None;
        }
        Some(Variant {
            uri: address(&name, Rendition::Video, suffix),
            name: offer.rung,
            bandwidth: offer.bits_per_second,
            average: None,
            codecs: offer.codecs,
            size: Some((offer.width, offer.height)),
            millihertz: None,
        })
    });
    all.collect()
}

fn variant(
    inner: &Inner,
    broadcast: &Broadcast,
    setup: &Setup,
    rendition: Rendition,
    suffix: &str,
) -> Variant {
    let name = broadcast.name();
    let rates = inner.stages.find(name).map(|stage| stage.rates()).unwrap_or_default();
    let (peak, average) = (rates.peak.iter().sum::<u64>(), rates.average.iter().sum::<u64>());
    let now = broadcast.view().bits_per_second;
    let (size, millihertz) = match setup.video.as_ref().map(|track| track.detail) {
        Some(Detail::Video { width, height, millihertz }) => (Some((width, height)), millihertz),
        _ => (None, None),
    };
    Variant {
        uri: address(name, rendition, suffix),
        name: name.rung_name().unwrap_or("source").to_owned(),
        bandwidth: [peak, now * 11 / 10, UNKNOWN_RATE]
            .into_iter()
            .find(|rate| *rate > 0)
            .unwrap_or(UNKNOWN_RATE),
        average: (average > 0).then_some(average),
        codecs: setup.rfc6381(),
        size,
        millihertz,
    }
}

/// Where a playlist is, as seen from `/{app}/`.
fn address(name: &Name, rendition: Rendition, suffix: &str) -> String {
    format!("{}/{}{suffix}", name.name, File::Playlist(rendition))
}

/// `/{app}/{name}/video.m3u8`
pub(crate) async fn media(inner: &Arc<Inner>, request: &Request, rendition: Rendition) -> Response {
    try_media(inner, request, rendition).await.unwrap_or_else(|response| response)
}

async fn try_media(
    inner: &Arc<Inner>,
    request: &Request,
    rendition: Rendition,
) -> Result<Response, Response> {
    let bad = |error: &dyn std::error::Error| reply::error(StatusCode::BAD_REQUEST, &error.to_string());
    let name = name(request, request.param("file"))?;
    let wish = Wish::read(request.query()).map_err(|error| bad(&error))?;
    let admitted = admit(inner, request, &name, "hls").await?;
    let stage = stage_of(inner, &name).await?;
    let now = inner.clock.now();
    stage.touch(now);
    if !stage.has(rendition, Awaited::Segment) {
        // Who waits for the first playlist counts already: a rung that nobody watches is ended.
        admitted.watch(inner, now, &stage.broadcast, stage.target_duration() + WAIT_SECONDS)?;
    }
    ready(inner, &stage, rendition).await?;
    let (now, target) = (inner.clock.now(), stage.target_duration());
    admitted.watch(inner, now, &stage.broadcast, target)?;
    if let Some(place) = wish.until {
        let edge = stage.edge(rendition);
        let part = inner.config.part().filter(|_| rendition != Rendition::Ts);
        if edge.is_too_far(place, part) {
            return Err(fleeting(bad(&crate::playlist::reload::BadWish::TooFar)));
        }
        if !edge.has(place) {
            let until = now.steady + std::time::Duration::from_secs(3 * target);
            match stage.wait(rendition, Awaited::Place(place), until).await {
                Ok(true) => admitted.watch(inner, inner.clock.now(), &stage.broadcast, target)?,
                Ok(false) | Err(_) => return Err(busy()),
            }
        }
    }
    let cache = match (inner.config.sessions, wish.until) {
        (true, _) => HeaderValue::from_static("no-cache"),
        // What was waited for stays true for as long as it lists anything useful (rfc8216bis §6.2.5.3).
        (false, Some(_)) => seconds(6 * target),
        (false, None) => seconds((target / 2).max(1)),
    };
    let mut response = stage.playlist(rendition, wish).respond(request, &cache);
    admitted.remember(inner, request, &name, response.headers_mut());
    Ok(response)
}

fn seconds(seconds: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("public, max-age={seconds}"))
        .unwrap_or(HeaderValue::from_static("no-cache"))
}

/// The stage of a broadcast that is on air or that somebody fetches, or of one that has just ended.
async fn stage_of(inner: &Inner, name: &Name) -> Result<Arc<Stage>, Response> {
    match on_air(inner, name).await {
        Ok(broadcast) => Ok(inner.stage(&broadcast)),
        Err(response) => inner.stages.find(name).filter(|stage| stage.has_ended()).ok_or(response),
    }
}

/// Waits until a rendition can be listed.
async fn ready(inner: &Inner, stage: &Stage, rendition: Rendition) -> Result<(), Response> {
    if !stage.has(rendition, Awaited::Segment) {
        let until = inner.clock.now().steady + keep(stage.target_duration());
        if stage.wait(rendition, Awaited::Segment, until).await != Ok(true) {
            return Err(busy());
        }
    }
    if stage.ended_empty() {
        return Err(fleeting(refusal(&Refused::NotOnAir)));
    }
    let setup = stage.setup();
    match rendition {
        Rendition::Video if setup.video.is_none() => Err(nothing()),
        Rendition::Audio if setup.audio.is_none() => Err(nothing()),
        Rendition::Ts => ts::in_ts(&setup).map_err(|error| not_in_ts(&error.to_string())),
        Rendition::Video | Rendition::Audio => Ok(()),
    }
}

/// `/{app}/{name}.mpd`
pub(crate) async fn manifest(inner: &Arc<Inner>, request: &Request, of: &str) -> Response {
    try_manifest(inner, request, of).await.unwrap_or_else(|response| response)
}

async fn try_manifest(inner: &Arc<Inner>, request: &Request, of: &str) -> Result<Response, Response> {
    let name = name(request, of)?;
    let admitted: Admitted = admit(inner, request, &name, "dash").await?;
    let stage = stage_of(inner, &name).await?;
    let now = inner.clock.now();
    stage.touch(now);
    // Complete segments only: a manifest lists no parts.
    if !stage.has(Rendition::Ts, Awaited::Segment) {
        admitted.watch(inner, now, &stage.broadcast, stage.target_duration() + WAIT_SECONDS)?;
        let until = now.steady + keep(stage.target_duration());
        if stage.wait(Rendition::Ts, Awaited::Segment, until).await != Ok(true) {
            return Err(busy());
        }
    }
    if stage.ended_empty() {
        return Err(fleeting(refusal(&Refused::NotOnAir)));
    }
    admitted.watch(inner, inner.clock.now(), &stage.broadcast, stage.target_duration())?;
    let rungs = inner.media.rungs(&name).into_iter().filter(|rung| rung.name() != &name && !rung.has_ended());
    let rungs: Vec<_> = rungs.map(|rung| inner.stage(&rung)).collect();
    let cache = if inner.config.sessions { "no-cache" } else { "public, max-age=1" };
    let shown = mpd(&stage, &rungs, inner.clock.now().wall);
    let mut response = shown.respond(request, &HeaderValue::from_static(cache));
    admitted.remember(inner, request, &name, response.headers_mut());
    Ok(response)
}

/// `/{app}/{name}/now`
pub(crate) fn now(request: &Request) -> Response {
    let mut response =
        reply::bytes(StatusCode::OK, "text/plain", Date(request.line().now().wall.0).to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
