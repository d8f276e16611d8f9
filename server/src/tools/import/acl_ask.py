#!/usr/bin/env python3
"""Asks a real mosquitto about the cases in acl_cases.txt and writes its answers behind them.

Needs mosquitto 2 in the path and paho-mqtt 2: `./acl_ask.py` changes the file, `./acl_ask.py --check` compares.
"""
import pathlib, socket, subprocess, sys, tempfile, threading, time
import paho.mqtt.client as mqtt

FILE = pathlib.Path(__file__).with_name("acl_cases.txt")
ROOT = "root-of-the-test"


class Client:
    def __init__(self, port, user, name):
        self.done, self.seen, self.reason = threading.Event(), [], None
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        if user != "-":
            self.mqtt.username_pw_set(user)
        self.mqtt.on_connect = lambda *_: self.done.set()
        self.mqtt.on_subscribe = lambda *_: self.done.set()
        self.mqtt.on_message = lambda _c, _u, message: self.seen.append(message.payload)
        self.mqtt.on_publish = self.published
        self.mqtt.connect("127.0.0.1", port)
        self.mqtt.loop_start()
        self.wait()

    def published(self, _client, _data, _id, reason, _properties):
        self.reason = reason
        self.done.set()

    def wait(self):
        assert self.done.wait(10), "mosquitto does not answer"
        self.done.clear()

    def publish(self, topic, body, retain=False):
        self.mqtt.publish(topic, body, qos=1, retain=retain)
        self.wait()
        return not self.reason.is_failure

    def close(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def may_read(port, root, user, name, topic):
    """Whether a retained message arrives, before one that may be read for sure."""
    if not topic.startswith("$"):
        root.publish(topic, b"wanted", retain=True)
    client = Client(port, user, name)
    client.mqtt.subscribe(topic)
    client.wait()
    # What was retained is sent behind the answer to subscribe: an acknowledged publish comes later still.
    client.publish("nobody/may", b"")
    time.sleep(0.05)
    client.close()
    return bool(client.seen)


def ask(acl, cases):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (folder / "acl").write_text(acl + f"\nuser {ROOT}\ntopic readwrite #\n")
        (folder / "conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {folder}/acl\nuser root\nsys_interval 1\n"
        )
        broker = subprocess.Popen(["mosquitto", "-c", folder / "conf"], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            time.sleep(1.5)  # the first `$SYS` messages
            root = Client(port, ROOT, "root")
            for user, name, action, topic in cases:
                if action == "read":
                    yield may_read(port, root, user, name, topic)
                else:
                    client = Client(port, user, name)
                    yield client.publish(topic, b"x")
                    client.close()
            root.close()
        finally:
            broker.terminate()
            broker.wait()


def main():
    out, acl, cases, within = [], [], [], None
    def flush():
        answers = ask("\n".join(acl), cases)
        out.extend(f"{u} {c} {a} {t} -> {'yes' if yes else 'no'}" for (u, c, a, t), yes in zip(cases, answers))
        if cases:
            out.append("")
    for line in FILE.read_text().splitlines():
        if line in ("[acl]", "[cases]"):
            if line == "[acl]" and cases:
                flush()
            if line == "[acl]":
                acl, cases = [], []
            within = line
            out.append(line)
        elif within == "[cases]":
            if line:
                user, name, action, topic = line.split(" -> ")[0].split(" ", 3)
                cases.append((user, name, action, topic))
        else:
            if within:
                acl.append(line)
            out.append(line)
    flush()
    text = "\n".join(out).rstrip() + "\n"
    if "--check" in sys.argv:
        sys.exit(0 if text == FILE.read_text() else "mosquitto says something else")
    FILE.write_text(text)


main()
