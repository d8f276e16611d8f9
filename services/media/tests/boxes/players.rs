//! ffmpeg plays what we make and has nothing to say about it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use yizhan_media::{
    Frame, Kind,
    cmaf::{self, Tracks},
    segment::{Cut, Packager},
};

use crate::{made, source};

const PICTURE: &str = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=8";
const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=8 -ac 2";

/// What ffprobe reads of a file: each packet's time of decoding and of showing, seconds.
fn packets(file: &Path, stream: &str) -> Vec<(f64, f64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-select_streams", stream, "-show_entries", "packet=dts_time,pts_time"])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    quiet(&output.stderr, file);
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("a time: {text}"));
    let lines = text.lines().filter(|line| !line.trim_matches(',').is_empty());
    lines
        .map(|line| {
            // The order is ffprobe's: pts, then dts.
            let mut fields = line.split(',');
            let pts = number(fields.next().unwrap());
            (number(fields.next().unwrap()), pts)
        })
        .collect()
}

fn quiet(stderr: &[u8], file: &Path) {
    let said = String::from_utf8_lossy(stderr);
    assert!(said.trim().is_empty(), "{}: {said}", file.display());
}

/// Decodes all of it; returns how many pictures there were.
fn decodes(file: &Path) -> usize {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "warning", "-stats", "-i"])
        .arg(file)
        .args(["-map", "0", "-f", "null", "-progress", "pipe:1", "-nostats", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    quiet(&output.stderr, file);
    let text = String::from_utf8_lossy(&output.stdout);
    let frames = text.lines().rev().find_map(|line| line.strip_prefix("frame="));
    frames.map_or(0, |frames| frames.trim().parse().unwrap())
}

/// Every time of the input is in the file, and nothing else, in order.
fn same_times(file: &Path, stream: &str, frames: &[&Arc<Frame>], slack: f64) {
    let found = packets(file, stream);
    assert_eq!(found.len(), frames.len(), "{}", file.display());
    let base = |dts: f64| dts - found[0].0;
    for (found, frame) in found.iter().zip(frames) {
        let dts = (frame.dts - frames[0].dts) as f64 / 1e6;
        assert!((base(found.0) - dts).abs() < slack, "{} {found:?} {frame:?}", file.display());
        let cts = f64::from(frame.cts) / 1e6;
        assert!((found.1 - found.0 - cts).abs() < 0.001, "{} {found:?} {frame:?}", file.display());
    }
    assert!(found.windows(2).all(|pair| pair[1].0 > pair[0].0), "{}: times go up", file.display());
}

/// Packages the frames, lets ffmpeg read them as CMAF of both tracks and of each, as MPEG-TS and as a recording.
fn plays(name: &str, frames: &[Arc<Frame>]) {
    let folder = tempfile::tempdir().unwrap();
    let made = made::package(Cut::default(), frames);
    let setup = made.segments[0].head.setup.clone();
    assert!(made.segments.iter().all(|segment| segment.independent));
    let of = |kind| frames.iter().filter(|frame| frame.kind == kind).collect::<Vec<_>>();
    let (pictures, sound) = (of(Kind::Video), of(Kind::Audio));
    for tracks in Tracks::ALL {
        if tracks.of(&setup).next().is_none() {
            continue;
        }
        let mut bytes = cmaf::init(&setup, tracks).to_vec();
        made.segments.iter().flat_map(|s| s.pieces(tracks)).for_each(|piece| bytes.extend_from_slice(&piece));
        let file = folder.path().join(format!("{name}-{tracks:?}.mp4"));
        fs::write(&file, bytes).unwrap();
        let has_pictures = tracks.takes(Kind::Video) && !pictures.is_empty();
        assert_eq!(decodes(&file), if has_pictures { pictures.len() } else { 0 });
        if has_pictures {
            same_times(&file, "v", &pictures, 0.001);
        }
        if tracks.takes(Kind::Audio) && !sound.is_empty() {
            same_times(&file, "a", &sound, 0.003);
        }
    }
    let mut bytes = Vec::new();
    for segment in &made.segments {
        let Ok(ts) = segment.ts() else { return };
        bytes.extend_from_slice(&ts);
    }
    let file = folder.path().join(format!("{name}.ts"));
    fs::write(&file, bytes).unwrap();
    assert_eq!(decodes(&file), pictures.len());
    if !pictures.is_empty() {
        same_times(&file, "v", &pictures, 0.001);
    }
    if !sound.is_empty() {
        // Times of frames inside a PES packet are counted by the reader.
        assert_eq!(packets(&file, "a").len(), sound.len());
    }
}

#[test]
fn h264_and_aac_are_played() {
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 60 -bf 0 -c:a aac -shortest";
    let Some(frames) = source::encode("libx264", &format!("{PICTURE} {SOUND} {x264}"), 1, 0) else { return };
    plays("h264-aac", &frames);
}

#[test]
fn pictures_that_are_shown_in_another_order_are_played() {
    let x264 =
        "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 60 -bf 3 -sc_threshold 0 -c:a aac -shortest";
    let Some(frames) = source::encode("libx264", &format!("{PICTURE} {SOUND} {x264}"), 1, 0) else { return };
    assert!(frames.iter().any(|frame| frame.cts > 40_000));
    plays("h264-b-aac", &frames);
}

#[test]
fn h264_alone_is_played() {
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50";
    let Some(frames) = source::encode("libx264", &format!("{PICTURE} {x264}"), 1, 0) else { return };
    plays("h264", &frames);
}

#[test]
fn h264_with_mp3_is_played() {
    let codecs = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 60 -c:a libmp3lame -shortest";
    let Some(frames) = source::encode("libmp3lame", &format!("{PICTURE} {SOUND} {codecs}"), 1, 0) else {
        return;
    };
    plays("h264-mp3", &frames);
}

#[test]
fn hevc_is_played() {
    let codecs = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=60 -pix_fmt yuv420p -c:a aac -shortest";
    let Some(frames) = source::encode("libx265", &format!("{PICTURE} {SOUND} {codecs}"), 1, 0) else {
        return;
    };
    plays("hevc-aac", &frames);
}

#[test]
fn av1_with_opus_is_played() {
    let codecs = "-c:v libsvtav1 -preset 12 -g 60 -pix_fmt yuv420p -c:a libopus -ar 48000 -shortest";
    let Some(frames) = source::encode("libsvtav1", &format!("{PICTURE} {SOUND} {codecs}"), 1, 0) else {
        return;
    };
    plays("av1-opus", &frames);
}

#[test]
fn sound_alone_is_played() {
    for (encoder, rate) in [("aac", 44_100), ("libopus", 48_000), ("libmp3lame", 44_100)] {
        let arguments = format!("{SOUND} -c:a {encoder} -ar {rate}");
        let Some(frames) = source::encode(encoder, &arguments, 1, 0) else { continue };
        plays(encoder, &frames);
    }
}

#[test]
fn another_size_in_the_middle_is_played_behind_a_head_of_its_own() {
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 60 -bf 0 -c:a aac -shortest";
    let Some(mut frames) = source::encode("libx264", &format!("{PICTURE} {SOUND} {x264}"), 1, 0) else {
        return;
    };
    let larger = "-f lavfi -i testsrc2=size=640x360:rate=30:duration=8";
    frames.extend(source::encode("libx264", &format!("{larger} {SOUND} {x264}"), 2, 8_100_000).unwrap());
    let made = made::package(Cut::default(), &frames);
    let breaks = made.segments.iter().filter(|segment| segment.head.discontinuity).count();
    assert_eq!(breaks, 1);
    let folder = tempfile::tempdir().unwrap();
    let mut playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n".to_owned();
    let mut files = [Vec::new(), Vec::new()];
    for segment in &made.segments {
        let setup = &segment.head.setup;
        let file = &mut files[setup.number as usize - 1];
        if file.is_empty() {
            file.extend_from_slice(&cmaf::init(setup, Tracks::Both));
        }
        segment.pieces(Tracks::Both).iter().for_each(|piece| file.extend_from_slice(piece));
        playlist += if segment.head.discontinuity { "#EXT-X-DISCONTINUITY\n" } else { "" };
        let (sequence, seconds) = (segment.head.sequence, segment.duration as f64 / 1e6);
        fs::write(folder.path().join(format!("{sequence}.ts")), segment.ts().unwrap()).unwrap();
        playlist += &format!("#EXTINF:{seconds:.6},\n{sequence}.ts\n");
    }
    // ffmpeg takes the first EXT-X-MAP of a playlist only ("Found duplicated MOOV Atom"): each by itself, then.
    for (file, pictures) in files.iter().zip([240, 240]) {
        let path = folder.path().join("one.mp4");
        fs::write(&path, file).unwrap();
        assert_eq!(decodes(&path), pictures);
    }
    let path = folder.path().join("ts.m3u8");
    fs::write(&path, playlist + "#EXT-X-ENDLIST\n").unwrap();
    let pictures = decodes(&path);
    assert!((479..=481).contains(&pictures), "{pictures}");
}

#[test]
fn a_recording_has_its_length_and_an_index() {
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 60 -bf 2 -c:a aac -shortest";
    // From the middle of a broadcast.
    let from = 7_200_000_000;
    let Some(frames) = source::encode("libx264", &format!("{PICTURE} {SOUND} {x264}"), 1, from) else {
        return;
    };
    let made = made::run(&mut Packager::from_zero(Cut { part: None, ..Cut::default() }), &frames);
    let (head, mehd_at) = cmaf::file_head(&made.segments[0].head.setup);
    let mut file = head.to_vec();
    let mut index = cmaf::Index::default();
    for segment in &made.segments {
        let opens = file.len();
        file.extend_from_slice(&segment.pieces(Tracks::Both).concat());
        let styp = u32::from_be_bytes(file[opens..opens + 4].try_into().unwrap()) as usize;
        let first = &segment.parts[0].samples(Kind::Video)[0];
        index.add(Kind::Video, first.start + u64::from(first.offset), (opens + styp) as u64, 1);
    }
    assert_eq!(index.len(), 4);
    let millis = made.segments.iter().map(|segment| segment.duration).sum::<i64>() / 1000;
    let folder = tempfile::tempdir().unwrap();
    for state in ["growing", "finished"] {
        if state == "finished" {
            file[mehd_at..mehd_at + cmaf::MEHD_BYTES].copy_from_slice(&cmaf::mehd(millis as u64));
            file.extend_from_slice(&index.finish());
        }
        let path = folder.path().join(format!("{state}.mp4"));
        fs::write(&path, &file).unwrap();
        assert_eq!(decodes(&path), 240);
        let times = packets(&path, "v");
        assert!(times[0].0 == 0.0, "it begins at 0");
        // Reading begins in the middle: at the key frame at 4 seconds.
        let output = Command::new("ffprobe")
            .args(["-v", "warning", "-select_streams", "v", "-read_intervals", "5%+#1"])
            .args(["-show_entries", "packet=dts_time:format=duration", "-of", "csv=p=0"])
            .arg(&path)
            .output()
            .unwrap();
        quiet(&output.stderr, &path);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("4.0"), "{state}: {text}");
    }
}

