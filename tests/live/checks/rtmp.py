"""RTMP by raw bytes: what is allowed works, what is not ends with the connection and nothing else."""

import os
import struct
import time

from place import expect, media, same, soon
from wire import ABORT, ACKNOWLEDGEMENT, AGGREGATE, AUDIO, COMMAND, DATA, PEER_BANDWIDTH, SET_CHUNK_SIZE, VIDEO, WINDOW, Closed, Pusher, Rtmp, Silent, amf, chunked, is_key, tags, unamf

TAKE_OVER = "[live]\ntake_over = true\n"


def on_air(server, name, app="live"):
    return soon(lambda: server.view(name, app), f"{name} is not on air")


def plays(server, name, seconds=3, path=None):
    """What comes by FLV, which must be pictures that begin with a key frame."""
    got = server.flv(path or f"/live/{name}.flv", seconds, enough=lambda data: sum(tag[0] == VIDEO for tag in tags(bytes(data))) > 12 if len(data) > 2000 else False)
    same(got.status, 200, f"{name}.flv")
    pictures = [tag for tag in tags(got.body) if tag[0] == VIDEO and tag[2][1] == 1]
    expect(pictures and is_key(VIDEO, pictures[0][2]), f"{name}: {len(pictures)} pictures, and the first is no key frame")
    return got.body


def rule_what_is_published_is_played_by_rtmp_with_its_key_frame_first(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "plain", media())
    try:
        viewer = Rtmp(server.rtmp)
        viewer.play("plain")
        viewer.status("NetStream.Play.Start")
        soon(lambda: len(viewer.media()) > 40, lambda: f"{len(viewer.media())} messages came: {viewer.commands()[-2:]}", 6)
        pictures = [message for message in viewer.media() if message[0] == VIDEO]
        expect(pictures[0][3][:2] == b"\x17\x00", "the first picture message is no sequence header")
        expect(pictures[1][3][:2] == b"\x17\x01", "the first picture is no key frame")
        stamps = [message[1] for message in viewer.media()]
        expect(all(later >= before - 60 for before, later in zip(stamps, stamps[1:])), f"timestamps jump: {stamps[:30]}")
        same(viewer.media()[0][2], viewer.number, "the message stream of pictures")
        viewer.close()
    finally:
        pusher.stop()
    soon(lambda: server.view("plain") is None, "it is on air after its end")


def chunk_size_works(servers, size):
    server = servers.shared()
    pusher = Pusher(server.rtmp, f"chunk{size}", media(), chunk=size)
    try:
        plays(server, f"chunk{size}")
    finally:
        pusher.stop()


def rule_chunks_of_one_byte_are_taken(servers):
    chunk_size_works(servers, 1)


def rule_chunks_of_the_largest_size_are_taken(servers):
    chunk_size_works(servers, 2**31 - 1)


def rule_chunks_of_64_KiB_are_taken(servers):
    chunk_size_works(servers, 65536)


def rule_a_chunk_size_of_nought_or_with_the_first_bit_is_answered_or_closed(servers):
    server = servers.shared()
    for size in (0, 2**31, 2**32 - 1):
        rude = Rtmp(server.rtmp)
        rude.send(SET_CHUNK_SIZE, struct.pack(">I", size), channel=2)
        try:
            rude.connect()
        except (Closed, OSError, Silent):
            pass
        rude.close()
    expect(server.is_up(), "the server is gone")


def rule_a_handshake_of_garbage_is_closed_at_once(servers):
    server = servers.shared()
    for first in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01" + bytes(600), bytes(2000), os.urandom(4000).replace(b"\x03", b"\x04")):
        rude = Rtmp(server.rtmp, handshake=False, timeout=12)
        rude.raw(first)
        began = time.monotonic()
        try:
            while rude.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
        # What looks like TLS may wait for the rest of its hello.
        expect(time.monotonic() - began < (11 if first[0] == 0x16 else 4), f"{first[:8]!r} was not closed at once")
        rude.close()


