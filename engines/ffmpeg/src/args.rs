//! What ffmpeg is told. Pure: the same wishes give the same arguments.

/// What comes on its input pipe, or is made on its output pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// FLV: H.264 with AAC or MP3.
    Flv,
    /// Fragmented MP4: every codec that we know.
    Mp4,
}

impl Container {
    const fn name(self) -> &'static str {
        match self {
            Self::Flv => "flv",
            Self::Mp4 => "mp4",
        }
    }
}

/// What becomes of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// It goes through as it is.
    Copy,
    /// It is made AAC of so many bits a second.
    Aac(u32),
}

/// One rung of a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Bits of picture a second.
    pub video_bits: u32,
    /// Frames a second at most: others are left out. `None`: as many as the source.
    pub frames_max: Option<u32>,
    /// ffmpeg's name of the encoder: `libx264`, `h264_nvenc`, `h264_qsv`.
    pub encoder: String,
    /// The encoder's preset; empty: its own choice.
    pub preset: String,
    /// Frames that the encoder may look ahead: better pictures, and each delays the rung by one frame.
    pub look_ahead: u32,
    /// Threads of the encoder; 0: its own choice.
    pub threads: u32,
    /// The sound.
    pub sound: Sound,
}

/// Said to every ffmpeg: no questions, no banner, what goes wrong on its error output, and once a second how far it is.
const HEAD: [&str; 10] = [
    "-hide_banner",
    "-nostdin",
    "-nostats",
    "-loglevel",
    "warning",
    "-progress",
    "pipe:2",
    "-stats_period",
    "1",
    "-y",
];

/// A live input on the input pipe. It is believed from its first bytes on: looking at more of it would delay the first
/// picture by as much.
fn live_input(args: &mut Vec<String>, container: Container) {
    extend(args, &["-probesize", "4096", "-analyzeduration", "0", "-fpsprobesize", "0"]);
    extend(args, &["-f", container.name(), "-i", "pipe:0"]);
}

/// One rung of a ladder: the source on the input pipe, FLV of H.264 on the output pipe.
///
/// Timestamps are the source's, and every key frame lies where the source has one and nowhere else. So rungs fit to
/// each other and to the source whenever they were started, and each can be a process of its own: one that dies or is
/// given up takes no other with it, and nobody pays for a rung that nobody watches.
#[must_use]
pub fn rung(input: Container, rung: &Rung) -> Vec<String> {
    let mut args = head();
    // One thread decodes: more of them would each hold back a frame.
    extend(&mut args, &["-threads", "1", "-copyts"]);
    live_input(&mut args, input);
    extend(&mut args, &["-map", "0:v:0", "-map", "0:a:0?"]);
    let frames = rung.frames_max.map(|max| {
        format!(
            "select='isnan(prev_selected_t)+gte(t-prev_selected_t,{:.6})+key',",
            0.9 / f64::from(max.max(1))
        )
    });
    args.push("-vf".into());
    args.push(format!("{}scale={}:{},format=yuv420p", frames.unwrap_or_default(), rung.width, rung.height));
    extend(&mut args, &["-fps_mode", "passthrough", "-c:v"]);
    args.push(rung.encoder.clone());
    if !rung.preset.is_empty() {
        args.extend(["-preset".into(), rung.preset.clone()]);
    }
    if rung.look_ahead == 0 && rung.encoder == "libx264" {
        extend(&mut args, &["-tune", "zerolatency"]);
    } else {
        args.extend(["-rc-lookahead".into(), rung.look_ahead.to_string()]);
    }
    if rung.threads > 0 {
        args.extend(["-threads:v".into(), rung.threads.to_string()]);
    }
    let bits = rung.video_bits.to_string();
    args.extend(["-b:v".into(), bits.clone(), "-maxrate".into(), bits.clone(), "-bufsize".into(), bits]);
    extend(&mut args, &["-bf", "0", "-g", "99999", "-sc_threshold", "0"]);
    extend(&mut args, &["-force_key_frames", "source", "-forced-idr", "1"]);
    sound(&mut args, rung.sound);
    flv_output(&mut args);
    args
}

/// One JPEG on the output pipe, of the first picture on the input pipe; its longer side is at most `side_max` pixels.
#[must_use]
pub fn snapshot(input: Container, side_max: u32) -> Vec<String> {
    let mut args = head();
    extend(&mut args, &["-threads", "1", "-f", input.name(), "-i", "pipe:0", "-map", "0:v:0", "-vf"]);
    args.push(format!(
        "scale='if(gte(iw,ih),min({side_max},iw),-2)':'if(gte(iw,ih),-2,min({side_max},ih))',format=yuvj420p"
    ));
    extend(&mut args, &["-frames:v", "1", "-c:v", "mjpeg", "-q:v", "5", "-f", "image2pipe", "pipe:1"]);
    args
}

/// The address is not one that ffmpeg may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an HLS address begins with http:// or https:// and has no blanks")]
pub struct BadAddress;

/// What is fetched by HLS, as FLV on the output pipe, at the speed of its timestamps.
///
/// Only HTTP is spoken: a playlist from outside cannot make ffmpeg read this machine's files.
///
/// # Errors
/// The address is not one of HTTP.
pub fn pull_hls(url: &str) -> Result<Vec<String>, BadAddress> {
    check(url)?;
    let mut args = head();
    extend(&mut args, &["-protocol_whitelist", "http,https,tcp,tls,crypto,httpproxy"]);
    extend(&mut args, &["-rw_timeout", "15000000", "-re", "-i", url]);
    extend(&mut args, &["-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy"]);
    flv_output(&mut args);
    Ok(args)
}

