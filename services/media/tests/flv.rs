//! FLV as ffmpeg writes and reads it. Another ffmpeg than that in `PATH` is tried first where `YIZHAN_TEST_FFMPEG` says
//! one: Debian's knows nothing of Enhanced RTMP.

#![allow(clippy::disallowed_methods, reason = "tests may look at the environment")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use yizhan_media::{
    Block, Config, Detail, Fed, Frame, Kind, Media, Name, Packet, Party, Setup, Track, codec,
    flv::{self, Demuxer},
};
use yizhan_talk::{Now, Timestamp};

/// A second of a moving picture whose sides are no multiples of 16, and of a tone.
const PICTURE: &str = "-f lavfi -i testsrc2=size=322x182:rate=25:duration=1";
const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=1";

fn ffmpeg(encoder: &str) -> Option<PathBuf> {
    let named = std::env::var_os("YIZHAN_TEST_FFMPEG").map(PathBuf::from);
    let found = [named, Some("ffmpeg".into())].into_iter().flatten().find(|program| {
        let said = Command::new(program).args(["-hide_banner", "-encoders"]).stderr(Stdio::null()).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(&format!(" {encoder} ")))
    });
    if found.is_none() {
        println!("skipped: no ffmpeg with {encoder}");
    }
    found
}

/// What ffmpeg writes to its output: `Err` with what it says where it fails.
fn run(program: &Path, arguments: &str, file: &Path) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostdin", "-y", "-v", "error"]);
    for word in arguments.split_whitespace() {
        match word {
            "FILE" => command.arg(file),
            word => command.arg(word),
        };
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(output.stdout) } else { Err(said) }
}

/// A packet as ffmpeg tells it: dts, pts, bytes and a sum of them, by stream.
type Told = BTreeMap<u32, Vec<(i64, i64, usize, String)>>;

/// The packets of an FLV file, told by ffmpeg.
fn packets(program: &Path, file: &Path) -> Told {
    let text = run(program, "-copyts -i FILE -map 0 -c copy -f framecrc -", file).unwrap();
    let mut told = Told::new();
    for line in String::from_utf8(text).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(',').map(str::trim);
        let mut number = || words.next().unwrap().parse::<i64>().unwrap();
        let (stream, dts, pts, _duration, size) = (number(), number(), number(), number(), number());
        let sum = words.next().unwrap_or_default().to_owned();
        told.entry(stream as u32).or_default().push((dts, pts, size as usize, sum));
    }
    told
}

/// How many pictures ffmpeg decodes, all of them or key frames only; it complains about nothing.
fn decodes(program: &Path, file: &Path, which: &str) -> usize {
    let arguments = format!("{which} -i FILE -map 0 -fps_mode passthrough -f framecrc -");
    let arguments = if which.is_empty() { arguments } else { arguments.replace("-map 0", "-map 0:v") };
    let text = run(program, &arguments, file).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| line.starts_with("0,")).count()
}

struct Read {
    tracks: Vec<Arc<Track>>,
    frames: Vec<Arc<Frame>>,
    metadata: Bytes,
    ends: usize,
}

/// A stream, read in odd pieces.
fn read(bytes: &[u8]) -> Read {
    let mut demuxer = Demuxer::new(1 << 20);
    let mut read = Read { tracks: vec![], frames: vec![], metadata: Bytes::new(), ends: 0 };
    let empty = Arc::new(Setup { number: 1, epoch: 1, video: None, audio: None, metadata: Bytes::new() });
    for piece in bytes.chunks(1777) {
        demuxer.push(piece);
        while let Some(packet) = demuxer.read().unwrap() {
            match packet {
                Packet::Track(track) => read.tracks.push(track),
                Packet::Metadata(metadata) => read.metadata = metadata,
                Packet::End(_) => read.ends += 1,
                Packet::Frame { kind, key, dts, cts, data } => {
                    let at = Timestamp::from_millis(1);
                    read.frames.push(Arc::new(Frame { kind, key, dts, cts, at, data, setup: empty.clone() }));
                }
            }
        }
    }
    assert!(demuxer.is_between_tags());
    read
}

