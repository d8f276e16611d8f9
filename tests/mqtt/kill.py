"""Nothing acknowledged is lost, and nothing of QoS 2 comes twice, though the server is killed with -9 again and again.

The clients are Eclipse Paho's, with persistent sessions: publishers of QoS 1 and 2 by MQTT 3.1.1 and 5.0, listeners of QoS 1
and 2, a shared group, and with --bridge an edge server whose publishers are heard through a bridge; then both servers are
killed. Prints what went wrong and ends with 1, or a summary and 0.

    kill.py --server ../../target/debug/yizhan [--rounds 6] [--seed 1] [--bridge]
"""

import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

CONFIG = """
[http]
listen = "127.0.0.1:{http}"
[socket]
tcp = "127.0.0.1:{tcp}"
[mqtt]
tcp = "127.0.0.1:{mqtt}"
[identity]
anonymous = "open"
[identity.rates.anonymous]
[space.all]
topics = "#"
keep = "disk"
lag = "catch_up"
"""

BRIDGE = """
[bridge.up]
address = "127.0.0.1:{upstream}"
retry_min = "100ms"
retry_max = "500ms"
out = [{{ filter = "e/#", qos = 2 }}]
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server that can be killed and started again over the same folder and port."""

    def __init__(self, binary, extra=""):
        self.binary, self.folder = binary, pathlib.Path(tempfile.mkdtemp(prefix="yizhan-kill-"))
        self.port = free_port()
        config = CONFIG.format(http=free_port(), tcp=free_port(), mqtt=self.port) + extra
        (self.folder / "yizhan.toml").write_text(config)
        self.process = None
        self.log = open(self.folder / "server.log", "ab")

    def start(self):
        command = [self.binary, "serve", "--config", str(self.folder / "yizhan.toml"), "--data", str(self.folder / "data")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    sys.exit("the server did not start:\n" + (self.folder / "server.log").read_text()[-3000:])
                time.sleep(0.02)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, keep):
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()
        if keep:
            print(f"kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """A Paho client with a persistent session that comes back by itself."""

    def __init__(self, port, name, version):
        self.name, self.version = name, version
        if version == mqtt.MQTTv5:
            self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
            self.properties = Properties(PacketTypes.CONNECT)
            self.properties.SessionExpiryInterval = 3600
        else:
            self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, protocol=version)
            self.properties = None
        self.client.reconnect_delay_set(min_delay=0.05, max_delay=0.2)
        self.client.on_message = self.heard
        self.client.on_connect = self.connected
        self.client.on_publish = self.published
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.max_queued_messages_set(0)
        self.port, self.wish, self.ready = port, None, threading.Event()
        self.got = collections.defaultdict(list)
        self.sent = self.acked = 0
        self.lost_sessions = 0

    def start(self, wish=None, qos=0):
        self.wish, self.qos = wish, qos
        arguments = {"properties": self.properties} if self.properties else {}
        self.client.connect("127.0.0.1", self.port, keepalive=30, **arguments)
        self.client.loop_start()
        if not self.ready.wait(20):
            sys.exit(f"{self.name}: no answer")
        return self

    def connected(self, client, _data, flags, reason, _properties):
        if reason.is_failure:
            print(f"{self.name}: refused: {reason}")
            return
        if flags.session_present:
            return
        if self.ready.is_set():
            self.lost_sessions += 1
        if self.wish is None:
            self.ready.set()
        elif self.version == mqtt.MQTTv5:
            client.subscribe(self.wish, options=SubscribeOptions(qos=self.qos))
        else:
            client.subscribe(self.wish, self.qos)

    def heard(self, _client, _data, message):
        self.got[message.topic].append(int(message.payload.split()[0]))

    def published(self, *_):
        self.acked += 1

    def publish_until(self, stop, topic, qos, window):
        while not stop.is_set():
            if self.sent - self.acked < window:
                self.client.publish(topic, f"{self.sent} {'x' * 100}", qos)
                self.sent += 1
            else:
                time.sleep(0.001)

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--bridge", action="store_true")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    print(f"seed {options.seed}")
    server = Server(options.server)
    server.start()
    servers = [server]
    if options.bridge:
        servers.append(Server(options.server, BRIDGE.format(upstream=server.port)))
        servers[1].start()
    wrong = []
    try:
        wrong = story(servers, dice, options.rounds)
    finally:
        for s in servers:
            s.end(bool(wrong))
    for line in wrong:
        print("WRONG:", line)
    return 1 if wrong else 0


def story(servers, dice, rounds):
    port = servers[0].port
    two = Client(port, "listener-qos2", mqtt.MQTTv5).start("k/#", 2)
    one = Client(port, "listener-qos1", mqtt.MQTTv311).start("k/#", 1)
    group = [Client(port, f"group-{i}", mqtt.MQTTv5).start("$share/g/k/#", 2) for i in range(2)]
    publishers = [
        (Client(port, "pub-5-qos2", mqtt.MQTTv5).start(), "k/a", 2),
        (Client(port, "pub-3-qos2", mqtt.MQTTv311).start(), "k/b", 2),
        (Client(port, "pub-5-qos1", mqtt.MQTTv5).start(), "k/c", 1),
    ]
    far = None
    if len(servers) > 1:
        far = Client(port, "listener-bridge", mqtt.MQTTv5).start("e/#", 2)
        publishers.append((Client(servers[1].port, "pub-edge", mqtt.MQTTv5).start(), "e/a", 2))
    stop = threading.Event()
    threads = [
        threading.Thread(target=client.publish_until, args=(stop, topic, qos, 40)) for client, topic, qos in publishers
    ]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        time.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice(servers)
        victim.kill()
        time.sleep(dice.uniform(0, 0.3))
        victim.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()

    def settled():
        return (
            all(client.sent == client.acked for client, _, _ in publishers)
            and all(len(set(two.got[t])) >= c.sent and len(set(one.got[t])) >= c.sent for c, t, _ in publishers if t != "e/a")
            and all(
                len(set(group[0].got[t]) | set(group[1].got[t])) >= c.sent for c, t, _ in publishers if t != "e/a"
            )
            and (far is None or len(set(far.got["e/a"])) >= publishers[-1][0].sent)
        )

    until = time.monotonic() + 90
    while not settled() and time.monotonic() < until:
        time.sleep(0.05)
    # Doubles need a moment more to show.
    time.sleep(1)
    wrong = []
    for client, topic, qos in publishers:
        everything = list(range(client.sent))
        if client.acked != client.sent:
            wrong.append(f"{client.name}: {client.sent - client.acked} of {client.sent} were never acknowledged")
        hearers = [(far, True)] if topic == "e/a" else [(two, True), (one, False)]
        for hearer, exact in hearers:
            wrong += faults(hearer.name, topic, everything, hearer.got[topic], exact and qos == 2)
        if topic != "e/a":
            both = sorted(group[0].got[topic] + group[1].got[topic])
            wrong += faults("group", topic, everything, both, qos == 2, ordered=False)
    clients = [two, one, *group, *(c for c, _, _ in publishers), *([far] if far else [])]
    wrong += [f"{c.name}: its session was lost {c.lost_sessions} times" for c in clients if c.lost_sessions]
    for client in clients:
        client.end()
    counts = {client.name: client.sent for client, _, _ in publishers}
    dealt = [sum(len(v) for v in g.got.values()) for g in group]
    print(f"{rounds} kills, sent {json.dumps(counts)}, group dealt {dealt}, qos-1 listener heard {sum(map(len, one.got.values()))}")
    return wrong


def faults(who, topic, sent, got, exact, ordered=True):
    found = []
    missing = set(sent) - set(got)
    if missing:
        found.append(f"{who} {topic}: {len(missing)} lost, first {sorted(missing)[:5]}")
    doubles = len(got) - len(set(got))
    if exact and doubles:
        twice = [n for n, count in collections.Counter(got).items() if count > 1]
        found.append(f"{who} {topic}: {doubles} came twice, first {twice[:5]}")
    if ordered:
        first = list(dict.fromkeys(got))
        if first != sorted(first):
            at = next(i for i in range(1, len(first)) if first[i] < first[i - 1])
            found.append(f"{who} {topic}: out of order at {first[max(0, at - 3): at + 3]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