/// What is on the input pipe, sent as HLS by PUT: segments of `segment_seconds` and a playlist at `url`. Segments are
/// numbered by the clock, so that a child that is started again writes over nothing.
///
/// # Errors
/// The address is not one of HTTP.
pub fn push_hls(input: Container, url: &str, segment_seconds: u32) -> Result<Vec<String>, BadAddress> {
    check(url)?;
    let mut args = head();
    live_input(&mut args, input);
    extend(&mut args, &["-map", "0", "-c", "copy", "-f", "hls", "-method", "PUT"]);
    args.extend(["-hls_time".into(), segment_seconds.max(1).to_string()]);
    extend(&mut args, &["-hls_list_size", "6", "-hls_flags", "program_date_time+discont_start"]);
    extend(&mut args, &["-hls_start_number_source", "epoch"]);
    if input == Container::Mp4 {
        extend(&mut args, &["-hls_segment_type", "fmp4"]);
    }
    extend(&mut args, &["-timeout", "15", url]);
    Ok(args)
}

fn check(url: &str) -> Result<(), BadAddress> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or(BadAddress)?;
    if rest.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(BadAddress);
    }
    Ok(())
}

fn sound(args: &mut Vec<String>, sound: Sound) {
    match sound {
        Sound::Copy => extend(args, &["-c:a", "copy"]),
        Sound::Aac(bits) => {
            extend(args, &["-c:a", "aac", "-b:a"]);
            args.push(bits.to_string());
        }
    }
}

fn flv_output(args: &mut Vec<String>) {
    extend(args, &["-flvflags", "no_duration_filesize", "-flush_packets", "1", "-f", "flv", "pipe:1"]);
}

fn head() -> Vec<String> {
    HEAD.map(str::to_owned).to_vec()
}

fn extend(args: &mut Vec<String>, more: &[&str]) {
    args.extend(more.iter().map(|&word| word.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_rung() -> Rung {
        Rung {
            width: 1280,
            height: 720,
            video_bits: 2_000_000,
            frames_max: None,
            encoder: "libx264".into(),
            preset: "veryfast".into(),
            look_ahead: 0,
            threads: 2,
            sound: Sound::Copy,
        }
    }

    fn has(args: &[String], words: &[&str]) -> bool {
        args.windows(words.len()).any(|window| window == words)
    }

    #[test]
    fn a_rung_keeps_the_clock_and_the_key_frames_of_its_source() {
        let args = rung(Container::Flv, &a_rung());
        assert!(has(&args, &["-f", "flv", "-i", "pipe:0"]) && has(&args, &["-f", "flv", "pipe:1"]));
        assert!(args.contains(&"-copyts".to_owned()));
        for words in [
            &["-force_key_frames", "source"][..],
            &["-fps_mode", "passthrough"],
            &["-bf", "0"],
            &["-vf", "scale=1280:720,format=yuv420p"],
            &["-b:v", "2000000", "-maxrate", "2000000"],
            &["-tune", "zerolatency"],
            &["-c:a", "copy"],
            &["-threads:v", "2"],
        ] {
            assert!(has(&args, words), "{words:?} in {args:?}");
        }
    }

    #[test]
    fn a_rung_says_what_it_is_asked_to() {
        let wish = Rung {
            frames_max: Some(30),
            encoder: "h264_nvenc".into(),
            preset: String::new(),
            look_ahead: 20,
            threads: 0,
            sound: Sound::Aac(96_000),
            ..a_rung()
        };
        let args = rung(Container::Mp4, &wish);
        assert!(has(&args, &["-f", "mp4", "-i", "pipe:0"]));
        assert!(has(&args, &["-c:v", "h264_nvenc", "-rc-lookahead", "20"]));
        assert!(has(&args, &["-c:a", "aac", "-b:a", "96000"]));
        assert!(!args.contains(&"-tune".to_owned()) && !args.contains(&"-preset".to_owned()));
        assert!(args.iter().any(|arg| arg.contains("gte(t-prev_selected_t,0.030000)")));
    }

    #[test]
    fn addresses_that_are_not_http_are_refused() {
        for bad in [
            "",
            "file:///etc/passwd",
            "-i",
            "https://",
            "http://a b",
            "rtmp://x/y",
            "https://x/\n",
            "concat:x",
        ] {
            assert_eq!(pull_hls(bad), Err(BadAddress), "{bad}");
            assert_eq!(push_hls(Container::Flv, bad, 2), Err(BadAddress), "{bad}");
        }
        let args = pull_hls("https://example.com/live/x.m3u8?token=1").unwrap();
        assert!(has(&args, &["-re", "-i", "https://example.com/live/x.m3u8?token=1"]));
        assert!(args.iter().any(|arg| !arg.contains("file") && arg.contains("crypto")));
        let args = push_hls(Container::Mp4, "http://cdn/x/live.m3u8", 0).unwrap();
        assert!(has(&args, &["-hls_segment_type", "fmp4"]) && has(&args, &["-hls_time", "1"]));
        assert_eq!(args.last().unwrap(), "http://cdn/x/live.m3u8");
    }

    #[test]
    fn a_snapshot_is_one_picture() {
        let args = snapshot(Container::Flv, 640);
        assert!(has(&args, &["-frames:v", "1"]) && has(&args, &["-f", "image2pipe", "pipe:1"]));
    }
}