/// The same frames as viewers get them, in blocks of a few.
fn write(read: &Read) -> BytesMut {
    let of = |kind| read.tracks.iter().rfind(|track| track.codec.kind() == kind).cloned();
    let (video, audio) = (of(Kind::Video), of(Kind::Audio));
    let setup = Arc::new(Setup { number: 1, epoch: 1, video, audio, metadata: read.metadata.clone() });
    let mut bytes = BytesMut::from(&flv::head(&setup)[..]);
    for frames in read.frames.chunks(5) {
        let of_setup = |frame: &Arc<Frame>| {
            let Frame { kind, key, dts, cts, at, ref data, .. } = **frame;
            Arc::new(Frame { kind, key, dts, cts, at, data: data.clone(), setup: setup.clone() })
        };
        let block = Block::new(frames.iter().map(of_setup).collect()).unwrap();
        bytes.extend_from_slice(&flv::block(&block));
    }
    bytes
}

/// Encodes, reads what came, compares it with what ffmpeg reads, writes it, and compares again.
fn there_and_back(encoder: &str, arguments: &str, rfc6381: &[&str]) -> Option<Read> {
    let program = ffmpeg(encoder)?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.flv");
    if let Err(said) = run(&program, &format!("{arguments} -f flv FILE"), &file) {
        assert!(said.contains("compatible"), "{said}");
        println!("skipped: this ffmpeg cannot put {encoder} into FLV");
        return None;
    }
    let read = read(&fs::read(&file).unwrap());
    let mut names: Vec<_> = read.tracks.iter().map(|track| track.rfc6381.as_str()).collect();
    names.sort_unstable();
    // SVT-AV1 sends another sequence header with its frames than it has in its configuration.
    names.dedup();
    assert_eq!(names, rfc6381);
    let expected = packets(&program, &file);
    let ours = |kind: Kind| {
        let frames = read.frames.iter().filter(move |frame| frame.kind == kind);
        frames.map(|frame| (frame.dts / 1000, frame.pts() / 1000, frame.data.len())).collect::<Vec<_>>()
    };
    let video = ours(Kind::Video);
    let streams = [video, ours(Kind::Audio)].into_iter().filter(|frames| !frames.is_empty());
    for (frames, told) in streams.zip(expected.values()) {
        let told: Vec<_> = told.iter().map(|(dts, pts, size, _)| (*dts, *pts, *size)).collect();
        assert_eq!(frames, told, "{arguments}");
    }
    let again = folder.path().join("out.flv");
    fs::write(&again, write(&read)).unwrap();
    assert_eq!(packets(&program, &again), expected, "{arguments}");
    let pictures = read.frames.iter().filter(|frame| frame.kind == Kind::Video);
    let (all, keys) = (pictures.clone().count(), pictures.filter(|frame| frame.key).count());
    if all > 0 {
        assert_eq!(decodes(&program, &again, ""), all, "{arguments}");
        assert_eq!(decodes(&program, &again, "-skip_frame nokey"), keys, "{arguments}");
        assert!(keys > 1 && keys < all);
    }
    Some(read)
}

fn picture(read: &Read) -> (u32, u32) {
    let track = read.tracks.iter().find(|track| track.codec.kind() == Kind::Video).unwrap();
    match track.detail {
        Detail::Video { width, height, .. } => (width, height),
        Detail::Audio { .. } => panic!("it is a picture"),
    }
}

#[test]
fn h264_and_aac_come_in_and_go_out() {
    let arguments =
        format!("{PICTURE} {SOUND} -c:v libx264 -preset ultrafast -g 10 -pix_fmt yuv420p -c:a aac -b:a 64k");
    let Some(read) = there_and_back("libx264", &arguments, &["avc1.42c00d", "mp4a.40.2"]) else { return };
    assert_eq!(picture(&read), (322, 182));
    assert!(!codec::reorders(&read.tracks[0]) && read.ends == 1 && !read.metadata.is_empty());
}

