"""HLS, Low-Latency HLS and DASH by RFC 8216bis, ISO/IEC 23009-1, and HTTP."""

import gzip
import re
import threading
import time

from place import NotHere, expect, media, probe, same, soon
from playlist import Media, attributes, mpd
from wire import Pusher


class Show:
    """A broadcast that is on air while a rule looks at it."""

    def __init__(self, servers, name, source=None, config="", **more):
        self.server, self.name = servers.shared(config), name
        self.pusher = Pusher(self.server.rtmp, name, source or media(), **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pusher.stop()

    def get(self, file, **more):
        return self.server.get(f"/live/{self.name}/{file}", **more)

    def media(self, file="video.m3u8", segments=0):
        """The playlist, once it has so many segments."""
        def ask():
            found = self.get(file)
            if found.status != 200:
                return None
            got = Media(found.text)
            return got if len(got.segments) >= segments else None
        return soon(ask, lambda: f"{file} has no {segments} segments: {self.get(file).status} {self.get(file).body[-300:]}", 8 + 3 * segments)


def rule_playlists_keep_the_rules_over_time(servers):
    with Show(servers, "steady") as show:
        before, end = {}, time.monotonic() + 16
        hinted = set()
        for file in ("video.m3u8", "audio.m3u8", "ts.m3u8"):
            show.media(file, 1)
        while time.monotonic() < end:
            for file in ("video.m3u8", "audio.m3u8", "ts.m3u8"):
                found = show.get(file)
                same(found.status, 200, file)
                now = Media(found.text).check()
                if file in before:
                    now.follows(before[file])
                before[file] = now
            time.sleep(0.13)
        for file, now in before.items():
            expect(len(now.segments) >= 5, f"{file} has only {len(now.segments)} segments after 16 s")
            expect(sum(segment.duration for segment in now.segments) >= 3 * now.target, f"{file} is shorter than three target durations (6.2.2)")
            for segment in now.segments[:-4]:
                expect(not segment.parts, f"{file}: parts of a segment more than three target durations from the end (4.4.4.9)")
        video, audio = before["video.m3u8"], before["audio.m3u8"]
        same([round(one.date.timestamp(), 1) for one in video.segments if one.number >= audio.sequence][:3], [round(one.date.timestamp(), 1) for one in audio.segments if one.number >= video.sequence][:3], "dates of picture and sound")


def rule_a_blocking_reload_answers_when_the_part_is_there_and_not_before(servers):
    with Show(servers, "blocking") as show:
        now, late = show.media(segments=1), []
        for _ in range(25):
            number, part = now.newest
            full = now.open.parts == []
            wanted = (number + 1, 0) if full else (number, part + 1)
            found = show.get(f"video.m3u8?_HLS_msn={wanted[0]}&_HLS_part={wanted[1]}")
            same(found.status, 200, f"asking for {wanted}")
            after = Media(found.text).check().follows(now)
            expect(after.newest >= wanted, f"asked for {wanted}, answered with {after.newest}: too early (6.2.5.2)")
            late.append(found.took)
            now = after
        expect(max(late) < 1.0, f"a part of 0.2 s came after {max(late):.2f} s")
        expect(2.5 < sum(late) < 8, f"25 parts of 0.2 s took {sum(late):.1f} s")
        number = now.newest[0]
        found = show.get(f"video.m3u8?_HLS_msn={number + 1}")
        same(found.status, 200, "asking for a whole segment")
        expect(Media(found.text).segments[-1].number >= number + 1, f"asked for segment {number + 1}, answered with {Media(found.text).segments[-1].number}")
        began = time.monotonic()
        same(show.get(f"video.m3u8?_HLS_msn={number - 1}").status, 200, "asking for what is there")
        expect(time.monotonic() - began < 0.5, "it was not answered at once")


def rule_a_part_beyond_the_last_of_its_segment_is_the_first_of_the_next(servers):
    with Show(servers, "beyond") as show:
        now = show.media(segments=1)
        number = now.newest[0]
        found = show.get(f"video.m3u8?_HLS_msn={number}&_HLS_part=40")
        expect(found.status in (200, 400), f"it was answered {found.status}")
        if found.status == 200:
            expect(Media(found.text).newest >= (number + 1, 0), f"asked for part 40 of {number}, answered with {Media(found.text).newest}")


def rule_what_lies_far_in_the_future_or_is_garbage_is_refused(servers):
    with Show(servers, "garbage") as show:
        number = show.media(segments=1).newest[0]
        for query in (f"_HLS_msn={number + 3}", f"_HLS_msn={number + 100}", "_HLS_msn=18446744073709551615", "_HLS_msn=99999999999999999999999", "_HLS_msn=-1", "_HLS_msn=abc", "_HLS_msn=", "_HLS_part=3", f"_HLS_msn={number}&_HLS_part=-1",
                      f"_HLS_msn={number}&_HLS_part=4294967296", "_HLS_msn=1e9", "_HLS_msn=%00", "_HLS_msn=0x10"):
            for file in ("video.m3u8", "audio.m3u8"):
                found = show.get(f"{file}?{query}")
                expect(found.status == 400 or (found.status == 200 and query == "_HLS_msn="), f"{query} was answered {found.status} after {found.took:.1f} s")
        for query in ("_HLS_skip=MAYBE", "_HLS_skip=", "x=" + "y" * 5000, "%%%", "&&&=&", "token=%ff", "_HLS_msn=1&_HLS_msn=2"):
            expect(show.get(f"video.m3u8?{query}").status < 500, f"{query[:30]} was answered {show.get(f'video.m3u8?{query}').status}")
        for file in ("nothing.m3u8", "x.m4s", "v.m4s", f"{'9' * 50}.m4s", "e-v1.0.m4s", "..m4s", "~", "index.html"):
            found = show.get(file)
            expect(found.status in (400, 404), f"{file} was answered {found.status}")
        hint = show.media().hint["URI"]
        for other in (re.sub(r"(\d+)\.(\d+)\.m4s", lambda found: f"{int(found[1]) + 50}.{found[2]}.m4s", hint), re.sub(r"(\d+)\.(\d+)\.m4s", r"\1.4294967297.m4s", hint)):
            found = show.get(other)
            expect(found.status == 404 or found.status == 400, f"a part far in the future was answered {found.status} after {found.took:.1f} s")


def rule_a_delta_update_is_the_full_playlist_without_the_skipped(servers):
    config = "[hls]\ntime_shift = \"60s\"\nsegment = \"1s\"\n"
    with Show(servers, "delta", config=config) as show:
        soon(lambda: len(show.media().segments) > 14, "no 14 segments", 25)
        for file in ("video.m3u8", "audio.m3u8"):
            for _ in range(5):
                full, delta, again = (Media(show.get(f"{file}{query}").text) for query in ("", "?_HLS_skip=YES", ""))
                if full.newest == again.newest:
                    break
            delta.check()
            expect(delta.skipped > 0, f"{file}: nothing was skipped of {len(full.segments)} segments")
            same(delta.sequence, full.sequence, "EXT-X-MEDIA-SEQUENCE of the delta")
            same([one.facts[:2] + one.facts[3:] for one in delta.segments], [one.facts[:2] + one.facts[3:] for one in full.segments[delta.skipped:]], "segments of the delta")
            same(delta.open.parts, full.open.parts, "parts of the delta")
            kept = sum(one.duration for one in full.segments[delta.skipped:])
            expect(kept >= float(full.control["CAN-SKIP-UNTIL"]) - full.target, f"only {kept} s were kept, CAN-SKIP-UNTIL is {full.control['CAN-SKIP-UNTIL']} (6.2.5.1)")


def rule_rendition_reports_name_the_newest_part_of_the_other(servers):
    with Show(servers, "reports") as show:
        for _ in range(15):
            video = show.media("video.m3u8", 1)
            audio = Media(show.get("audio.m3u8").text)
            again = show.media("video.m3u8", 1)
            if video.newest != again.newest:
                continue
            report = next(iter(video.reports.values()))
            same((int(report["LAST-MSN"]), int(report["LAST-PART"])), audio.newest, "the report on the sound")
            return
        raise AssertionError("the playlist never stood still for two requests")


def rule_the_master_playlist_leads_to_all(servers):
    with Show(servers, "master") as show:
        show.media(segments=1)
        found = show.server.get("/live/master.m3u8")
        same(found.status, 200, "the master")
        streams = re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.*)", found.text)
        expect(streams, found.text)
        for line, uri in streams:
            has = attributes(line)
            expect(int(has["BANDWIDTH"]) > 0 and "CODECS" in has and has.get("RESOLUTION") == "160x120", f"EXT-X-STREAM-INF:{line}")
            expect("avc1." in has["CODECS"] and "mp4a.40.2" in has["CODECS"], has["CODECS"])
            same(show.server.get("/live/" + uri).status, 200, uri)
            if "AUDIO" in has:
                groups = [attributes(one) for one in re.findall(r"#EXT-X-MEDIA:(.*)", found.text)]
                group = next(one for one in groups if one["GROUP-ID"] == has["AUDIO"])
                same(show.server.get("/live/" + group["URI"]).status, 200, group["URI"])
        same(show.server.get("/live/master.ts.m3u8").status, 200, "the master of TS")


