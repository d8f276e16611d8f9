#!/usr/bin/env python3
"""Holds a server to the rules of instant messaging, from outside: by HTTP, WebSocket and MQTT.

    check.py --server target/debug/yizhan                  # a server of its own, with guests (--dev); also kills it
    check.py --server target/debug/yizhan --accounts       # … with accounts
    check.py --url http://127.0.0.1:8080 --token yz_…      # any server; the token is an admin's. Accounts are made and left there
    check.py --server … groups recall                      # only checks with these words in their name or subject

Python 3.9 or newer with `requests` and `websockets`; `paho-mqtt` for MQTT.
"""

import argparse
import json
import pathlib
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import suite  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description="Holds a server to the rules of instant messaging.")
    parser.add_argument("--server", metavar="BINARY", help="starts this one, over a folder of its own")
    parser.add_argument("--url", help="where a server is")
    parser.add_argument("--token", help="an admin's token, with --url")
    parser.add_argument("--mqtt", metavar="HOST:PORT", help="where MQTT is spoken, with --url")
    parser.add_argument("--guests", action="store_true", help="with --url: people come in without accounts")
    parser.add_argument("--accounts", action="store_true", help="with --server: people have accounts")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="with --server: a setting")
    parser.add_argument("--seed", default=str(time.time_ns()), help="of what is random")
    parser.add_argument("--fuzz-seconds", type=float, default=5, help="how long random questions are asked")
    parser.add_argument("--steps", type=int, default=150, help="how many steps random stories have")
    parser.add_argument("--json", metavar="FILE", help="where the results are written, too")
    parser.add_argument("--list", action="store_true", help="only says which checks there are")
    parser.add_argument("--quiet", action="store_true", help="says nothing of what is as it should be")
    parser.add_argument("--keep", action="store_true", help="with --server: the folder stays")
    parser.add_argument("names", nargs="*", help="words; a check is run that has one in its name or subject")
    return parser.parse_args()


def main():
    said = arguments()
    chosen = [check for check in suite.load()
              if not said.names or any(name.replace(" ", "_") in check.name or name == check.subject for name in said.names)]
    if said.list:
        for check in chosen:
            print(f"{check.subject}: {check.sentence}")
        return 0
    if bool(said.server) == bool(said.url):
        sys.exit("one of --server and --url is needed")
    server = None
    if said.server:
        settings = ["identity.attempts.free=1000", "limits.address_rate_max=10000", *said.set]
        server = suite.Server(said.server, settings, dev=not said.accounts)
        mqtt = ("127.0.0.1", server.ports["mqtt"])
        place = suite.Place(server.base, guests=not said.accounts, mqtt=mqtt, server=server)
    else:
        host, _, port = (said.mqtt or "").rpartition(":")
        place = suite.Place(said.url.rstrip("/"), said.token, said.guests, (host, int(port)) if said.mqtt else None)
    place.fuzz_seconds, place.steps = said.fuzz_seconds, said.steps

    def tell(result):
        if result.state == "failed" or not said.quiet:
            print(f"{result.state:6} {result.check.subject}: {result.check.sentence}{': ' if result.text else ''}{result.text}", flush=True)

    began = time.monotonic()
    print(f"seed {said.seed}", flush=True)
    try:
        results = suite.run(place, chosen, tell, said.seed)
        panics = [] if server is None else re.findall(r".*panick?ed.*", server.log.read_text(errors="replace"))
        for line in panics:
            print(f"the server's log: {line[:600]}")
    finally:
        if server and said.keep:
            server.kill()
            print(f"kept: {server.folder}")
        elif server:
            server.close()
    count = {state: sum(result.state == state for result in results) for state in ("ok", "failed", "n/a")}
    print(f"{count['ok']} ok, {count['failed']} failed, {count['n/a']} do not apply; {len(panics)} panics; {time.monotonic() - began:.1f} s")
    if said.json:
        pathlib.Path(said.json).write_text(json.dumps([
            {"check": result.check.name, "state": result.state, "text": result.text, "seconds": round(result.seconds, 3)}
            for result in results], indent=1, ensure_ascii=False) + "\n")
    return 1 if count["failed"] or panics or not results else 0


if __name__ == "__main__":
    sys.exit(main())
