"""Checks: what they are called, which statements they hold, and how they are run."""

import asyncio
import contextlib
import importlib
import inspect
import pathlib
import random
import time

import client as clients
import wire
from client import Client, Failed, NotHere, expect
from wire import CONNACK, Violation

# How long one check may take, s.
CHECK_MAX = 40
# Checks that run at once.
AT_ONCE = 48
SUBJECTS = sorted(path.stem for path in pathlib.Path(__file__).with_name("checks").glob("[a-z]*.py"))

checks = []


class Check:
    def __init__(self, run, ids, subject, last):
        self.run, self.ids, self.subject, self.last = run, ids, subject, last
        self.name = run.__name__
        self.sentence = self.name.replace("_", " ")
        # 3.1.1 where a statement of it is held, 5.0 likewise.
        self.versions = [version for version, prefix in ((4, "MQTT-"), (5, "MQTT5-")) if any(i.startswith(prefix) for i in ids)]


def holds(*ids, last=False):
    """Says which statements a check holds a server to, and with that the versions that it is run with.

    `last`: it fails to log in, for which servers may bar an address for a while; so it is run alone, after the others.
    """

    def register(run):
        check = Check(run, ids, inspect.getmodule(run).__name__.rpartition(".")[2], last)
        assert all(check.name != other.name for other in checks), f"two checks are called {check.name}"
        checks.append(check)
        return run

    return register


def load():
    for subject in SUBJECTS:
        importlib.import_module(f"checks.{subject}")
    return checks


class Place:
    """Where the server is, and how one comes in."""

    def __init__(self, host, port, ws_port=None, ws_path="/mqtt", user=None, password=None, root="conform"):
        self.host, self.port, self.ws_port, self.ws_path = host, port, ws_port, ws_path
        self.user, self.password = user, password
        # The first level of all topics.
        self.root = root


class Stage:
    """What a check is given: clients of one version, names that nobody else has, and an end that cleans up."""

    def __init__(self, place, version):
        self.place, self.version = place, version
        self.name = f"{random.getrandbits(48):012x}"
        self.clients = []
        self._names = 0
        # Topics that may have something retained.
        self._retained = set()

    @property
    def v5(self):
        return self.version == 5

    def topic(self, under=""):
        """A topic that only this check uses."""
        self._names += 1
        return f"{self.place.root}/{self.name}/{self._names}" + (f"/{under}" if under else "")

    def retained(self, under=""):
        """A topic that only this check uses; what is retained there is cleared at the end."""
        topic = self.topic(under)
        self._retained.add(topic)
        return topic

    def id(self):
        self._names += 1
        return f"c{self.name}{self._names}"[:23]

    async def dial(self, transport=clients.Tcp):
        """A connection on which nothing was said."""
        port = self.place.port
        if transport is clients.WebSocket:
            port = self.place.ws_port
            if port is None:
                raise NotHere("no WebSocket port was given (--ws-port)")
        client = Client(self.version, await transport.dial(self.place.host, port, self.place.ws_path))
        self.clients.append(client)
        return client

    async def greet(self, client, client_id=None, props=(), **more):
        """CONNECT, and whatever CONNACK comes."""
        said = dict(props)
        client.packet_maximum = said.get("packet_maximum")
        client.receive_maximum = said.get("receive_maximum", 65535)
        client.alias_maximum = said.get("alias_maximum", 0)
        client.problem_information = bool(said.get("request_problem", 1))
        if self.place.user is not None:
            more.setdefault("user", self.place.user)
            more.setdefault("password", self.place.password)
        client.send(wire.connect(self.version, self.id() if client_id is None else client_id, props=props, **more))
        return await client.take(CONNACK)

    async def connect(self, client_id=None, transport=clients.Tcp, **more):
        """A client that is in. With `keep`, its session outlives the connection."""
        if more.pop("keep", False):
            more["clean"] = more.get("clean", False)
            if self.v5 and "session_expiry" not in dict(more.get("props", ())):
                more["props"] = [*more.get("props", ()), ("session_expiry", 300)]
        client = await self.dial(transport)
        answer = await self.greet(client, client_id, **more)
        expect(answer.reason == 0, f"refused with 0x{answer.reason:02X}")
        return client

    async def pair(self, *filters, **more):
        """A subscriber to the filters, and a publisher."""
        subscriber, publisher = await self.connect(), await self.connect()
        await subscriber.subscribe(*filters, **more)
        return subscriber, publisher

    async def forget(self, client_id):
        """Ends the session of a client."""
        with contextlib.suppress(Exception):
            await (await self.connect(client_id)).leave()

    async def strike(self):
        """Clears what was retained, and ends all that is open. Raises what came wrong unseen."""
        if self._retained:
            with contextlib.suppress(Exception):
                sweeper = await self.connect()
                for topic in self._retained:
                    await sweeper.publish(topic, b"", retain=True)
        wrong = None
        for client in self.clients:
            try:
                await client.bury()
            except Violation as error:
                wrong = wrong or error
        if wrong:
            raise wrong


class Result:
    def __init__(self, check, version, state, text, seconds):
        self.check, self.version, self.state, self.text, self.seconds = check, version, state, text, seconds


async def run_one(place, check, version, ready):
    async with ready:
        stage = Stage(place, version)
        began = time.monotonic()
        state, text = "ok", ""
        try:
            try:
                await asyncio.wait_for(check.run(stage), CHECK_MAX)
            finally:
                await stage.strike()
        except NotHere as error:
            state, text = "n/a", str(error)
        except Violation as error:
            state, text = "failed", f"violation: {error}"
        except Failed as error:
            state, text = "failed", str(error)
        except asyncio.TimeoutError:
            state, text = "failed", f"took more than {CHECK_MAX} s"
        except Exception as error:  # Whatever it is, the other checks go on.
            state, text = "failed", f"{type(error).__name__}: {error}"
        return Result(check, version, state, text, time.monotonic() - began)


async def run(place, chosen, versions, tell):
    """Runs checks, those of `chosen` in `versions`, and tells of each as it ends."""
    results = []
    for last, at_once in ((False, AT_ONCE), (True, 1)):
        ready = asyncio.Semaphore(at_once)
        tasks = [asyncio.ensure_future(run_one(place, check, version, ready))
                 for check in chosen for version in check.versions if version in versions and check.last == last]
        for task in asyncio.as_completed(tasks):
            result = await task
            tell(result)
            results.append(result)
    order = {check.name: i for i, check in enumerate(chosen)}
    return sorted(results, key=lambda result: (order[result.check.name], result.version))