def rule_half_a_handshake_is_closed_in_time(servers):
    server = servers.shared()
    halves = []
    for sent in (b"", b"\x03", b"\x03" + bytes(700), b"\x03" + bytes(1536)):
        half = Rtmp(server.rtmp, handshake=False, timeout=15)
        half.raw(sent)
        halves.append(half)
    began = time.monotonic()
    for half in halves:
        try:
            while half.socket.recv(4096):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        expect(time.monotonic() - began < 14, "it is still open after 14 s")
        half.close()


def rule_a_slow_handshake_byte_by_byte_works(servers):
    server = servers.shared()
    slow = Rtmp(server.rtmp, handshake=False)
    c1 = bytes(8) + os.urandom(1528)
    slow.raw(b"\x03")
    for place in range(0, 1536, 96):
        slow.raw(c1[place:place + 96])
        time.sleep(0.02)
    s = slow._exactly(3073)
    slow.raw(s[1:1537])
    slow.raw(chunked(COMMAND, amf("connect", 1, {"app": "live"})))
    slow._message()
    expect(slow.messages, "nothing was answered")
    slow.close()


def rule_chunks_of_several_messages_may_be_interleaved(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("interleaved", chunk=None)["code"], "NetStream.Publish.Start")
    for round_number in range(3):
        base = round_number * source.length
        pairs = [[tag for tag in source.tags if tag[0] == kind] for kind in (VIDEO, AUDIO)]
        for picture, sound in zip(*pairs):
            both = [chunked(kind, body, base + stamp, rtmp.number, channel, 128) for (kind, stamp, body), channel in ((picture, 6), (sound, 70))]
            cuts = [[one[:12 + 128], *(one[place:place + 129] for place in range(12 + 128, len(one), 129))] if channel < 64 else [one[:13 + 128], *(one[place:place + 130] for place in range(13 + 128, len(one), 130))]
                    for one, channel in zip(both, (6, 70))]
            mixed = b"".join(piece for pair in zip(cuts[0], cuts[1]) for piece in pair) + b"".join(cuts[0][len(cuts[1]):]) + b"".join(cuts[1][len(cuts[0]):])
            rtmp.raw(mixed)
    view = on_air(server, "interleaved")
    expect(not rtmp.closed, "it was closed")
    data = plays(server, "interleaved")
    want = {body for kind, _, body in source.tags if kind == VIDEO}
    expect(all(body in want for kind, _, body in tags(data) if kind == VIDEO), "a picture came out that nobody sent")
    rtmp.close()
    return view


def rule_a_publisher_with_extended_timestamps_that_wrap_is_played_without_a_jump(servers):
    server = servers.shared()
    for name, begin in (("extended", 0xFFFFFF - 1500), ("wrapped", 2**32 - 1500)):
        pusher = Pusher(server.rtmp, name, media(), begin=begin)
        try:
            got = server.flv(f"/live/{name}.flv", 4)
            found = [(kind, stamp) for kind, stamp, body in tags(got.body) if kind == VIDEO and body[1] == 1]
            stamps = [stamp for _, stamp in found]
            expect(len(stamps) > 60, f"{name}: only {len(stamps)} pictures in 4 s")
            expect(all(0 <= later - before <= 200 for before, later in zip(stamps, stamps[1:])), f"{name}: timestamps jump: {stamps}")
        finally:
            pusher.stop()


def rule_aggregate_messages_are_taken(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("aggregate")["code"], "NetStream.Publish.Start")
    for kind, _, body in source.heads:
        rtmp.send(kind, body, 0, rtmp.number, 6)
    rest = [tag for tag in source.tags if tag not in source.heads and tag[0] != DATA]
    for place in range(0, len(rest), 10):
        body = bytearray()
        for kind, stamp, inner in rest[place:place + 10]:
            body += bytes([kind]) + struct.pack(">I", len(inner))[1:] + struct.pack(">I", stamp)[1:] + bytes([stamp >> 24]) + bytes(3) + inner + struct.pack(">I", len(inner) + 11)
        rtmp.send(AGGREGATE, bytes(body), rest[place][1], rtmp.number, 6)
    pictures = [tag for tag in tags(plays(server, "aggregate")) if tag[0] == VIDEO and tag[2][1] == 1]
    want = {body for _, _, body in source.tags}
    expect(all(tag[2] in want for tag in pictures), "a picture came out that nobody sent")
    # Garbage in an aggregate message: its end is cut, a size is wrong.
    rtmp.send(AGGREGATE, b"\x09\xff\xff\xff" + bytes(20), 5000, rtmp.number, 6)
    rtmp.send(AGGREGATE, b"\x09", 5000, rtmp.number, 6)
    time.sleep(0.2)
    rtmp.close()
    expect(server.is_up(), "the server is gone")


