"""Clients that ask for much and read nothing, and odd but legal chunks."""

import os
import socket
import struct
import threading
import time

from checks.flv import websocket
from checks.rtmp import on_air, plays
from place import expect, media, same, soon
from wire import ABORT, AUDIO, COMMAND, SET_CHUNK_SIZE, USER_CONTROL, VIDEO, WINDOW, Closed, Pusher, Rtmp, Silent, amf, chunked, is_key, tags


def flood(server, first, again, seconds=4):
    """Sends for so long and never reads; how much memory grew at most, and how much was taken."""
    rude = Rtmp(server.rtmp, read=False, receive_buffer=4096)
    rude.raw(first)
    before, top, sent = server.rss(), 0, 0
    rude.socket.setblocking(False)
    end = time.monotonic() + seconds
    while time.monotonic() < end and sent < 60 << 20:
        try:
            sent += rude.socket.send(again)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break
        top = max(top, server.rss() - before)
    rude.close()
    return top, sent


def rule_a_client_that_asks_much_and_never_reads_costs_a_bounded_memory(servers):
    server = servers.own(name="flood")
    try:
        connect = chunked(COMMAND, amf("connect", 1, {"app": "live"}))
        for text, again in (("pings", chunked(USER_CONTROL, b"\x00\x06" + bytes(4), channel=2) * 500), ("createStream", chunked(COMMAND, amf("createStream", 2, None)) * 300),
                            ("connect", connect * 200), ("windows of one byte", chunked(WINDOW, b"\x00\x00\x00\x01", channel=2) * 500), ("play", chunked(COMMAND, amf("play", 3, None, "nothing"), stream=1) * 200)):
            top, sent = flood(server, connect, again)
            expect(top < 40 << 20, f"{text}: memory grew by {top >> 20} MiB, {sent >> 20} MiB were taken")
        expect(server.is_up(), "the server is gone")
    finally:
        server.close()


def rule_control_messages_of_odd_sizes_and_values_harm_nobody(servers):
    server = servers.shared()
    for message in (SET_CHUNK_SIZE, ABORT, 3, USER_CONTROL, WINDOW, 6, 0, 7, 21, 23, 255):
        for body in (b"", b"\x00", bytes(4), bytes(5), b"\xff" * 4, b"\xff" * 5, b"\x00\x00\x00\x01", bytes(5000), b"\x00\x03", b"\x00\x06\x00"):
            rude = Rtmp(server.rtmp)
            try:
                rude.send(message, body, channel=2)
                rude.raw(chunked(COMMAND, amf("connect", 1, {"app": "live"})))
                rude.raw(chunked(message, body, channel=2))
            except OSError:
                pass
            rude.close()
    expect(server.is_up(), "the server is gone")


def rule_chunks_that_begin_without_a_full_header_or_break_off_harm_nobody(servers):
    server = servers.shared()
    for data in (b"\xc6" + bytes(128), b"\x46" + bytes(3) + b"\x00\x00\x10\x09" + bytes(16), b"\x86" + bytes(3) + bytes(50), b"\x00\x00" + bytes(11), b"\x01\xff\xff" + bytes(11),
                 # A new message begins on a chunk stream whose last one is not whole.
                 b"\x06" + bytes(3) + b"\x00\x01\x00\x09" + bytes(4) + bytes(128) + b"\x06" + bytes(3) + b"\x00\x00\x04\x09" + bytes(4) + bytes(4),
                 b"\x46\xff\xff\xff\x00\x00\x04\x09" + b"\xff" * 4 + bytes(4)):
        for publishing in (False, True):
            rude = Rtmp(server.rtmp)
            try:
                if publishing:
                    rude.publish("broken", chunk=None)
                rude.raw(data)
                rude.command("createStream", None)
            except (Closed, OSError):
                pass
            rude.close()
    expect(server.is_up(), "the server is gone")


def rule_extended_timestamps_may_be_left_out_of_following_chunks(servers):
    # §5.3.1.3 wants them in chunks of type 3, too; several encoders leave them out. Both are understood.
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("leftout", chunk=None)["code"], "NetStream.Publish.Start")
    stop = threading.Event()

    def push():
        number = 0
        try:
            while not stop.is_set():
                for kind, stamp, body in source.tags:
                    now = 0x1000000 + number * source.length + stamp
                    head = bytes([6]) + b"\xff\xff\xff" + struct.pack(">I", len(body))[1:] + bytes([kind]) + struct.pack("<I", rtmp.number) + struct.pack(">I", now)
                    rtmp.raw(head + body[:128] + b"".join(b"\xc6" + body[place:place + 128] for place in range(128, len(body), 128)))
                    if stop.wait(0.015):
                        return
                number += 1
        except OSError:
            pass
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        on_air(server, "leftout")
        want = {body for _, _, body in source.tags}
        got = [body for kind, _, body in tags(plays(server, "leftout")) if kind == VIDEO]
        expect(all(body in want for body in got), "pictures came out otherwise than they were sent")
    finally:
        stop.set()
        thread.join()
        rtmp.close()