def rule_segments_are_their_parts_and_never_change(servers):
    with Show(servers, "bytes") as show:
        now = show.media(segments=2)
        for file in ("video.m3u8", "audio.m3u8"):
            now = show.media(file, 2)
            segment = next(one for one in reversed(now.segments) if one.parts)
            whole = show.get(segment.uri)
            same(whole.status, 200, segment.uri)
            parts = [show.get(part[0]) for part in segment.parts]
            expect(b"".join(part.body for part in parts) == whole.body, "the parts' bytes are not the segment's")
            time.sleep(0.5)
            again = show.get(segment.uri)
            expect(again.body == whole.body and again["etag"] == whole["etag"], "the segment has changed")
            expect(whole.body[4:8] in (b"styp", b"moof", b"sidx", b"prft", b"emsg"), f"it begins with {whole.body[4:8]}")
            same(show.get(segment.map).body[4:8], b"ftyp", "the map")
        ts = show.media("ts.m3u8", 1)
        body = show.get(ts.segments[-1].uri).body
        expect(len(body) % 188 == 0 and all(body[place] == 0x47 for place in range(0, len(body), 188)), "TS packets have 188 bytes and begin with 0x47")


def rule_a_hinted_part_can_be_asked_for_before_it_is_there(servers):
    with Show(servers, "hinted") as show:
        show.media(segments=1)
        for _ in range(6):
            now = show.media()
            found = show.get(now.hint["URI"])
            same(found.status, 200, f"the hinted part {now.hint['URI']}")
            expect(found.took < 1.2 and found.body[4:8] in (b"moof", b"styp", b"prft"), f"{found.took:.2f} s, {found.body[:12]!r}")
            after = show.media()
            expect(now.hint["URI"] in [part[0] for one in [*after.segments, after.open] for part in one.parts], "the part is not in the playlist behind it")


