#!/usr/bin/env python3
"""Holds an MQTT server to the normative statements of MQTT 3.1.1 and 5.0, from outside, with raw bytes.

    conform.py --port 1883                          # both versions, over TCP
    conform.py --port 1883 --ws-port 8083           # WebSocket too
    conform.py --port 1883 --version 5 will retain  # only checks with these words in their name or subject

Python 3.9 or newer, nothing else. The server takes anonymous clients, who may publish and subscribe under `conform/#`, `$share/`
included, or --user and --password name one who may; then enhanced authentication and wrong passwords are checked too.
"""

import argparse
import asyncio
import json
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import suite  # noqa: E402

DEVIATIONS = pathlib.Path(__file__).with_name("deviations.json")


def arguments():
    parser = argparse.ArgumentParser(description="Holds an MQTT server to the standards.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--ws-port", type=int, help="where MQTT is spoken over WebSocket")
    parser.add_argument("--ws-path", default="/mqtt")
    parser.add_argument("--version", choices=("4", "5", "both"), default="both", help="4 is MQTT 3.1.1")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--root", default="conform", help="the first level of all topics, where a server keeps some in another way")
    parser.add_argument("--json", metavar="FILE", help="where the results are written, too")
    parser.add_argument("--known", metavar="SERVER", help="a server in deviations.json, whose failures there are no failure here")
    parser.add_argument("--list", action="store_true", help="only says which checks there are")
    parser.add_argument("--quiet", action="store_true", help="says nothing of what is as it should be")
    parser.add_argument("names", nargs="*", help="words; a check is run that has one in its name or subject")
    return parser.parse_args()


def main():
    said = arguments()
    chosen = [check for check in suite.load()
              if not said.names or any(name.replace(" ", "_") in (check.name, check.subject) or name in check.name for name in said.names)]
    if said.list:
        for check in chosen:
            print(f"{check.subject}: {check.sentence} [{', '.join(check.ids)}]")
        return 0
    known = json.loads(DEVIATIONS.read_text())[said.known]["checks"] if said.known else {}
    versions = {"4": [4], "5": [5], "both": [4, 5]}[said.version]
    place = suite.Place(said.host, said.port, said.ws_port, said.ws_path, said.user, said.password, said.root)

    def tell(result):
        if result.state == "failed" and known.get(result.check.name, {}).get(str(result.version)):
            result.state = "known"
        version = "3.1.1" if result.version == 4 else "5.0"
        if result.state in ("failed", "known") or not said.quiet:
            print(f"{result.state:6} {version:5} {result.check.sentence}{': ' if result.text else ''}{result.text}", flush=True)

    began = time.monotonic()
    results = asyncio.run(suite.run(place, chosen, versions, tell))
    count = {state: sum(result.state == state for result in results) for state in ("ok", "failed", "known", "n/a")}
    print(f"{count['ok']} ok, {count['failed']} failed, {count['known']} known deviations, {count['n/a']} do not apply; "
          f"{time.monotonic() - began:.1f} s")
    if said.json:
        pathlib.Path(said.json).write_text(json.dumps([
            {"check": result.check.name, "version": result.version, "state": result.state, "text": result.text,
             "seconds": round(result.seconds, 3)} for result in results], indent=1, ensure_ascii=False) + "\n")
    return 1 if count["failed"] or not results else 0


if __name__ == "__main__":
    sys.exit(main())
