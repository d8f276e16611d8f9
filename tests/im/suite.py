"""Checks: what they are called, and how they are run."""

import concurrent.futures
import contextlib
import importlib
import inspect
import json
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import traceback

from people import Person, Refused

SUBJECTS = sorted(path.stem for path in pathlib.Path(__file__).with_name("checks").glob("[a-z]*.py"))
# Checks that run at once.
AT_ONCE = 8

checks = []


class NotHere(Exception):
    """The check does not apply: something it needs was not given."""


class Check:
    def __init__(self, run, subject, alone):
        self.run, self.subject, self.alone = run, subject, alone
        self.name = run.__name__
        self.sentence = self.name.replace("_", " ")


def rule(run=None, alone=False):
    """Registers a check; its name is the rule. `alone`: run after the others, by itself, since it restarts the server or looks at all of it."""

    def register(run):
        check = Check(run, inspect.getmodule(run).__name__.rpartition(".")[2], alone)
        assert all(check.name != other.name for other in checks), f"two checks are called {check.name}"
        checks.append(check)
        return run

    return register(run) if run else register


def load():
    for subject in SUBJECTS:
        importlib.import_module(f"checks.{subject}")
    return checks


def expect(good, text):
    if not good:
        raise AssertionError(text() if callable(text) else text)


def same(got, wanted, of=""):
    if got != wanted:
        raise AssertionError(f"{of}: {json.dumps(got, ensure_ascii=False, default=str)[:600]} instead of {json.dumps(wanted, ensure_ascii=False, default=str)[:600]}")


def soon(ask, text="it did not happen", seconds=10):
    """Waits until `ask` gives something true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        got = ask()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(text() if callable(text) else text)
        time.sleep(0.03)


class Server:
    """A server of our own, over a folder of its own, that can be killed and started again."""

    def __init__(self, binary, settings=(), dev=True):
        self.binary, self.settings, self.dev = binary, list(settings), dev
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="im-check-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.process = None
        self.ports = {"http": 0, "mqtt": 0, "tcp": 0}
        self.start()

    def start(self):
        (self.data / "run.json").unlink(missing_ok=True)
        said = [str(self.binary), "serve", *(["--dev"] if self.dev else []), "--data", str(self.data)]
        names = {"http": "http.listen", "tcp": "socket.tcp", "mqtt": "mqtt.tcp"}
        for setting in [f"{names[door]}=127.0.0.1:{port}" for door, port in self.ports.items()] + ["rtmp.tcp=127.0.0.1:0"] + self.settings:
            said += ["--set", setting]
        self.process = subprocess.Popen(said, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)

        def here():
            expect(self.process.poll() is None, lambda: f"the server does not start: {self.log.read_text()[-800:]}")
            with contextlib.suppress(OSError, ValueError, KeyError):
                doors = json.loads((self.data / "run.json").read_text())["doors"]
                return {door: int(doors[door][0].rpartition(":")[2]) for door in names}
            return None

        self.ports = soon(here, "the server does not start", 60)

    @property
    def base(self):
        return f"http://127.0.0.1:{self.ports['http']}"

    def admin_token(self):
        return (self.data / "local.token").read_text().strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def again(self):
        self.kill()
        self.start()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Place:
    """Where the server is, and how people come in: as guests (`--dev`), or with accounts that an admin makes."""

    def __init__(self, base, admin_token=None, guests=True, mqtt=None, server=None):
        self.base, self.guests, self.mqtt, self.server = base, guests, mqtt, server
        self.token = admin_token

    @property
    def admin(self):
        if not (self.server or self.token):
            raise NotHere("no admin's token was given (--token)")
        return Person.with_token(self, "admin", self.server.admin_token() if self.server else self.token)


class Stage:
    """What a check is given: people whom nobody else knows, and an end that cleans up."""

    def __init__(self, place, seed):
        self.place = place
        self.random = random.Random(seed)
        self.name = f"{random.getrandbits(40):010x}"
        self.people = []
        self._count = 0

    @property
    def admin(self):
        return self.place.admin

    @property
    def server(self):
        if self.place.server is None:
            raise NotHere("the server is not ours to kill (--server)")
        return self.place.server

    def person(self, name="p"):
        """Somebody new."""
        self._count += 1
        name = f"{name}-{self.name}{self._count}"
        person = Person.guest(self.place, name) if self.place.guests else Person.account(self.place, name)
        self.people.append(person)
        return person

    def persons(self, *names):
        """New people, who have all been here."""
        people = [self.person(name) for name in names]
        for person in people:
            person.ask("set_profile", name=person.user.rpartition(":")[2].partition("-")[0])
        return people

    def group(self, owner, *members, kind="group", **more):
        return owner.ask("create", kind=kind, title=f"of {self.name}", members=[member.user for member in members], **more)["id"]

    def close(self):
        for person in self.people:
            person.close()


class Result:
    def __init__(self, check, state, text, seconds):
        self.check, self.state, self.text, self.seconds = check, state, text, seconds


def one(place, check, seed):
    began = time.monotonic()
    stage = Stage(place, seed)
    try:
        check.run(stage)
        state, text = "ok", ""
    except NotHere as reason:
        state, text = "n/a", str(reason)
    except (AssertionError, Refused) as wrong:
        line = next((frame.lineno for frame in reversed(traceback.extract_tb(wrong.__traceback__)) if "checks" in frame.filename), 0)
        state, text = "failed", f"{wrong} (line {line})"
    except Exception:
        state, text = "failed", traceback.format_exc(limit=-3)
    finally:
        stage.close()
    return Result(check, state, text, time.monotonic() - began)


def run(place, chosen, tell, seed):
    results = []
    lock = threading.Lock()

    def do(check):
        result = one(place, check, f"{seed} {check.name}")
        with lock:
            results.append(result)
            tell(result)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, [check for check in chosen if not check.alone]))
    for check in chosen:
        if check.alone:
            do(check)
    return results
