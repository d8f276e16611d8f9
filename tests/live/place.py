"""A server of one's own, its HTTP, and media to publish."""

import contextlib
import gzip
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import wire


class NotHere(Exception):
    """The check does not apply: something it needs is not there."""


def expect(good, text):
    if not good:
        raise AssertionError(text() if callable(text) else text)


def same(got, wanted, of=""):
    expect(got == wanted, lambda: f"{of}: {str(got)[:300]} instead of {str(wanted)[:300]}")


def soon(ask, text="it did not happen", seconds=10):
    """Waits until `ask` gives something true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        got = ask()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(text() if callable(text) else text)
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- media ----------------------------------------------------------------------------------------------------------------

class Source:
    """Tags to publish, and how long a round of them is, milliseconds."""

    def __init__(self, tags, length):
        self.tags, self.length = tags, length

    @property
    def heads(self):
        return [tag for tag in self.tags if wire.is_head(tag[0], tag[2])]


_made = {}
_making = threading.Lock()


def media(size="160x120", gop=25, seconds=4, sound=True, picture=True, extra=()):
    """Made once for each kind: H.264 of 25 pictures a second with AAC."""
    key = (size, gop, seconds, sound, picture, tuple(extra))
    if not shutil.which("ffmpeg"):
        raise NotHere("ffmpeg is not there")
    with _making:
        if key not in _made:
            said = ["ffmpeg", "-v", "error"]
            if picture:
                said += ["-f", "lavfi", "-i", f"testsrc=size={size}:rate=25"]
            if sound:
                said += ["-f", "lavfi", "-i", "sine=frequency=500:sample_rate=44100"]
            said += ["-t", str(seconds), *extra]
            if picture:
                said += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", "-b:v", "150k"]
            if sound:
                said += ["-c:a", "aac", "-b:a", "48k"]
            said += ["-f", "flv", "-flvflags", "no_duration_filesize", "-"]
            done = subprocess.run(said, capture_output=True, timeout=60)
            expect(done.returncode == 0, lambda: f"ffmpeg makes no media: {done.stderr.decode()[-300:]}")
            _made[key] = Source([tag for tag in wire.tags(done.stdout) if not (wire.is_head(tag[0], tag[2]) is False and tag[0] == wire.VIDEO and tag[2][0] & 15 == 7 and tag[2][1] == 2)], seconds * 1000)
        return _made[key]


def probe(target, *more, seconds=20, decode=False):
    """What ffprobe (or ffmpeg's decoder) says of it: (exit code, JSON, warnings)."""
    said = ["ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-show_format", *more, target]
    if decode:
        said = ["ffmpeg", "-nostdin", "-v", "warning", *more, "-i", target, "-f", "null", "-"]
    done = subprocess.run(said, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL)
    text = done.stdout.decode(errors="replace")
    return done.returncode, json.loads(text) if text.strip().startswith("{") else {}, done.stderr.decode(errors="replace").strip()


# -- HTTP -----------------------------------------------------------------------------------------------------------------

class Reply:
    def __init__(self, status, headers, body, took):
        self.status, self.headers, self.body, self.took = status, headers, body, took

    def __getitem__(self, name):
        return self.headers.get(name.lower())

    @property
    def text(self):
        return (gzip.decompress(self.body) if self["content-encoding"] == "gzip" else self.body).decode()

    @property
    def json(self):
        return json.loads(self.text)


class Server:
    """A server over a folder of its own. `config` is TOML text; `@folder@` and `@rtmp@` in it are its folder and port."""

    def __init__(self, binary, config="", dev=True, name="live", ports=None, env=None, folder=None):
        self.binary, self.dev, self.env = binary, dev, env
        self.folder = folder or pathlib.Path(tempfile.mkdtemp(prefix=f"live-check-{name}-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.ports = ports or {door: free_port() for door in ("http", "rtmp", "mqtt", "tcp")}
        self.config = self.folder / "yizhan.toml"
        for key, value in {"folder": self.folder, **self.ports}.items():
            config = config.replace(f"@{key}@", str(value))
        self.config.write_text(config)
        self.process = None
        try:
            self.start()
        except BaseException:
            if self.process:
                self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def start(self):
        (self.data / "run.json").unlink(missing_ok=True)
        said = [str(self.binary), "serve", "--config", str(self.config), "--data", str(self.data), *(["--dev"] if self.dev else [])]
        for key, door in (("http.listen", "http"), ("rtmp.tcp.listen", "rtmp"), ("mqtt.tcp", "mqtt"), ("socket.tcp", "tcp")):
            said += ["--set", f"{key}=127.0.0.1:{self.ports[door]}"]
        self.process = subprocess.Popen(said, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, env={**os.environ, **(self.env or {})})
        soon(self._is_up, "the server does not start", 60)

    def _is_up(self):
        expect(self.process.poll() is None, lambda: f"the server does not start: {self.log.read_text()[-900:]}")
        return (self.data / "run.json").exists()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.ports['http']}"

    def rtmp_url(self, name, app="live"):
        return f"rtmp://127.0.0.1:{self.ports['rtmp']}/{app}/{name}"

    @property
    def rtmp(self):
        return self.ports["rtmp"]

    def admin(self):
        return {"authorization": f"Bearer {(self.data / 'local.token').read_text().strip()}"}

    def get(self, path, method="GET", headers=None, body=None, timeout=15):
        began = time.monotonic()
        line = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=timeout)
        try:
            line.putrequest(method, path, skip_accept_encoding=True)
            sent = dict(headers or {})
            if body is not None:
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                sent.setdefault("content-type", "application/json")
                sent["content-length"] = str(len(body))
            for key, value in sent.items():
                line.putheader(key, value)
            line.endheaders(body)
            answer = line.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read(), time.monotonic() - began)
        finally:
            line.close()

    def ask(self, operation, admin=True, **body):
        return self.get(f"/live/v1/{operation}", "POST", self.admin() if admin else None, body)

    def view(self, name, app="live"):
        found = self.ask("show", app=app, name=name)
        return found.json if found.status == 200 else None

    def flv(self, path, seconds, timeout=10, enough=None):
        """What an FLV viewer gets within this time."""
        line = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=timeout)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            if answer.status != 200:
                return Reply(answer.status, {}, answer.read(), 0)
            data, began = bytearray(), time.monotonic()
            while (left := began + seconds - time.monotonic()) > 0:
                line.sock.settimeout(left)
                try:
                    more = answer.read1(65536)
                except TimeoutError:
                    break
                if not more:
                    break
                data += more
                if enough and enough(data):
                    break
            return Reply(200, {key.lower(): value for key, value in answer.getheaders()}, bytes(data), time.monotonic() - began)
        finally:
            line.close()

    def rss(self):
        """Bytes of memory."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def children(self, of=None):
        """Processes below it: {pid: command line}."""
        below, found = {}, {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    text = (entry / "stat").read_text()
                    if text.rpartition(")")[2].split()[0] != "Z":
                        below.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry.name))
        waiting = [of or self.process.pid]
        while waiting:
            for child in below.get(waiting.pop(), []):
                with contextlib.suppress(OSError):
                    found[child] = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    waiting.append(child)
        return found

    def is_up(self):
        return self.process.poll() is None and self.get("/live/v1/openapi.json").status == 200

    def kill(self):
        self.process.kill()
        self.process.wait()

    def again(self):
        self.start()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def close(self):
        if self.process.poll() is None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        if self.process.poll() is None:
            self.kill()
        self.said = self.log.read_text(errors="replace") if self.log.exists() else ""
        shutil.rmtree(self.folder, ignore_errors=True)
