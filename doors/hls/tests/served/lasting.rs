//! Playlists and segments as caches and clients see them: names, headers, ranges, waiting.

use std::{io::Read as _, time::Duration};

use http::StatusCode;
use m3u8_parser::m3u8::playlist::Playlist;
use yizhan_hls::Config;

use crate::world::{World, addresses, behind, name, quick, source, until};

fn read(text: &str) -> Playlist {
    let playlist: Playlist = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    playlist.validate().unwrap_or_else(|errors| panic!("{errors:?}: {text}"));
    playlist
}

#[tokio::test]
async fn a_broadcast_has_playlists_and_all_that_they_list() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(8_500);
    let master = world.get("/live/room.m3u8").await;
    assert_eq!(master.status, StatusCode::OK, "{}", master.text());
    assert_eq!(master.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(master.header("access-control-allow-origin"), "*");
    read(master.text());
    assert_eq!(addresses(master.text()), ["room/video.m3u8"]);
    assert!(master.text().contains("RESOLUTION=320x180,FRAME-RATE="), "{}", master.text());
    assert_eq!(behind(master.text(), "URI=\""), "room/audio.m3u8");
    for (playlist, media_type) in [("video", "video/mp4"), ("audio", "audio/mp4")] {
        let media = world.get(&format!("/live/room/{playlist}.m3u8")).await;
        assert_eq!(media.status, StatusCode::OK, "{}", media.text());
        read(media.text());
        assert_eq!(behind(media.text(), "#EXT-X-TARGETDURATION:"), "1");
        let listed = addresses(media.text());
        assert_eq!(listed.len(), 6, "{}", media.text());
        let init = behind(media.text(), "#EXT-X-MAP:URI=\"").to_owned();
        let init = world.get(&format!("/live/room/{init}")).await;
        assert_eq!((init.status, &init.body[4..8]), (StatusCode::OK, &b"ftyp"[..]));
        for segment in listed {
            let got = world.get(&format!("/live/room/{segment}")).await;
            assert_eq!(got.status, StatusCode::OK);
            assert_eq!(got.header("content-type"), media_type);
            assert_eq!(got.header("cache-control"), "public, max-age=3600, immutable");
            assert_eq!(got.header("content-length"), got.body.len().to_string());
            let mut parts = Vec::new();
            for line in media.text().lines().filter(|line| line.starts_with("#EXT-X-PART:")) {
                let part = behind(line, "URI=\"");
                if part.starts_with(segment.trim_end_matches("m4s")) {
                    parts.extend_from_slice(&world.get(&format!("/live/room/{part}")).await.body);
                }
            }
            assert!(parts.is_empty() || parts == got.body, "a segment is its parts");
        }
    }
    let ts = world.get("/live/room.ts.m3u8").await;
    assert_eq!(addresses(ts.text()), ["room/ts.m3u8"]);
    let ts = world.get("/live/room/ts.m3u8").await;
    read(ts.text());
    let first = world.get(&format!("/live/room/{}", addresses(ts.text())[0])).await;
    assert_eq!((first.body[0], first.body.len() % 188), (0x47, 0));
}

#[tokio::test]
async fn what_is_listed_can_be_had_in_ranges_again_and_compressed() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    world.publish(packets).until(9_500);
    let video = "/live/room/video.m3u8";
    let plain = world.get(video).await;
    let small = world.ask("GET", video, &[("accept-encoding", "br, gzip;q=0.5")]).await;
    assert_eq!(small.header("content-encoding"), "gzip");
    assert!(small.header("vary").contains("Accept-Encoding"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&small.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
    let refused = world.ask("GET", video, &[("accept-encoding", "gzip;q=0")]).await;
    assert_eq!(refused.header("content-encoding"), "");
    let same = world.ask("GET", video, &[("if-none-match", plain.header("etag"))]).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let segment = format!("/live/room/{}", addresses(plain.text())[2]);
    let whole = world.get(&segment).await;
    let total = whole.body.len();
    for (range, expected) in [
        ("bytes=0-99".to_owned(), &whole.body[..100]),
        (format!("bytes={}-", total - 7), &whole.body[total - 7..]),
        ("bytes=-1".to_owned(), &whole.body[total - 1..]),
        (format!("bytes=10-{}", total * 2), &whole.body[10..]),
    ] {
        let part = world.ask("GET", &segment, &[("range", &range)]).await;
        assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, expected), "{range}");
        assert!(part.header("content-range").ends_with(&format!("/{total}")), "{range}");
    }
    let none = world.ask("GET", &segment, &[("range", &format!("bytes={total}-"))]).await;
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(none.header("content-range"), format!("bytes */{total}"));
    let other = world.ask("GET", &segment, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (StatusCode::OK, total));
    let head = world.ask("HEAD", &segment, &[]).await;
    assert_eq!((head.header("content-length"), head.body.len()), (&*total.to_string(), 0));
    let known = world.ask("GET", &segment, &[("if-none-match", whole.header("etag"))]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    let asked = world.ask("OPTIONS", &segment, &preflight).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    assert_eq!(asked.header("access-control-allow-origin"), "*");
    assert!(asked.header("access-control-allow-headers").contains("Range"));
}

