//! The metrics of live streaming.

use yizhan_media::{Media, State, totals::DOORS};
use yizhan_probe::Exposition;

use crate::live::Live;

/// Writes them.
pub(super) fn metrics(live: &Live, page: &mut Exposition) {
    broadcasts(&live.media, page);
    viewers(&live.media, page);
    rtmp(&live.rtmp, page);
    hls(live, page);
    studio(live, page);
    hooks(live, page);
}

fn broadcasts(media: &Media, page: &mut Exposition) {
    let all = media.list();
    let count = |state| all.iter().filter(|broadcast| broadcast.state() == state).count() as f64;
    for (label, state) in [("on_air", State::OnAir), ("lost", State::Lost)] {
        page.gauge(
            "yizhan_live_broadcasts",
            "Broadcasts, rungs of ladders among them: with a publisher, or waiting for one that was cut off.",
            &[("state", label)],
            count(state),
        );
    }
    let bits: u64 = all.iter().map(|broadcast| broadcast.view().bits_per_second).sum();
    page.gauge("yizhan_live_in_bits_per_second", "Bits a second that publishers send.", &[], bits as f64);
    let totals = media.totals();
    let counters = [
        ("yizhan_live_begun_total", "Broadcasts that have begun.", &totals.begun),
        ("yizhan_live_back_total", "Publishers that came back in time, or took over.", &totals.back),
        ("yizhan_live_lost_total", "Publishers that were cut off.", &totals.lost),
        ("yizhan_live_in_bytes_total", "Bytes of frames that publishers sent.", &totals.in_bytes),
        ("yizhan_live_in_frames_total", "Frames that publishers sent.", &totals.in_frames),
        (
            "yizhan_live_dropped_frames_total",
            "Frames dropped: before a track's configuration or its first key frame.",
            &totals.dropped,
        ),
        (
            "yizhan_live_skipped_blocks_total",
            "Blocks of frames that slow RTMP and FLV viewers were not given.",
            &totals.skipped,
        ),
    ];
    for (name, help, counter) in counters {
        page.counter(name, help, &[], counter.value());
    }
}

fn viewers(media: &Media, page: &mut Exposition) {
    let totals = media.totals();
    for (i, door) in DOORS.iter().enumerate() {
        let label = [("door", *door)];
        let here = totals.here[i].value().max(0) as f64;
        page.gauge("yizhan_live_viewers", "Viewers that are here, by door.", &label, here);
    }
    for (i, door) in DOORS.iter().enumerate() {
        let came = totals.came[i].value();
        page.counter("yizhan_live_viewers_total", "Viewers that came, by door.", &[("door", *door)], came);
    }
    for (i, door) in DOORS.iter().enumerate() {
        let bytes = totals.out_bytes[i].value();
        page.counter(
            "yizhan_live_out_bytes_total",
            "Bytes that viewers were given, by door.",
            &[("door", *door)],
            bytes,
        );
    }
}

fn rtmp(meters: &yizhan_rtmp::Meters, page: &mut Exposition) {
    let asked = [
        ("publish", "ok", &meters.publishes),
        ("publish", "refused", &meters.publishes_refused),
        ("play", "ok", &meters.plays),
        ("play", "refused", &meters.plays_refused),
    ];
    for (command, result, counter) in asked {
        page.counter(
            "yizhan_rtmp_commands_total",
            "RTMP clients that asked to publish or to play, by what was answered.",
            &[("command", command), ("result", result)],
            counter.value(),
        );
    }
    let counters = [
        ("yizhan_rtmp_connects_total", "RTMP clients that connected.", &meters.connects),
        ("yizhan_rtmp_faults_total", "RTMP connections that were no RTMP, or broke it.", &meters.faults),
        (
            "yizhan_rtmp_malformed_total",
            "Messages of RTMP publishers left out as malformed.",
            &meters.malformed,
        ),
        ("yizhan_rtmp_silent_total", "RTMP connections that were silent for too long.", &meters.silent),
    ];
    for (name, help, counter) in counters {
        page.counter(name, help, &[], counter.value());
    }
}

fn hls(live: &Live, page: &mut Exposition) {
    let figures = live.hls.get().map(yizhan_hls::Hls::figures);
    let of = |value: fn(&yizhan_hls::Figures) -> usize| figures.as_ref().map_or(0, value) as f64;
    page.gauge("yizhan_hls_packaged", "Broadcasts that are made into segments.", &[], of(|f| f.packaged));
    page.gauge(
        "yizhan_hls_sessions",
        "Viewers of HLS and DASH that have a session.",
        &[],
        of(|f| f.sessions),
    );
}

fn studio(live: &Live, page: &mut Exposition) {
    let all = live.media.list();
    let recorder = live.studio.as_recorder();
    let rungs = all.iter().filter(|broadcast| broadcast.name().rung_name().is_some()).count();
    let recorded = all.iter().filter(|broadcast| recorder.is_on(broadcast.name())).count();
    page.gauge("yizhan_live_rungs", "Rungs of ladders that are made.", &[], rungs as f64);
    page.gauge("yizhan_live_recordings", "Broadcasts that are being recorded.", &[], recorded as f64);
    let (ladder, recorder) = (live.studio.ladder.meters(), &live.studio.recorder);
    let counters = [
        (
            "yizhan_live_rungs_given_up_total",
            "Rungs that the machine was too slow for.",
            ladder.given_up.value(),
        ),
        (
            "yizhan_live_rungs_failed_total",
            "Processes of ffmpeg that died under a rung.",
            ladder.failed.value(),
        ),
        (
            "yizhan_live_recordings_failed_total",
            "Recordings that ended before their time.",
            recorder.failed(),
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, &[], value);
    }
    let bytes = recorder.reels().bytes() as f64;
    page.gauge("yizhan_live_recordings_bytes", "Bytes of all recordings.", &[], bytes);
}

fn hooks(live: &Live, page: &mut Exposition) {
    let (asked, unanswered) = live.hooks.questions();
    let lanes = live.hooks.lanes();
    let counters = [
        (
            "yizhan_live_hook_questions_total",
            "Questions to the operator's program: on_publish, on_play.",
            asked,
        ),
        ("yizhan_live_hook_unanswered_total", "Those of them that had no answer.", unanswered),
        (
            "yizhan_live_hook_dropped_total",
            "Events that the operator's program did not take in time.",
            lanes.iter().map(|lane| lane.dropped).sum(),
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, &[], value);
    }
    let waiting: usize = lanes.iter().map(|lane| lane.waiting).sum();
    page.gauge("yizhan_live_hook_waiting", "Events that wait for it.", &[], waiting as f64);
}