def rule_http_is_as_players_and_caches_want_it(servers):
    with Show(servers, "cache") as show:
        now = show.media(segments=1)
        segment, playlist = show.get(now.segments[0].uri), show.get("video.m3u8")
        size = len(segment.body)
        for found, kind in ((segment, "video/mp4"), (playlist, "application/vnd.apple.mpegurl"), (show.get(show.media("ts.m3u8", 1).segments[0].uri), "video/mp2t"), (show.server.get("/live/cache.mpd"), "application/dash+xml")):
            expect((found["content-type"] or "").lower().startswith(kind), f"content-type {found['content-type']} in place of {kind}")
            expect(found["access-control-allow-origin"] in ("*",), f"{kind}: access-control-allow-origin is {found['access-control-allow-origin']}")
            expect(found["cache-control"], f"{kind}: no cache-control")
        expect("max-age=3600" in segment["cache-control"], f"a segment's cache-control is {segment['cache-control']}")
        expect("set-cookie" not in segment.headers, "a segment sets a cookie, so that no cache keeps it")
        path = now.segments[0].uri
        for said, status, body in (("bytes=0-9", 206, segment.body[:10]), ("bytes=10-", 206, segment.body[10:]), ("bytes=-7", 206, segment.body[-7:]), (f"bytes={size - 1}-{size + 50}", 206, segment.body[-1:]), (f"bytes={size}-", 416, None),
                                   ("bytes=9-3", 200, segment.body), ("bytes=a-b", 200, segment.body), ("lines=1-2", 200, segment.body), (f"bytes=-{size * 2}", 206, segment.body)):
            found = show.get(path, headers={"range": said})
            expect(found.status == status or (status == 200 and found.status in (416, 400)), f"range {said}: {found.status} in place of {status}")
            if body is not None and found.status == status:
                expect(found.body == body, f"range {said}: {len(found.body)} bytes, not {len(body)}")
            if found.status == 206:
                expect(re.fullmatch(rf"bytes \d+-\d+/{size}", found["content-range"] or ""), f"content-range: {found['content-range']}")
            if found.status == 416:
                same(found["content-range"], f"bytes */{size}", "content-range of a 416")
        head = show.get(path, method="HEAD")
        same((head.status, head.body, head["content-length"], head["etag"]), (200, b"", str(size), segment["etag"]), "HEAD of a segment")
        same(show.get("video.m3u8", method="HEAD").status, 200, "HEAD of a playlist")
        same(show.get(path, headers={"if-none-match": segment["etag"]}).status, 304, "a segment by if-none-match")
        same(show.get(path, headers={"if-none-match": '"other"'}).status, 200, "a segment by another etag")
        if segment["last-modified"]:
            same(show.get(path, headers={"if-modified-since": segment["last-modified"]}).status, 304, "a segment by if-modified-since")
        packed = show.get("video.m3u8", headers={"accept-encoding": "gzip, br"})
        same(packed["content-encoding"], "gzip", "content-encoding")
        expect("accept-encoding" in (packed["vary"] or "").lower(), "no vary: accept-encoding")
        Media(gzip.decompress(packed.body).decode()).check()
        expect(show.get("video.m3u8", headers={"accept-encoding": "gzip;q=0"})["content-encoding"] is None, "gzip;q=0 was answered with gzip")
        plain = show.get("video.m3u8")
        found = show.get("video.m3u8", headers={"if-none-match": plain["etag"]})
        expect(found.status == 304 or found["etag"] != plain["etag"], "a playlist by if-none-match")
        options = show.get("video.m3u8", method="OPTIONS", headers={"origin": "https://elsewhere.example", "access-control-request-method": "GET", "access-control-request-headers": "range"})
        expect(options.status in (200, 204) and options["access-control-allow-origin"], f"OPTIONS: {options.status}")
        for method in ("POST", "PUT", "DELETE"):
            found = show.get("video.m3u8", method=method, body=b"")
            expect(found.status in (404, 405), f"{method} was answered {found.status}")