#[test]
fn an_hour_has_no_fault_of_time_over_the_wrap_of_clocks() {
    let picture = "-f lavfi -i testsrc2=size=64x36:rate=30:duration=2";
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 60 -bf 2 -x264-params b-pyramid=none";
    let Some(group) = source::encode("libx264", &format!("{picture} {x264}"), 1, 0) else { return };
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=2 -ac 1 -c:a aac -b:a 32k";
    let one = source::encode("aac", sound, 1, 0).unwrap();
    let setup = made::setup(1, group[0].setup.video.clone(), one[0].setup.audio.clone());
    // 26 hours and a bit: MPEG-TS counts to 26.5 hours. Milliseconds, as RTMP has them.
    let from = 94_000_000_000;
    let mut frames = Vec::new();
    for round in 0..1800 {
        let at = from + round * 2_000_000;
        frames.extend(
            group.iter().map(|f| made::frame_of(&setup, f.kind, f.key, f.dts + at, f.cts, f.data.clone())),
        );
    }
    for n in 0..155_000 {
        let dts = from + n * 1024 * 1000 / 44_100 * 1000;
        let data = one[10 + n as usize % 60].data.clone();
        frames.push(made::frame_of(&setup, Kind::Audio, true, dts, 0, data));
    }
    frames.sort_by_key(|frame| frame.dts);
    let made = made::package(Cut::default(), &frames);
    let (mut cmaf, mut ts) = (cmaf::init(&setup, Tracks::Both).to_vec(), Vec::new());
    for segment in &made.segments {
        segment.pieces(Tracks::Both).iter().for_each(|piece| cmaf.extend_from_slice(piece));
        ts.extend_from_slice(&segment.ts().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("hour.mp4", cmaf), ("hour.ts", ts)] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        for (stream, count, longest) in [("v", 108_000, 0.035), ("a", 155_000, 0.026)] {
            let times = packets(&file, stream);
            assert_eq!(times.len(), count, "{name}");
            for pair in times.windows(2) {
                let step = pair[1].0 - pair[0].0;
                assert!(step > 0.0 && step < longest, "{name} {stream}: {pair:?}");
            }
            assert!(times.iter().all(|(dts, pts)| pts >= dts));
        }
    }
}