def rule_garbage_for_commands_harms_nobody(servers):
    server = servers.shared()
    deep = b"\x03\x00\x01a" * 20000
    for body in (b"", b"\x02", b"\x02\xff\xffabc", os.urandom(300), deep, amf("connect"), amf("connect", 1, None), amf("connect", "x", {"app": 5}),
                 amf("publish", 1, None, "x", "live"), amf("play", 1, None, "x"), b"\x0a\xff\xff\xff\xff", b"\x0c\xff\xff\xff\xff", b"\x08\xff\xff\xff\xff" + b"\x00\x01a\x05" * 10,
                 amf("connect", float("nan"), {"app": "live"}), amf("x" * 70000, 1), b"\x11" + os.urandom(30)):
        for message in (COMMAND, DATA, 17, 15, 16, 19):
            rude = Rtmp(server.rtmp)
            try:
                rude.send(message, body)
                rude.connect()
                rude.send(message, body)
                rude.command("createStream", None)
            except (Closed, Silent, OSError, ValueError, IndexError, KeyError):
                pass
            rude.close()
    expect(server.is_up(), "the server is gone")


def rule_random_bytes_after_the_handshake_harm_nobody(servers):
    server = servers.shared()
    before = server.rss()
    for number in range(60):
        rude = Rtmp(server.rtmp)
        try:
            if number % 2:
                rude.publish(f"random{number}")
            rude.raw(os.urandom(3000))
        except (Closed, OSError):
            pass
        rude.close()
    expect(server.is_up(), "the server is gone")
    expect(server.rss() - before < 200 << 20, f"memory grew by {(server.rss() - before) >> 20} MiB")


def rule_publishing_without_connect_is_refused(servers):
    server = servers.shared()
    rude = Rtmp(server.rtmp)
    rude.command("publish", None, "nobody", "live", stream=1, channel=8)
    try:
        found = rude.status(seconds=2)
        expect(found.get("level") == "error", f"it was answered {found}")
    except (Closed, Silent):
        pass
    rude.close()
    rude = Rtmp(server.rtmp)
    rude.connect()
    rude.command("publish", None, "nobody", "live", stream=7, channel=8)
    # On a message stream that was never made: refused or not, nothing else may come of it.
    try:
        rude.status(seconds=2)
    except (Closed, Silent):
        pass
    rude.close()
    expect(server.is_up(), "the server is gone")


def rule_a_second_publisher_of_a_name_is_refused_and_the_first_goes_on(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "twice", media())
    try:
        on_air(server, "twice")
        second = Rtmp(server.rtmp)
        answer = second.publish("twice")
        same((answer["level"], answer["code"]), ("error", "NetStream.Publish.BadName"), "the second")
        second.close()
        sent = pusher.sent
        plays(server, "twice")
        expect(pusher.error is None and pusher.sent > sent, f"the first was disturbed: {pusher.error}")
    finally:
        pusher.stop()


def rule_with_take_over_the_first_publisher_is_told_and_the_second_goes_on(servers):
    server = servers.shared(TAKE_OVER)
    first = Pusher(server.rtmp, "over", media())
    on_air(server, "over")
    viewer = Rtmp(server.rtmp)
    viewer.play("over")
    soon(lambda: len(viewer.media()) > 20, "nothing comes")
    second = Pusher(server.rtmp, "over", media(size="320x240"))
    try:
        expect(first.rtmp.closes(5), "the first was not closed")
        told = [command for command in first.rtmp.commands() if command[0] == "onStatus"][-1][3]
        expect(told["code"] != "NetStream.Publish.Start", f"the first was not told: {told}")
        count = len(viewer.media())
        soon(lambda: len(viewer.media()) > count + 40, "the viewer does not go on", 6)
        expect(not viewer.closed, "the viewer was closed")
        soon(lambda: "'width': 320" in str(server.view("over")), lambda: f"the size did not change: {server.view('over')}", 5)
    finally:
        viewer.close()
        first.cut()
        second.stop()