def rule_a_change_of_size_is_a_discontinuity_with_a_map_of_its_own(servers):
    with Show(servers, "changed", media(seconds=2)) as show:
        first = show.media(segments=1)
        show.pusher.swap(media(size="320x240", seconds=2))
        now = soon(lambda: (lambda found: found if any(one.discontinuity for one in found.segments) else None)(show.media()), lambda: f"no discontinuity: {show.media().text[-600:]}", 10).check().follows(first)
        at = next(place for place, one in enumerate(now.segments) if one.discontinuity)
        expect(at == 0 or now.segments[at].map != now.segments[at - 1].map, "the map is the same as before")
        bodies = {show.get(one.map).body for one in now.segments}
        expect(len(bodies) == 2 or at == 0, "the two maps have the same bytes")
        ts = soon(lambda: (lambda found: found if any(one.discontinuity for one in found.segments) else None)(show.media("ts.m3u8")), "no discontinuity in the TS playlist", 10)
        ts.check()
        audio = show.media("audio.m3u8").check()
        expect([one.number for one in audio.segments if one.discontinuity] == [one.number for one in now.segments if one.discontinuity], "discontinuities of sound and picture are not at the same segments")
        same(audio.discontinuities, show.media().discontinuities, "EXT-X-DISCONTINUITY-SEQUENCE of sound and picture")


def rule_the_end_is_told_to_all_who_wait(servers):
    with Show(servers, "over") as show:
        now = show.media(segments=1)
        waiting, found = [], []
        for number in range(40):
            query = f"?_HLS_msn={now.newest[0] + 1}" if number % 2 else f"?_HLS_msn={now.newest[0] + 1}&_HLS_part=3"
            waiting.append(threading.Thread(target=lambda query=query: found.append(show.get("video.m3u8" + query)), daemon=True))
            waiting[-1].start()
        show.pusher.stop()
        for one in waiting:
            one.join(8)
        same(len(found), 40, "how many of 40 waiting requests were answered")
        expect(all(one.status in (200, 404) for one in found), str({one.status for one in found}))
        last = soon(lambda: (lambda reply: Media(reply.text) if reply.status == 200 and "ENDLIST" in reply.text else None)(show.get("video.m3u8")), lambda: f"no EXT-X-ENDLIST: {show.get('video.m3u8').body[-300:]}", 5).check()
        expect(last.hint is None, "a hint behind the end")
        same(show.get(last.segments[-1].uri).status, 200, "the last segment")
        ts = show.get("ts.m3u8")
        expect(ts.status == 404 or "ENDLIST" in ts.text, "the TS playlist has no end")


