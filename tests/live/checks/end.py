"""The end of a server, and what is left of many who came and went."""

import os
import socket
import struct
import threading
import time

from place import expect, media, same, soon
from wire import Closed, Pusher, Rtmp


def rule_a_server_that_is_told_to_end_ends_in_time_with_publishers_and_viewers(servers):
    server = servers.own("[live.record]\napps = [\"live\"]\nreserve_bytes = 0\n[live.snapshots]\nevery = \"1s\"\n", name="end")
    pushers = [Pusher(server.rtmp, f"end{number}", media()) for number in range(3)]
    viewers, lines = [], []
    try:
        for number in range(3):
            soon(lambda: server.view(f"end{number}"), "not on air")
            viewer = Rtmp(server.rtmp)
            viewer.play(f"end{number}")
            viewers.append(viewer)
            for path in (f"/live/end{number}.flv", f"/live/end{number}/video.m3u8?_HLS_msn=1"):
                line = socket.create_connection(("127.0.0.1", server.ports["http"]))
                line.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                lines.append(line)
        soon(lambda: all(len(viewer.media()) > 20 for viewer in viewers), "nothing comes")
        time.sleep(1.5)
        children = list(server.children())
        began = time.monotonic()
        server.terminate()
        code = server.process.wait(40)
        took = time.monotonic() - began
        same(code, 0, "its exit code")
        expect(took < 12, f"it took {took:.1f} s")
        expect(not [pid for pid in children if os.path.exists(f"/proc/{pid}/exe")], "a process of it is left")
        for viewer in viewers:
            expect(viewer.closes(2), "a viewer was not closed")
        server.again()
        found = server.get("/record/live/end0").json
        listed = found if isinstance(found, list) else found.get("recordings", found.get("files"))
        same(len(listed), 1, "recordings after the restart")
    finally:
        for one in pushers:
            one.cut()
        for one in viewers + lines:
            one.close()
        server.close()


def rule_many_who_come_and_go_leave_nothing(servers):
    server = servers.own(name="churn")
    pusher = Pusher(server.rtmp, "churn", media())
    try:
        soon(lambda: server.view("churn"), "not on air")

        def once(round_number):
            for number in range(25):
                viewer = Rtmp(server.rtmp)
                viewer.play("churn")
                if number % 3 == 0:
                    try:
                        viewer.status("NetStream.Play.Start")
                    except (Closed, AssertionError):
                        pass
                viewer.cut()
                other = Rtmp(server.rtmp)
                try:
                    other.publish(f"churn{round_number}-{number}")
                except Closed:
                    pass
                (other.cut if number % 2 else other.close)()
                server.get(f"/live/churn{round_number}-{number}.m3u8")
        files = lambda: len(os.listdir(f"/proc/{server.process.pid}/fd"))  # noqa: E731
        before = files()
        threads = [threading.Thread(target=once, args=(number,)) for number in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        soon(lambda: files() <= before + 6, lambda: f"{files()} open files, {before} before", 15)
        soon(lambda: len(str(server.ask("list").json)) and not [one for one in server.ask("list").json["broadcasts"] if one["name"] != "churn"], lambda: f"still on air: {str(server.ask('list').json)[:300]}", 20)
        same(server.view("churn")["broadcast"]["viewers"], 0, "viewers")
        expect(pusher.error is None, f"the publisher was disturbed: {pusher.error}")
    finally:
        pusher.stop()
        server.close()


def rule_a_publisher_from_whom_nothing_comes_is_cut_off(servers):
    server = servers.shared('[rtmp]\nsilence_max = "2s"\nidle_max = "2s"\n')
    silent = Rtmp(server.rtmp)
    same(silent.publish("silent")["code"], "NetStream.Publish.Start")
    idle = Rtmp(server.rtmp)
    idle.connect()
    expect(silent.closes(6), "a silent publisher is still there after 6 s")
    expect(idle.closes(6), "an idle client is still there after 6 s")


def rule_limits_of_publishers_from_one_address_hold(servers):
    server = servers.shared("[live]\naddress_publishers_max = 3\nbroadcasts_max = 5\nviewers_max = 2\n")
    open_now = []
    for number in range(3):
        one = Rtmp(server.rtmp)
        same(one.publish(f"limit{number}")["level"], "status", "within the limit")
        open_now.append(one)
    one = Rtmp(server.rtmp)
    try:
        same(one.publish("limit3")["level"], "error", "beyond the limit")
    except Closed:
        pass
    one.close()
    for one in open_now:
        one.close()
    pusher = soon(lambda: again(server), "nobody may publish after they went", 15)
    viewers = []
    for number in range(3):
        viewer = Rtmp(server.rtmp)
        viewer.play("limited")
        try:
            level = viewer.status()["level"]
        except Closed:
            level = "error"
        same(level, "status" if number < 2 else "error", f"viewer {number + 1} of 2")
        viewers.append(viewer)
    same(server.get("/live/limited.flv").status, 503, "a third viewer by FLV")
    for one in viewers:
        one.close()
    pusher.stop()


def again(server):
    try:
        return Pusher(server.rtmp, "limited", media())
    except (AssertionError, Closed):
        return None
