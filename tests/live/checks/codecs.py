"""Other codecs than H.264 and AAC: Enhanced RTMP for H.265 and AV1, as OBS sends them."""

import shutil
import struct
import subprocess
import time

from place import NotHere, Source, expect, probe, same, soon
from wire import VIDEO, Pusher, tags

BOXES = {"libx265": (b"hvcC", b"hvc1", ["-x265-params", "log-level=none:keyint=25:min-keyint=25:scenecut=0:bframes=0", "-tag:v", "hvc1"]),
         "libaom-av1": (b"av1C", b"av01", ["-cpu-used", "8", "-usage", "realtime", "-g", "25", "-lag-in-frames", "0"]),
         "libsvtav1": (b"av1C", b"av01", ["-preset", "12", "-g", "25", "-svtav1-params", "lookahead=0:pred-struct=1"])}


def boxes(data, place=0, end=None):
    end = len(data) if end is None else end
    while place + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        yield kind, place + 8, place + size
        place += size


def enhanced(encoder):
    """Tags of two seconds, from MP4 with one frame in each fragment."""
    if not shutil.which("ffmpeg") or encoder not in subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True).stdout:
        raise NotHere(f"ffmpeg has no {encoder}")
    record, fourcc, more = BOXES[encoder]
    done = subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-t", "2", "-pix_fmt", "yuv420p", "-c:v", encoder, *more, "-b:v", "150k", "-f", "mp4", "-movflags", "frag_every_frame+empty_moov+default_base_moof", "-"],
                          capture_output=True, timeout=90)
    expect(done.returncode == 0, lambda: done.stderr.decode()[-300:])
    data = done.stdout
    at = data.index(record)
    size = struct.unpack_from(">I", data, at - 4)[0]
    found = [(VIDEO, 0, b"\x90" + fourcc + data[at + 4:at - 4 + size])]
    samples = [data[begin:end] for kind, begin, end in boxes(data) if kind == b"mdat"]
    for number, sample in enumerate(sample for sample in samples if sample):
        key = number % 25 == 0
        found.append((VIDEO, number * 40, bytes([0x80 | (0x10 if key else 0x20) | (3 if fourcc == b"hvc1" else 1)]) + fourcc + sample))
    return Source(found, 2000)


def played(servers, encoder, codec, name):
    source = enhanced(encoder)
    server = servers.shared()
    pusher = Pusher(server.rtmp, name, source)
    try:
        soon(lambda: "#EXTINF" in server.get(f"/live/{name}/video.m3u8").text, lambda: f"no segment: {server.get(f'/live/{name}/video.m3u8').text[-200:]} {server.view(name)}", 12)
        master = server.get(f"/live/{name}.m3u8").text
        expect(codec in master, f"CODECS: {master}")
        for file in (f"{name}.m3u8", f"{name}.mpd"):
            soon(lambda: server.get(f"/live/{file}").status == 200, f"{file} is not there")
            code, found, said = probe(f"{server.base}/live/{file}", seconds=30)
            same((code, [(one["codec_name"], one["width"]) for one in found.get("streams", [])]), (0, [("hevc" if encoder == "libx265" else "av1", 160)]), f"{file}: {said}")
        want = [body for _, _, body in source.tags]
        got = [body for kind, _, body in tags(server.flv(f"/live/{name}.flv", 1.5).body) if kind == VIDEO]
        expect(len(got) > 20, f"{len(got)} pictures by FLV")
        fourcc = want[0][1:5]
        same([body[1:5] == fourcc and body[0] & 0x80 for body in got].count(0x80), len(got), "pictures by FLV that are Enhanced RTMP's")
        time.sleep(0.1)
        expect(server.get(f"/live/{name}.ts.m3u8").status in ((200,) if encoder == "libx265" else (404, 406, 415)), f"TS was answered {server.get(f'/live/{name}.ts.m3u8').status}")
    finally:
        pusher.stop()


def rule_H265_by_enhanced_RTMP_is_played(servers):
    played(servers, "libx265", "hvc1.", "hevc")


def rule_AV1_by_enhanced_RTMP_is_played(servers):
    try:
        played(servers, "libsvtav1", "av01.", "av1")
    except NotHere:
        played(servers, "libaom-av1", "av01.", "av1")