def rule_a_name_that_is_on_air_again_after_its_end_has_a_live_playlist(servers):
    with Show(servers, "again") as show:
        before = show.media(segments=1)
    server = show.server
    soon(lambda: "ENDLIST" in server.get("/live/again/video.m3u8").text, "no end")
    with Show(servers, "again", media(size="320x240")) as show:
        soon(lambda: server.view("again"), "not on air")
        found = soon(lambda: (lambda reply: reply if reply.status == 200 else None)(show.get("video.m3u8")), "no playlist")
        now = Media(found.text).check()
        expect(not now.ended, "the first playlist of the new broadcast has EXT-X-ENDLIST")
        now = show.media(segments=1).check()
        expect(now.sequence >= before.sequence, f"EXT-X-MEDIA-SEQUENCE went back from {before.sequence} to {now.sequence}")
        expect(now.segments[0].uri not in [one.uri for one in before.segments], "a segment has the name of an older one")
        same(show.server.get("/live/again.m3u8").text.count("320x240"), 1, "the size in the master")


def rule_pictures_at_uneven_times_make_parts_that_keep_to_PART_TARGET(servers):
    even = media()
    import random
    rng, late, tags = random.Random(3), 0, []
    from place import Source
    for kind, stamp, body in even.tags:
        if kind == 9 and rng.random() < 0.1:
            late += rng.choice((40, 80, 150))
        tags.append((kind, stamp + late, body))
    with Show(servers, "uneven", Source(tags, even.length + late)) as show:
        before, end = None, time.monotonic() + 9
        while time.monotonic() < end:
            found = show.get("video.m3u8")
            if found.status == 200:
                now = Media(found.text)
                for segment in [*now.segments, now.open]:
                    for uri, duration, _ in segment.parts:
                        expect(duration <= now.part_target + 1e-6, f"a part of {duration} s, PART-TARGET is {now.part_target} (4.4.3.7)")
                before = now
            time.sleep(0.2)
        expect(before, "no playlist")


def rule_ffmpeg_plays_every_form_without_a_word(servers):
    with Show(servers, "played") as show:
        show.media(segments=2)
        show.media("ts.m3u8", 2)
        soon(lambda: show.server.get("/live/played.mpd").text.count("<S ") >= 1, "no MPD")
        problems, threads = {}, []

        def play(file, *more):
            code, _, said = probe(f"{show.server.base}/live/{file}", "-t", "3", *more, decode=True, seconds=40)
            lines = [line for line in said.splitlines() if line.strip() and "deprecated" not in line and "keepalive" not in line and "HTTP error 404" not in line]
            if code or lines:
                problems[file] = (code, lines[:3])
        for file in ("played.m3u8", "played.ts.m3u8", "played.mpd", "played.flv"):
            threads.append(threading.Thread(target=play, args=(file,)))
            threads[-1].start()
        for one in threads:
            one.join()
        expect(not problems, str(problems))


def rule_the_timeline_of_the_mpd_goes_on_and_can_be_fetched(servers):
    with Show(servers, "dash") as show:
        soon(lambda: show.server.get("/live/dash.mpd").status == 200 and "<S " in show.server.get("/live/dash.mpd").text, "no MPD", 10)
        known, starts, published = {}, set(), ""
        end = time.monotonic() + 7
        while time.monotonic() < end:
            root, periods = mpd(show.server.get("/live/dash.mpd").text)
            starts.add(root.get("availabilityStartTime"))
            expect(root.get("publishTime") >= published, "publishTime goes back")
            published = root.get("publishTime")
            for identity, _, representations in periods:
                for representation, (init, segments, scale) in representations.items():
                    for url, at, duration in segments:
                        before = known.setdefault((identity, representation, url), (at, duration))
                        same((at, duration), before, f"{url} in the timeline")
            time.sleep(0.4)
        expect(len(starts) == 1, f"availabilityStartTime changes: {starts}")
        for representation, (init, segments, scale) in periods[-1][2].items():
            same(show.server.get("/live/" + init).status, 200, init)
            for url, at, duration in segments:
                same(show.server.get("/live/" + url).status, 200, url)
        clock = root.find("{urn:mpeg:dash:schema:mpd:2011}UTCTiming")
        if clock is not None and "http" in clock.get("schemeIdUri"):
            same(show.server.get("/live/" + clock.get("value")).status, 200, clock.get("value"))