def rule_a_frame_of_100_MB_ends_its_publisher_before_it_costs_memory(servers):
    server = servers.shared()
    other = Pusher(server.rtmp, "beside100", media())
    before, top = server.rss(), 0
    rude = Rtmp(server.rtmp)
    same(rude.publish("huge", chunk=65536)["code"], "NetStream.Publish.Start")
    # A message's length has 24 bits: 16 MiB at most. Several at one time, on many chunk streams, never finished.
    try:
        for channel in range(6, 300):
            basic = bytes([channel]) if channel < 64 else bytes([0, channel - 64])
            rude.raw(basic + bytes(3) + b"\xff\xff\xff" + bytes([VIDEO]) + struct.pack("<I", rude.number) + b"\x17\x01" + bytes(65534))
        for _ in range(1600):
            rude.raw(bytes([6 | 0xC0]) + bytes(65536))
            top = max(top, server.rss())
    except OSError:
        pass
    expect(rude.closes(5), "it was not closed")
    top = max(top, server.rss())
    expect(top - before < 96 << 20, f"memory grew by {(top - before) >> 20} MiB")
    rude.close()
    expect(other.error is None, "another publisher was disturbed")
    plays(server, "beside100")
    other.stop()


def rule_many_chunk_streams_with_announced_lengths_cost_little(servers):
    server = servers.shared()
    before = server.rss()
    rude = Rtmp(server.rtmp)
    rude.connect()
    try:
        for channel in range(320, 65599):
            low, high = (channel - 64) & 255, (channel - 64) >> 8
            rude.raw(bytes([1, low, high]) + bytes(3) + b"\xff\xff\xff" + bytes([VIDEO]) + bytes(4) + bytes(128))
    except OSError:
        pass
    time.sleep(0.5)
    grown = server.rss() - before
    rude.close()
    expect(grown < 64 << 20, f"memory grew by {grown >> 20} MiB")


def rule_a_publisher_that_stops_in_the_middle_of_a_frame_leaves_whole_frames_only(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("midframe")["code"], "NetStream.Publish.Start")
    for kind, stamp, body in source.tags:
        rtmp.send(kind, body, stamp, rtmp.number, 6)
    key = next(body for kind, _, body in source.tags if is_key(kind, body))
    rtmp.raw(chunked(VIDEO, key, 5000, rtmp.number, 6, 4096)[:200])
    time.sleep(0.2)
    got = server.flv("/live/midframe.flv", 0.5)
    want = {body for _, _, body in source.tags}
    expect(all(body in want for kind, _, body in tags(got.body) if kind == VIDEO), "half a frame came out")
    rtmp.cut()
    expect(server.is_up(), "the server is gone")


def rule_timestamps_that_jump_back_and_forth_come_out_in_order(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("jumpy")["code"], "NetStream.Publish.Start")
    import threading
    stop = threading.Event()

    def push():
        jumps, number = [0, 3_600_000, 10, 86_400_000, 4_000_000_000, 0, 50], 0
        try:
            while not stop.is_set():
                base = jumps[number % len(jumps)]
                number += 1
                for kind, stamp, body in source.tags:
                    if stop.is_set():
                        break
                    rtmp.send(kind, body, (base + stamp) & 0xFFFFFFFF, rtmp.number, 6)
                    time.sleep(0.003)
        except OSError:
            pass
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        got = server.flv("/live/jumpy.flv", 5)
        for wanted in (VIDEO, AUDIO):
            stamps = [stamp for kind, stamp, body in tags(got.body) if kind == wanted]
            expect(len(stamps) > 100, f"only {len(stamps)} frames")
            expect(all(later >= before for before, later in zip(stamps, stamps[1:])), "a timestamp goes back")
            expect(stamps[-1] - stamps[0] < 120_000, f"a jump was not closed: {stamps[0]} … {stamps[-1]}")
    finally:
        stop.set()
        thread.join()
        rtmp.close()