#[test]
fn h264_with_b_frames_and_open_groups_and_mp3_come_in_and_go_out() {
    let x264 = "-c:v libx264 -preset veryfast -bf 3 -g 10 -pix_fmt yuv420p -x264-params open-gop=1";
    let arguments = format!("{PICTURE} {SOUND} {x264} -c:a libmp3lame -ar 44100 -b:a 64k");
    let Some(read) = there_and_back("libmp3lame", &arguments, &["avc1.64000d", "mp4a.40.34"]) else { return };
    assert!(read.frames.iter().any(|frame| frame.cts > 40_000) && codec::reorders(&read.tracks[0]));
}

#[test]
fn interlaced_h264_comes_in_and_goes_out() {
    let arguments = "-f lavfi -i testsrc2=size=352x288:rate=25:duration=1 -c:v libx264 -preset ultrafast \
         -pix_fmt yuv420p -flags +ildct+ilme -g 10";
    let Some(read) = there_and_back("libx264", arguments, &["avc1.4d4015"]) else { return };
    assert_eq!(picture(&read), (352, 288));
}

#[test]
fn sound_alone_comes_in_and_goes_out() {
    there_and_back("libx264", &format!("{SOUND} -c:a aac -ac 2"), &["mp4a.40.2"]);
}

#[test]
fn h265_and_opus_come_in_and_go_out() {
    let x265 =
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none:bframes=2:keyint=10";
    let arguments = format!("{PICTURE} {SOUND} {x265} -c:a libopus -b:a 64k");
    let Some(read) = there_and_back("libx265", &arguments, &["hvc1.1.6.L60.90", "opus"]) else { return };
    assert_eq!(picture(&read), (322, 182));
    let opus = read.frames.iter().find(|frame| frame.kind == Kind::Audio).unwrap();
    assert_eq!(codec::opus::samples(&opus.data), Some(960));
}

#[test]
fn av1_and_aac_come_in_and_go_out() {
    // libaom leaves its configuration empty: the first key frame has it.
    for (encoder, options) in [("libsvtav1", "-preset 12"), ("libaom-av1", "-cpu-used 8 -lag-in-frames 0")] {
        let arguments = format!("{PICTURE} {SOUND} -c:v {encoder} {options} -g 10 -pix_fmt yuv420p -c:a aac");
        let names = ["av01.0.00M.08", "mp4a.40.2"];
        let Some(read) = there_and_back(encoder, &arguments, &names) else { continue };
        assert_eq!(picture(&read), (322, 182));
    }
}

/// Seconds of the long stream.
const LONG: i64 = 3600;
/// When the publisher's connection is cut, s: it is back three seconds later, with a clock that begins anew.
const CUT: i64 = 3000;

/// What a bad publisher's clock says, µs, at this moment of its broadcast, µs.
fn bad_clock(kind: Kind, taken: i64) -> i64 {
    let second = taken / 1_000_000;
    let at = match second {
        0..600 => taken,
        600..1200 => taken + 100_000_000,
        1200..1800 => taken - 1_200_000_000,
        // 32 bits of milliseconds, and their end.
        1800..2100 => taken - 1_800_000_000 + (1 << 32) * 1000 - 150_000_000,
        2100..2400 => taken - 2_100_000_000,
        2400..2700 => taken - 2_100_500_000,
        2700..CUT => taken - 2_098_000_000,
        _ => taken - CUT * 1_000_000,
    };
    // A single frame now and then is somewhere else.
    match (kind, taken % 100_000_000) {
        (Kind::Video, 40_000_000..40_040_000) => at - 5_000_000,
        (Kind::Audio, 70_000_000..70_020_000) => at + 1_500_000,
        _ => at,
    }
}

/// The frames of a short stream again and again: their moment, and what they are of.
fn looped(read: &Read) -> Vec<(i64, Arc<Frame>)> {
    let of = |kind| read.frames.iter().filter(move |frame| frame.kind == kind).cloned().collect::<Vec<_>>();
    let (pictures, sound) = (of(Kind::Video), of(Kind::Audio));
    let pictures =
        pictures.iter().cycle().zip(0_i64..LONG * 25).map(|(frame, i)| (i * 40_000, frame.clone()));
    let sound = sound.iter().cycle().zip(0..LONG * 48_000 / 1024);
    let sound = sound.map(|(frame, i)| (i * 1_024_000 / 48, frame.clone()));
    let mut all: Vec<_> = pictures.chain(sound).collect();
    all.sort_by_key(|(taken, _)| *taken);
    all
}