def rule_one_connection_may_publish_again_and_several_at_once(servers):
    server, source = servers.shared(), media()
    rtmp = Rtmp(server.rtmp)
    same(rtmp.publish("first-of-one")["level"], "status", "the first")
    rtmp.command("FCUnpublish", None, "first-of-one")
    rtmp.command("deleteStream", None, rtmp.number)
    number = rtmp.stream()
    seen = len(rtmp.messages)
    rtmp.command("publish", None, "second-of-one", "live", stream=number, channel=8)
    soon(lambda: any(command[0] == "onStatus" and command[3]["code"] == "NetStream.Publish.Start" for command in rtmp.commands()[1:]) and len(rtmp.messages) > seen, "no answer to the second")
    for kind, stamp, body in source.tags:
        rtmp.send(kind, body, stamp, number, 6)
    plays(server, "second-of-one")
    rtmp.command("publish", None, "third-of-one", "live", stream=number, channel=8)
    time.sleep(0.2)
    rtmp.close()
    expect(server.is_up(), "the server is gone")


def rule_commands_in_AMF3_envelopes_are_taken(servers):
    server = servers.shared()
    rtmp = Rtmp(server.rtmp)
    rtmp.send(17, b"\x00" + amf("connect", 1, {"app": "live", "objectEncoding": 3}))
    rtmp.wait(lambda message, stamp, stream, body: message in (COMMAND, 17) and b"_result" in body, text="an answer to connect in AMF3")
    rtmp.close()


def rule_waiting_requests_that_are_given_up_leave_nothing(servers):
    server = servers.own(name="waiting")
    pusher = Pusher(server.rtmp, "waited", media())
    try:
        soon(lambda: "#EXTINF" in server.get("/live/waited/video.m3u8").text, "no segment")
        files = lambda: len(os.listdir(f"/proc/{server.process.pid}/fd"))  # noqa: E731
        before, memory = files(), server.rss()
        for _ in range(4):
            lines = []
            number = int(server.get("/live/waited/video.m3u8").text.partition("MEDIA-SEQUENCE:")[2].split()[0])
            for _ in range(300):
                line = socket.create_connection(("127.0.0.1", server.ports["http"]))
                line.sendall(f"GET /live/waited/video.m3u8?_HLS_msn={number + 2} HTTP/1.1\r\nhost: x\r\n\r\nGET /live/waited.flv HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                lines.append(line)
            for line in lines:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.close()
        soon(lambda: files() <= before + 5, lambda: f"{files()} open files, {before} before", 10)
        expect(server.rss() - memory < 60 << 20, f"memory grew by {(server.rss() - memory) >> 20} MiB")
        same(server.get("/live/waited/video.m3u8").status, 200, "the playlist after it")
    finally:
        pusher.stop()
        server.close()


def rule_a_websocket_viewer_may_send_what_it_likes(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "wsrude", media())
    try:
        on_air(server, "wsrude")
        for frame in (b"\x82\x85abcd" + bytes(5), b"\x81\xfe\xff\xff" + bytes(70000), b"\x82\xff\x7f" + b"\xff" * 7 + bytes(100), b"\x89\x80abcd" * 5000, b"\x88\x80abcd", b"\xff" * 500, b"\x02\x05hello", os.urandom(3000)):
            line = socket.create_connection(("127.0.0.1", server.ports["http"]), 5)
            line.sendall(b"GET /live/wsrude.flv HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
            line.recv(100)
            try:
                line.sendall(frame)
                time.sleep(0.1)
                line.sendall(frame)
            except OSError:
                pass
            line.close()
        status, data, _ = websocket(server, "/live/wsrude.flv", 1)
        expect(status == 101 and len(data) > 2000, "another viewer was disturbed")
    finally:
        pusher.stop()


def rule_heads_that_change_with_every_frame_cost_a_bounded_memory(servers):
    server = servers.own(name="heads")
    rude = Rtmp(server.rtmp)
    sources = [media(seconds=2), media(size="320x240", seconds=2), media(size="96x96", seconds=2)]
    try:
        same(rude.publish("flicker")["level"], "status")
        server.get("/live/flicker.m3u8")
        before, stamp = server.rss(), 0
        heads = [next(tag[2] for tag in source.tags if tag[0] == VIDEO and tag[2][1] == 0) for source in sources]
        keys = [next(tag[2] for tag in source.tags if is_key(tag[0], tag[2])) for source in sources]
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for head, key in zip(heads, keys):
                stamp += 40
                rude.send(VIDEO, head, stamp, rude.number, 6)
                rude.send(VIDEO, key, stamp, rude.number, 6)
            rude.send(18, amf("@setDataFrame", "onMetaData", {"x": os.urandom(500).hex()}), stamp, rude.number, 5)
            if stamp % 1200 == 0:
                for file in ("video.m3u8", "ts.m3u8", "video.m3u8?_HLS_skip=YES"):
                    expect(server.get(f"/live/flicker/{file}").status < 500, f"{file}: {server.get(f'/live/flicker/{file}').status}")
                expect(server.get("/live/flicker.mpd").status < 500, "the MPD")
            time.sleep(0.01)
        grown = server.rss() - before
        expect(grown < 220 << 20, f"memory grew by {grown >> 20} MiB")
        expect(server.is_up(), "the server is gone")
    finally:
        rude.close()
        server.close()