def rule_a_publisher_that_is_cut_off_and_comes_back_within_the_grace_time_keeps_its_viewers(servers):
    server = servers.shared()
    first = Pusher(server.rtmp, "grace", media())
    on_air(server, "grace")
    viewer = Rtmp(server.rtmp)
    viewer.play("grace")
    soon(lambda: len(viewer.media()) > 20, "nothing comes")
    import threading
    box = {}
    watcher = threading.Thread(target=lambda: box.update(got=server.flv("/live/grace.flv", 9)), daemon=True)
    watcher.start()
    soon(lambda: server.get("/live/grace/video.m3u8").text.count("#EXTINF") >= 1, "no segment", 8)
    time.sleep(0.5)
    first.cut()
    time.sleep(1.5)
    count = len(viewer.media())
    second = Pusher(server.rtmp, "grace", media(), begin=777_000)
    try:
        soon(lambda: len(viewer.media()) > count + 60, f"the RTMP viewer does not go on (closed: {viewer.closed})", 8)
        stamps = [message[1] for message in viewer.media() if message[0] == VIDEO]
        expect(all(0 <= later - before < 10_000 for before, later in zip(stamps, stamps[1:])), "timestamps of the RTMP viewer jump")
        watcher.join()
        stamps = [stamp for kind, stamp, body in tags(box["got"].body) if kind == VIDEO]
        expect(all(0 <= later - before < 10_000 for before, later in zip(stamps, stamps[1:])), "timestamps of the FLV viewer jump")
        expect(len(stamps) > 90, f"only {len(stamps)} pictures in 9 s by FLV")
        playlist = soon(lambda: (lambda text: text if "#EXT-X-DISCONTINUITY\n" in text else None)(server.get("/live/grace/video.m3u8").text), lambda: f"no discontinuity in the playlist: {server.get('/live/grace/video.m3u8').text[-900:]}", 8)
        expect("ENDLIST" not in playlist, "the playlist has ended")
    finally:
        viewer.close()
        second.stop()


def rule_a_publisher_that_ends_tells_its_viewers_at_once(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "ending", media())
    on_air(server, "ending")
    viewer = Rtmp(server.rtmp)
    viewer.play("ending")
    soon(lambda: len(viewer.media()) > 20, "nothing comes")
    pusher.stop()
    codes = lambda: [command[3].get("code") for command in viewer.commands() if command[0] == "onStatus"]  # noqa: E731
    soon(lambda: viewer.closed or set(codes()) & {"NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete"}, lambda: f"the viewer heard nothing: {codes()}", 4)
    viewer.close()
    same(server.get("/live/ending.flv").status, 404, "FLV of what has ended")


def rule_bad_names_are_refused_in_every_door(servers):
    server = servers.shared()
    for name in ("..", "../x", "a/b", "~x", "a~720p", ".hidden", "x" * 65, "", "a b", "a%2e", "ü", "a\x00b", "x" * 100000, "#", "+"):
        rude = Rtmp(server.rtmp)
        try:
            answer = rude.publish(name)
            expect(answer["level"] == "error", f"publishing {name[:70]!r} was answered {answer['code']}")
        except (Closed, OSError):
            pass
        rude.close()
    for path in ("/live/..%2f..%2fetc%2fpasswd", "/live/%2e%2e/x.flv", "/live/%2e%2e.flv", "/live/..", "/live/../../etc/passwd", "/live/" + "x" * 65 + ".flv", "/live/%00.flv", "/live/a~b~c.flv",
                 "/live/.flv", "/live/~.flv", "/live/a/../../../b", "/live/a/%2e%2e%2f%2e%2e%2fb", "/record/live/%2e%2e", "/record/live/x/%2e%2e%2f%2e%2e%2fyizhan.toml", "/record/%2e%2e/%2e%2e/etc",
                 "/live/x.m3u8/../../y", "/watch/live/%2e%2e", "/live/%ff.flv", "/live/" + "y" * 6000 + ".m3u8"):
        found = server.get(path)
        expect(400 <= found.status < 500 or path.startswith("/watch"), f"{path[:80]} was answered {found.status}")