#[tokio::test]
async fn what_is_not_there_is_said_and_what_is_past_is_gone() {
    let Some(packets) = source() else { return };
    let world = World::new(Config { segments: 3, ..quick() });
    let mut sending = world.publish(packets);
    sending.until(4_500);
    let media = world.get("/live/room/video.m3u8").await;
    let first = addresses(media.text())[0].to_owned();
    sending.until(15_000);
    until("the window moves on", || true).await;
    let path = format!("/live/room/{first}");
    let mut gone = world.get(&path).await;
    for _ in 0..100 {
        if gone.status == StatusCode::GONE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        gone = world.get(&path).await;
    }
    assert_eq!(gone.status, StatusCode::GONE);
    assert_eq!(gone.header("cache-control"), "max-age=1");
    let other_tag = first.replacen(&first[..3], "zzz", 1);
    for path in [
        format!("/live/room/{other_tag}"),
        format!("/live/room/{}", first.replace("-v", "-a9")),
        "/live/room/..".into(),
        "/live/room/%2e%2e%2fvideo.m3u8".into(),
        "/live/../video.m3u8".into(),
        "/live/%2e%2e/video.m3u8".into(),
        "/live/%2e%2e.m3u8".into(),
        "/live/other.m3u8".into(),
        "/live/other/video.m3u8".into(),
        "/other/room.m3u8".into(),
        "/live/room.html".into(),
        "/live/room.jpg".into(),
        "/live/room~720p.m3u8".into(),
        "/live/room~a~b.m3u8".into(),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
    }
    assert_eq!(world.get("/live/%zz.m3u8").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask("POST", "/live/room.m3u8", &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_reload_waits_for_what_it_asks_for() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(5_050);
    let media = world.get("/live/room/video.m3u8").await;
    let first: u64 = behind(media.text(), "#EXT-X-MEDIA-SEQUENCE:").parse().unwrap();
    let next = first + addresses(media.text()).len() as u64;
    let hint = behind(media.text(), "TYPE=PART,URI=\"").to_owned();
    let path =
        |msn: u64, part: u32| format!("/live/room/video.m3u8?_HLS_msn={msn}&_HLS_part={part}&_HLS_skip=YES");
    for (wrong, status) in [
        ("?_HLS_part=1".to_owned(), StatusCode::BAD_REQUEST),
        ("?_HLS_msn=x".into(), StatusCode::BAD_REQUEST),
        (format!("?_HLS_msn={}", next + 2), StatusCode::BAD_REQUEST),
        (format!("?_HLS_msn={next}&_HLS_part=99"), StatusCode::BAD_REQUEST),
        ("?_HLS_msn=18446744073709551615&_HLS_part=4294967295".into(), StatusCode::BAD_REQUEST),
        (format!("?_HLS_msn={}", next - 1), StatusCode::OK),
    ] {
        let answer = world.get(&format!("/live/room/video.m3u8{wrong}")).await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text());
    }
    let (wanted, part) = (path(next, 1), format!("/live/room/{hint}"));
    let waiting = async { tokio::join!(world.get(&wanted), world.get(&part)) };
    let going_on = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sending.until(5_700);
    };
    let ((reloaded, hinted), ()) = tokio::join!(waiting, going_on);
    assert_eq!(reloaded.status, StatusCode::OK, "{}", reloaded.text());
    assert!(reloaded.text().contains(&format!("{next}.1.m4s")), "{}", reloaded.text());
    assert!(
        reloaded.text().contains("#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN="),
        "{}",
        reloaded.text()
    );
    assert_eq!(hinted.status, StatusCode::OK);
    assert!([b"moof", b"styp"].iter().any(|name| hinted.body[4..8] == **name));
    // Nothing more comes: three target durations of a second.
    let began = std::time::Instant::now();
    let late = world.get(&path(next, 9)).await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(began.elapsed() > Duration::from_millis(2_900), "{:?}", began.elapsed());
    // Whoever waits when the broadcast ends is told so.
    let wanted = path(next + 1, 0);
    let waits = world.get(&wanted);
    let ends = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        sending.end();
    };
    let (ended, ()) = tokio::join!(waits, ends);
    assert!(ended.text().ends_with("#EXT-X-ENDLIST\n"), "{}", ended.text());
    assert!(world.media.find(&name()).is_none());
}

#[tokio::test]
async fn a_publisher_that_comes_back_is_a_discontinuity_and_another_period() {
    let Some(packets) = source() else { return };
    let world = World::new(quick());
    let mut sending = world.publish(packets);
    sending.until(3_500);
    let before = world.get("/live/room/video.m3u8").await;
    assert!(!before.text().contains("#EXT-X-DISCONTINUITY\n"), "{}", before.text());
    let sequence = behind(before.text(), "#EXT-X-DISCONTINUITY-SEQUENCE:").to_owned();
    drop(sending);
    // What was under way is shown, although no frame follows.
    let count = addresses(before.text()).len();
    let mut shown = before;
    while addresses(shown.text()).len() == count {
        shown = world.get("/live/room/video.m3u8").await;
    }
    let mut sending = world.publish(packets);
    sending.until(3_500);
    let mut after = shown;
    while !after.text().contains("#EXT-X-DISCONTINUITY\n") {
        after = world.get("/live/room/video.m3u8").await;
    }
    read(after.text());
    assert_eq!(behind(after.text(), "#EXT-X-DISCONTINUITY-SEQUENCE:"), sequence);
    assert_eq!(after.text().matches("#EXT-X-MAP:").count(), 2, "{}", after.text());
    let mpd = world.get("/live/room.mpd").await;
    assert_eq!(mpd.header("content-type"), "application/dash+xml");
    assert_eq!(mpd.text().matches("<Period ").count(), 2, "{}", mpd.text());
}
