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

# Messages of one publisher that wait for their acknowledgement.
WINDOW = 40
CONFIG = """
[http]
listen = "127.0.0.1:{http}"
[socket]
tcp = "127.0.0.1:{tcp}"
[mqtt]
tcp = "127.0.0.1:{mqtt}"
[rtmp]
tcp = []
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
retry_min = 0.1
retry_max = 0.5
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
        self.client.on_message = self.heard
        self.client.on_connect = self.connected
        self.client.on_publish = self.published
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.max_queued_messages_set(0)
        # With a limit of its own, Paho publishes anew what it had released already when it comes back.
        self.client.max_inflight_messages_set(0)
        # What was said last, for when something is wrong.
        self.said = collections.deque(maxlen=20_000)
        self.client.on_log = lambda _client, _data, _level, line: self.said.append(f"{time.monotonic():.4f} {line}")
        self.port, self.wish, self.ready = port, None, threading.Event()
        self.got = collections.defaultdict(list)
        self.sent = self.acked = 0
        self.lost_sessions = 0
        self.plan, self.stopped, self.over = None, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def start(self, wish=None, qos=0):
        self.wish, self.qos = wish, qos
        arguments = {"properties": self.properties} if self.properties else {}
        self.client.connect("127.0.0.1", self.port, keepalive=30, **arguments)
        self.thread.start()
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

    def run(self):
        while not self.over.is_set():
            if self.client.loop(0.005) != mqtt.MQTT_ERR_SUCCESS:
                self.come_back()
                continue
            while self.plan and not self.stopped.is_set() and self.client.is_connected() and self.sent - self.acked < WINDOW:
                topic, qos = self.plan
                info = self.client.publish(topic, f"{self.sent} {'x' * 100}", qos)
                self.said.append(f"{time.monotonic():.4f} message {self.sent} is m{info.mid}")
                self.sent += 1

    def come_back(self):
        """Reconnects. An attempt that fails makes Paho 2.2 forget that it has released a message, and publish it anew."""
        try:
            for message in self.client._out_messages.values():
                if message.state == mqtt.mqtt_ms_resend_pubrel:
                    message.state = mqtt.mqtt_ms_wait_for_pubcomp
            self.client.reconnect()
        except OSError:
            time.sleep(0.02)

    def end(self):
        self.over.set()
        self.thread.join()
        self.client.disconnect()


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
        print("FAILED", line)
    if not wrong:
        print("PASSED nothing acknowledged is lost, nothing of QoS 2 comes twice, though the servers are killed")
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
    for client, topic, qos in publishers:
        client.plan = (topic, qos)
    for _ in range(rounds):
        time.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice(servers)
        victim.kill()
        time.sleep(dice.uniform(0, 0.3))
        victim.start()
    time.sleep(0.5)
    for client, _, _ in publishers:
        client.stopped.set()

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
        # Paho may send what is new before what it repeats, so the server's order is what both listeners heard.
        if topic != "e/a" and list(dict.fromkeys(two.got[topic])) != list(dict.fromkeys(one.got[topic])):
            wrong.append(f"{topic}: the two listeners heard it in different orders")
        if topic != "e/a":
            both = sorted(group[0].got[topic] + group[1].got[topic])
            wrong += faults("group", topic, everything, both, qos == 2)
    clients = [two, one, *group, *(c for c, _, _ in publishers), *([far] if far else [])]
    wrong += [f"{c.name}: its session was lost {c.lost_sessions} times" for c in clients if c.lost_sessions]
    for client in clients:
        client.end()
    if wrong:
        for client in clients:
            (servers[0].folder / f"{client.name}.said").write_text("\n".join(client.said))
    counts = {client.name: client.sent for client, _, _ in publishers}
    dealt = [sum(len(v) for v in g.got.values()) for g in group]
    print(f"{rounds} kills, sent {json.dumps(counts)}, group dealt {dealt}, qos-1 listener heard {sum(map(len, one.got.values()))}")
    return wrong


def faults(who, topic, sent, got, exact):
    found = []
    missing = set(sent) - set(got)
    if missing:
        found.append(f"{who} {topic}: {len(missing)} lost, first {sorted(missing)[:5]}")
    doubles = len(got) - len(set(got))
    if exact and doubles:
        twice = [n for n, count in collections.Counter(got).items() if count > 1]
        found.append(f"{who} {topic}: {doubles} came twice, first {twice[:5]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