def rule_apps_that_the_config_does_not_name_are_refused(servers):
    server = servers.shared()
    for app in ("other", "", "live/../x", "live/x"):
        rude = Rtmp(server.rtmp)
        try:
            expect(rude.publish("x", app)["level"] == "error", f"the app {app!r} was taken")
        except (Closed, OSError, KeyError, AssertionError) as error:
            if isinstance(error, AssertionError):
                raise
        except IndexError:
            pass
        rude.close()
    same(server.get("/other/x.flv").status, 404, "another app's FLV")


def rule_what_a_client_gets_is_within_the_window_and_is_acknowledged(servers):
    server = servers.shared()
    rtmp = Rtmp(server.rtmp)
    rtmp.connect()
    rtmp.wait(lambda message, *_: message == WINDOW, text="a window")
    rtmp.wait(lambda message, *_: message == PEER_BANDWIDTH, text="a peer bandwidth")
    rtmp.close()
    rtmp = Rtmp(server.rtmp)
    rtmp.connect()
    rtmp.send(WINDOW, struct.pack(">I", 20_000), channel=2)
    rtmp.number = rtmp.stream()
    rtmp.command("publish", None, "acknowledged", "live", stream=rtmp.number, channel=8)
    rtmp.status("NetStream.Publish.Start")
    rtmp.chunk_size(4096)
    sent = 0
    for kind, stamp, body in media().tags:
        rtmp.send(kind, body, stamp, rtmp.number, 6)
        sent += len(body)
    found = rtmp.wait(lambda message, *_: message == ACKNOWLEDGEMENT, text="an acknowledgement")
    expect(20_000 <= struct.unpack(">I", found[3])[0] <= sent + 20_000, f"{struct.unpack('>I', found[3])[0]} bytes acknowledged of {sent}")
    rtmp.close()


def rule_an_aborted_message_is_dropped(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("aborted", chunk=128)["code"], "NetStream.Publish.Start")
    rtmp.raw(chunked(VIDEO, b"\x27\x01" + bytes(1000), 0, rtmp.number, 6, 128)[:140])
    rtmp.send(ABORT, struct.pack(">I", 6), channel=2)
    for kind, stamp, body in source.tags:
        rtmp.send(kind, body, stamp, rtmp.number, 6)
    plays(server, "aborted")
    expect(not rtmp.closed, "it was closed")
    rtmp.close()


def rule_a_kicked_publisher_is_told_and_closed(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "kicked", media())
    on_air(server, "kicked")
    found = server.ask("kick", app="live", name="kicked", reason="enough")
    expect(found.status < 300, f"kick was answered {found.status} {found.body[:200]}")
    expect(pusher.rtmp.closes(4), "it was not closed")
    told = [command[3] for command in pusher.rtmp.commands() if command[0] == "onStatus"][-1]
    expect("enough" in str(told) or told.get("level") == "error", f"it was not told: {told}")
    pusher.cut()


def rule_a_viewer_that_never_reads_costs_a_bounded_memory_and_disturbs_nobody(servers):
    server = servers.shared()
    fat = media(size="640x480", extra=("-vf", "noise=alls=100:allf=t", "-b:v", "20M", "-qp", "8"), seconds=3)
    pusher = Pusher(server.rtmp, "neverread", fat)
    try:
        on_air(server, "neverread")
        time.sleep(1)
        lazy = []
        for _ in range(20):
            viewer = Rtmp(server.rtmp, read=False, receive_buffer=4096)
            viewer.raw(chunked(COMMAND, amf("connect", 1, {"app": "live"})) + chunked(COMMAND, amf("createStream", 2, None)) + chunked(COMMAND, amf("play", 3, None, "neverread"), stream=1, channel=8))
            lazy.append(viewer)
        import socket
        for _ in range(20):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", server.ports["http"]))
            line.sendall(b"GET /live/neverread.flv HTTP/1.1\r\nhost: x\r\n\r\n")
            lazy.append(line)
        # Until as much of the broadcast is in memory as may be (live.keep_bytes_max).
        time.sleep(6)
        before = server.rss()
        other = server.flv("/live/neverread.flv", 5)
        stamps = [stamp for kind, stamp, body in tags(other.body) if kind == VIDEO]
        expect(stamps[-1] - stamps[0] > 4000, f"another viewer got only {stamps[-1] - stamps[0]} ms in 5 s")
        grown = server.rss() - before
        expect(grown < 100 << 20, f"memory grew by {grown >> 20} MiB with 40 viewers that do not read ({len(other.body) >> 20} MiB came in)")
        expect(pusher.error is None, f"the publisher was disturbed: {pusher.error}")
        for viewer in lazy:
            viewer.close()
    finally:
        pusher.stop()


