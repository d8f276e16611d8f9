#!/usr/bin/env python3
"""Holds a server to the rules of live streaming, from outside: by raw RTMP, HTTP, FLV, HLS and DASH, and by being rude.

    YIZHAN_BIN=target/debug/yizhan tests/live/check.py            # everything, on servers of its own
    YIZHAN_BIN=… tests/live/check.py hls chunk                    # only rules with these words in their name or subject
    … --list                                                     # only says which rules there are

Python 3.9 or newer and its standard library; ffmpeg and ffprobe (without them nearly everything is skipped), and
mosquitto_pub for one rule. One line for each rule, and a line with the sum at the end.
"""

import argparse
import concurrent.futures
import importlib
import inspect
import os
import pathlib
import re
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import place  # noqa: E402

SUBJECTS = sorted(path.stem for path in (pathlib.Path(__file__).parent / "checks").glob("[a-z]*.py"))
# Rules that are looked at at one time.
AT_ONCE = 6


class Rule:
    def __init__(self, run):
        self.run = run
        self.subject = inspect.getmodule(run).__name__.rpartition(".")[2]
        self.name = run.__name__.removeprefix("rule_").replace("_", " ")
        self.alone = getattr(run, "alone", False)


class Servers:
    """The servers that rules share, by their config; each starts when it is first asked for."""

    def __init__(self, binary):
        self.binary, self.running, self.lock = binary, {}, threading.Lock()
        self.logs = []

    def shared(self, config="", dev=True):
        with self.lock:
            key = (config, dev)
            if key not in self.running or self.running[key].process.poll() is not None:
                self.running[key] = place.Server(self.binary, config, dev)
            return self.running[key]

    def own(self, config="", dev=True, **more):
        """One that a rule may stop and kill; the rule closes it."""
        server = place.Server(self.binary, config, dev, **more)
        with self.lock:
            self.running[object()] = server
        return server

    def close(self):
        for server in self.running.values():
            if server.folder.exists():
                server.close()
            self.logs.append(server.said)


def rules():
    found = []
    for subject in SUBJECTS:
        module = importlib.import_module(f"checks.{subject}")
        found += [Rule(run) for name, run in vars(module).items() if name.startswith("rule_") and inspect.getmodule(run) is module]
    return found


def look(rule, servers):
    """(passed, failed or skipped, why)."""
    try:
        rule.run(servers)
        return "PASSED", ""
    except place.NotHere as reason:
        return "SKIPPED", str(reason)
    except AssertionError as wrong:
        line = next((frame.lineno for frame in reversed(traceback.extract_tb(wrong.__traceback__)) if "checks" in frame.filename), 0)
        return "FAILED", f"{wrong} (line {line})"
    except Exception as error:
        frames = [f"{pathlib.Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        return "FAILED", f"{type(error).__name__}: {error} ({', '.join(frames[-4:])})"


def main():
    parser = argparse.ArgumentParser(description="Holds a server to the rules of live streaming.")
    parser.add_argument("--list", action="store_true", help="only says which rules there are")
    parser.add_argument("words", nargs="*", help="words; a rule is looked at that has one in its name or subject")
    said = parser.parse_args()
    chosen = [rule for rule in rules() if not said.words or any(word == rule.subject or word in rule.name for word in said.words)]
    if said.list:
        for rule in chosen:
            print(f"{rule.subject}: {rule.name}")
        return 0
    binary = os.environ.get("YIZHAN_BIN")
    if not binary or not pathlib.Path(binary).exists():
        sys.exit("YIZHAN_BIN is to name the server's program")
    servers, counts, lock, began = Servers(pathlib.Path(binary).resolve()), {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}, threading.Lock(), time.monotonic()

    def do(rule):
        start = time.monotonic()
        state, why = look(rule, servers)
        with lock:
            counts[state] += 1
            print(f"{state} {rule.subject}: {rule.name}{': ' if why else ''}{why[:900]}{f' [{time.monotonic() - start:.1f} s]' if os.environ.get('TIMES') else ''}", flush=True)

    try:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(do, [rule for rule in chosen if not rule.alone]))
        for rule in chosen:
            if rule.alone:
                do(rule)
    finally:
        servers.close()
    panics = [line for log in servers.logs for line in re.findall(r".*panicked.*", log)]
    counts["FAILED" if panics else "PASSED"] += 1
    print(f"FAILED no server panicked: {panics[0][:500]}" if panics else "PASSED no server panicked")
    print(f"{time.monotonic() - began:.0f} s, {counts['SKIPPED']} skipped")
    print(f"{counts['PASSED']} passed, {counts['FAILED']} failed")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
