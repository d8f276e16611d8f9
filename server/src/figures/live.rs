//! The metrics of live streaming.

use yizhan_media::{Media, State, totals::DOORS};
use yizhan_probe::Exposition;

/// Writes them.
pub(super) fn metrics(media: &Media, page: &mut Exposition) {
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