def rule_a_change_of_size_in_the_middle_is_told_to_every_viewer(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "resized", media(seconds=2))
    try:
        on_air(server, "resized")
        viewer = Rtmp(server.rtmp)
        viewer.play("resized")
        soon(lambda: len(viewer.media()) > 20, "nothing comes")
        pusher.swap(media(size="320x240", seconds=2))
        heads = lambda: [body for kind, _, _, body in viewer.media() if kind == VIDEO and body[:2] == b"\x17\x00"]  # noqa: E731
        soon(lambda: len(set(heads())) > 1, "no second sequence header", 8)
        after = viewer.media()
        place = max(place for place, message in enumerate(after) if message[0] == VIDEO and message[3][:2] == b"\x17\x00")
        following = soon(lambda: [message for message in viewer.media()[place + 1:] if message[0] == VIDEO], "no picture behind it")
        expect(is_key(VIDEO, following[0][3]), "the first picture behind it is no key frame")
        viewer.close()
    finally:
        pusher.stop()


def rule_a_publisher_that_sends_no_heads_or_garbage_media_harms_nobody(servers):
    server, source = servers.shared(), media()
    bodies = [b"", b"\x17", b"\x17\x00", b"\x17\x00\x00\x00\x00", b"\x17\x00\x00\x00\x00" + os.urandom(50), b"\x17\x01\x00\x00\x00\xff\xff\xff\xff", b"\x27\x01\xff\xff\xff" + os.urandom(100), b"\xff" * 40, b"\x90hvc1",
              b"\x80hvc1" + os.urandom(40), b"\x91av01", b"\x96" + os.urandom(30), b"\xaf\x00", b"\xaf\x00\x12", b"\xaf\x00\xff\xff\xff\xff", b"\x95Opus" + os.urandom(20), b"\x2f\xff\xfb"]
    rude = Rtmp(server.rtmp)
    same(rude.publish("garbled")["code"], "NetStream.Publish.Start")
    try:
        for kind in (VIDEO, AUDIO, DATA):
            for body in bodies:
                rude.send(kind, body, 10, rude.number, 6)
        for kind, stamp, body in source.tags:
            if body not in [head[2] for head in source.heads]:
                rude.send(kind, body, stamp, rude.number, 6)
    except OSError:
        pass
    server.flv("/live/garbled.flv", 0.5)
    server.get("/live/garbled.m3u8")
    rude.close()
    expect(server.is_up(), "the server is gone")


def rule_players_commands_are_taken(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "commanded", media())
    try:
        on_air(server, "commanded")
        viewer = Rtmp(server.rtmp)
        viewer.play("commanded")
        soon(lambda: len(viewer.media()) > 10, "nothing comes")
        for command in (("receiveAudio", None, False), ("receiveVideo", None, True), ("seek", None, 1000), ("getStreamLength", None, "commanded"), ("_checkbw", None), ("FCSubscribe", None, "commanded"), ("nonsense", None), ("pause", None, True, 0), ("pause", None, False, 0),
                        ("play", None, "commanded"), ("closeStream", None), ("play", None, "commanded")):
            try:
                viewer.command(*command, stream=viewer.number, channel=8)
            except OSError:
                break
        time.sleep(1)
        viewer.close()
        gone = Rtmp(server.rtmp)
        gone.play("never-there")
        try:
            same(gone.status()["level"], "error", "playing what is not on air")
        except Closed:
            pass
        gone.close()
        both = Rtmp(server.rtmp)
        same(both.publish("bothways")["level"], "status", "publishing")
        other = both.stream()
        both.command("play", None, "commanded", stream=other, channel=8)
        try:
            both.status("NetStream.Play.Start", "NetStream.Play.Failed", "NetStream.Play.StreamNotFound", seconds=2)
        except (Closed, Silent):
            pass
        both.close()
        plays(server, "commanded")
        expect(pusher.error is None, "the publisher was disturbed")
    finally:
        pusher.stop()