def rule_sound_alone_and_picture_alone_are_played(servers):
    for name, source in (("soundonly", media(picture=False)), ("silent", media(sound=False))):
        with Show(servers, name, source) as show:
            file = "audio.m3u8" if name == "soundonly" else "video.m3u8"
            now = show.media(file, 2).check()
            expect(not now.reports, f"{name}: reports on what is not there: {now.reports}")
            other = show.get("video.m3u8" if name == "soundonly" else "audio.m3u8")
            expect(other.status == 404, f"{name}: the other playlist was answered {other.status}")
            code, found, said = probe(f"{show.server.base}/live/{name}.m3u8", seconds=30)
            same((code, [one["codec_type"] for one in found.get("streams", [])]), (0, ["audio" if name == "soundonly" else "video"]), f"{name}: {said}")
            code, found, said = probe(f"{show.server.base}/live/{name}.ts.m3u8", seconds=30)
            same(code, 0, f"{name} as TS: {said}")


def rule_key_frames_far_apart_make_long_segments_with_a_target_that_holds(servers):
    with Show(servers, "longgop", media(gop=75, seconds=3)) as show:
        before, end = None, time.monotonic() + 14
        while time.monotonic() < end:
            found = show.get("video.m3u8")
            if found.status == 200:
                now = Media(found.text).check()
                if before:
                    now.follows(before)
                before = now
            time.sleep(0.25)
        expect(before and len(before.segments) > 1, "no segments")


def rule_key_frames_that_come_less_often_later_raise_the_target_once_and_no_more(servers):
    # 4.4.3.1 wants EXT-X-TARGETDURATION to stay. Here it rises in place of segments that begin without a key frame: it
    # must then hold for all that is listed, and never fall.
    with Show(servers, "sparser", media(gop=50, seconds=2)) as show:
        before = show.media(segments=1)
        show.pusher.swap(media(gop=150, seconds=6))
        seen, end = {before.target}, time.monotonic() + 15
        while time.monotonic() < end:
            found = show.get("video.m3u8")
            same(found.status, 200, "the playlist")
            now = Media(found.text).check()
            expect(now.target >= before.target, "EXT-X-TARGETDURATION falls")
            seen.add(now.target)
            before.target = now.target
            before = now.follows(before)
            time.sleep(0.25)
        expect(len(seen) <= 2, f"EXT-X-TARGETDURATION rises again and again: {sorted(seen)}")


def rule_a_viewer_is_counted_by_its_session_and_goes(servers):
    with Show(servers, "counted") as show:
        show.media(segments=1)
        found = show.server.get("/live/counted.m3u8")
        cookie = (found["set-cookie"] or "").split(";")[0]
        if not cookie:
            raise NotHere("no session cookie")
        for _ in range(3):
            show.get("video.m3u8", headers={"cookie": cookie})
        views = show.server.ask("viewers", app="live", name="counted").json
        expect(len(str(views)) > 10, f"nobody is counted: {views}")


def rule_after_a_reconnect_every_form_plays_on_and_the_MPD_has_a_period_more(servers):
    server = servers.shared()
    first = Pusher(server.rtmp, "rejoined", media())
    second = None
    try:
        for file in ("video.m3u8", "ts.m3u8"):
            soon(lambda: "#EXTINF" in server.get(f"/live/rejoined/{file}").text, f"no segment in {file}")
        soon(lambda: "<S " in server.get("/live/rejoined.mpd").text, "no MPD")
        first.cut()
        time.sleep(1.2)
        second = Pusher(server.rtmp, "rejoined", media(size="320x240"), begin=5_000_000)
        shows = {}

        def ready():
            for file in ("video.m3u8", "audio.m3u8", "ts.m3u8"):
                shows[file] = Media(server.get(f"/live/rejoined/{file}").text).check()
            return all(any(one.discontinuity for one in found.segments) and not found.segments[-1].discontinuity for found in shows.values())
        soon(ready, lambda: f"no discontinuity: {[found.text[-300:] for found in shows.values()]}", 12)
        same(len({(found.discontinuities, tuple(one.number for one in found.segments if one.discontinuity)) for found in shows.values()} | set()), 1, "places of the discontinuity in the three playlists")
        root, periods = mpd(server.get("/live/rejoined.mpd").text)
        expect(len(periods) == 2, f"{len(periods)} periods: {[(one[0], one[1]) for one in periods]}")
        for _, _, representations in periods:
            for init, segments, _ in representations.values():
                for url in [init, *[one[0] for one in segments]]:
                    same(server.get("/live/" + url).status, 200, url)
        for file in ("rejoined.ts.m3u8", "rejoined.mpd"):
            code, found, said = probe(f"{server.base}/live/{file}", seconds=30)
            expect(code == 0 and len(found.get("streams", [])) >= 2, f"{file}: {code} {said}")
    finally:
        if second:
            second.stop()