/// What a viewer has at the end who was there all the time.
fn watched(read: &Read) -> BytesMut {
    let media = Media::new(Config::default(), 1);
    let start = Now { steady: Instant::now(), wall: Timestamp::from_millis(1_700_000_000_000) };
    let now = |taken: i64| {
        let by = Duration::from_micros(taken.unsigned_abs());
        Now { steady: start.steady + by, wall: start.wall.plus(by) }
    };
    let name = Name::new("live", "long").unwrap();
    let publish = |taken: i64| {
        let mut publisher = media.publish(now(taken), &name, Party::by("rtmp")).unwrap();
        for track in &read.tracks {
            publisher.push(now(taken), Packet::Track(track.clone())).unwrap();
        }
        publisher
    };
    let mut publisher = Some(publish(0));
    let mut feed = media.find(&name).unwrap().feed();
    let (mut bytes, mut setup) = (BytesMut::new(), None);
    for (number, (taken, frame)) in looped(read).into_iter().enumerate() {
        let (cut, back) = (CUT * 1_000_000, (CUT + 3) * 1_000_000);
        if (cut..back).contains(&taken) {
            publisher = None;
        } else {
            let publisher = publisher.get_or_insert_with(|| publish(taken));
            let Frame { kind, key, cts, ref data, .. } = *frame;
            let packet = Packet::Frame { kind, key, dts: bad_clock(kind, taken), cts, data: data.clone() };
            publisher.push(now(taken), packet).unwrap();
        }
        if number % 10 == 0 {
            media.maintain(now(taken));
        }
        while let Poll::Ready(fed) = feed.poll_next(&mut Context::from_waker(Waker::noop())) {
            let Fed::Block(block) = fed else { panic!("nothing is skipped or ended: {fed:?}") };
            let is_same = setup.as_ref().is_some_and(|setup| Arc::ptr_eq(setup, block.setup()));
            if bytes.is_empty() {
                bytes.extend_from_slice(&flv::head(block.setup()));
            } else if !is_same {
                bytes.extend_from_slice(&flv::headers(block.setup(), block.dts() / 1000));
            }
            setup = Some(block.setup().clone());
            bytes.extend_from_slice(&flv::block(&block));
        }
    }
    bytes
}

#[test]
fn an_hour_of_a_bad_clock_has_no_fault_for_ffmpeg() {
    let Some(program) = ffmpeg("libx264") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.flv");
    let picture = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2";
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2";
    let codecs = "-c:v libx264 -preset ultrafast -bf 2 -g 50 -pix_fmt yuv420p -crf 40 -c:a aac -b:a 16k";
    run(&program, &format!("{picture} {sound} {codecs} -f flv FILE"), &file).unwrap();
    let read = read(&fs::read(&file).unwrap());
    let long = folder.path().join("long.flv");
    fs::write(&long, watched(&read)).unwrap();
    let mut last = [0; 2];
    for (stream, told) in packets(&program, &long) {
        let mut gaps = 0;
        for pair in told.windows(2) {
            let ((before, ..), (dts, pts, ..)) = (&pair[0], &pair[1]);
            assert!(dts > before && pts >= dts, "stream {stream}: {dts} behind {before}");
            gaps += i64::from(dts - before > 200);
            assert!(dts - before < 7000, "stream {stream}: {dts} behind {before}");
        }
        // Turns, strays and the cut; nothing else.
        assert!(gaps < 60, "stream {stream}: {gaps} gaps");
        last[stream as usize] = told[told.len() - 1].0;
    }
    let [picture, sound] = last;
    assert!((picture - sound).abs() <= 80, "they end {picture} and {sound}");
    assert!((picture - LONG * 1000).abs() < 60_000, "an hour is told as {picture} ms");
}