def rule_a_viewer_that_was_asleep_goes_on_at_a_key_frame_of_now(servers):
    server = servers.shared('[live]\nbehind_max = "1s"\n')
    fat = media(size="640x480", extra=("-vf", "noise=alls=100:allf=t", "-b:v", "20M", "-qp", "8"), seconds=3)
    pusher = Pusher(server.rtmp, "asleep", fat)
    import socket
    try:
        on_air(server, "asleep")
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        line.connect(("127.0.0.1", server.ports["http"]))
        line.sendall(b"GET /live/asleep.flv HTTP/1.0\r\nhost: x\r\n\r\n")
        time.sleep(6)
        line.settimeout(1)
        data, end = b"", time.monotonic() + 3
        while time.monotonic() < end:
            more = line.recv(1 << 20)
            if not more:
                break
            data += more
        line.close()
        found = [tag for tag in tags(data.partition(b"\r\n\r\n")[2]) if tag[0] == VIDEO and tag[2][1] == 1]
        gaps = [(before, after) for before, after in zip(found, found[1:]) if after[1] - before[1] > 400]
        expect(gaps, f"nothing was skipped in {found[-1][1] - found[0][1]} ms")
        expect(all(is_key(VIDEO, after[2]) for _, after in gaps), "it does not go on with a key frame")
        expect((server.view("asleep")["detail"].get("asleep") or {}).get("skipped_blocks", 1) > 0, "the skip is not counted")
    finally:
        pusher.stop()


def rule_ffmpeg_publishes_and_plays(servers):
    import subprocess
    from place import probe
    server = servers.shared()
    url = server.rtmp_url("byffmpeg")
    child = subprocess.Popen(["ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-f", "lavfi", "-i", "sine", "-t", "14", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "2", "-c:a", "aac", "-f", "flv", url], stderr=subprocess.PIPE)
    try:
        on_air(server, "byffmpeg")
        time.sleep(2.5)
        code, found, said = probe(url, "-rw_timeout", "8000000")
        same((code, sorted(one["codec_name"] for one in found.get("streams", [])), said), (0, ["aac", "h264"], ""), "ffprobe by RTMP")
        code, found, said = probe(f"{server.base}/live/byffmpeg.flv")
        same((code, sorted(one["codec_name"] for one in found.get("streams", []))), (0, ["aac", "h264"]), "ffprobe by FLV")
        code, _, said = probe(url, "-t", "2", decode=True)
        same((code, said), (0, ""), "ffmpeg by RTMP")
        same((child.wait(20), child.stderr.read()), (0, b""), "how the publisher ended")
        soon(lambda: server.view("byffmpeg") is None, "it is on air after its end", 5)
    finally:
        child.kill()


def rule_gstreamer_publishes(servers):
    import shutil
    import subprocess
    from place import NotHere
    parts = ("x264enc", "rtmp2sink", "flvmux", "videotestsrc")
    if not shutil.which("gst-inspect-1.0") or any(subprocess.run(["gst-inspect-1.0", part], capture_output=True).returncode for part in parts):
        raise NotHere("GStreamer with x264enc and rtmp2sink is not there")
    server = servers.shared()
    child = subprocess.Popen(["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=150", "is-live=true", "!", "video/x-raw,width=160,height=120,framerate=25/1", "!", "x264enc", "tune=zerolatency", "key-int-max=25", "!", "flvmux", "streamable=true", "!", "rtmp2sink", f"location={server.rtmp_url('bygst')}"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        on_air(server, "bygst")
        got = server.flv("/live/bygst.flv", 2)
        expect(sum(kind == VIDEO for kind, _, _ in tags(got.body)) > 20, "too few pictures")
        same(child.wait(15), 0, "how it ended")
    finally:
        child.kill()
