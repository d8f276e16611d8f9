#!/usr/bin/env python3
"""Makes docs/reference/mqtt-conformance.md of statements.json and the checks.

    page.py            # writes the page
    page.py --check    # says whether the page is as it should be, and whether each statement is held or has its reason
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import suite  # noqa: E402

PAGE = HERE.parent.parent / "docs/reference/mqtt-conformance.md"
STANDARDS = [("MQTT", "MQTT 3.1.1"), ("MQTT5", "MQTT 5.0")]

HEAD = """# MQTT: statement by statement

<!-- Made by tests/mqtt/page.py of tests/mqtt/statements.json and the checks. Change those, not this page. -->

The standards number what they demand. This page names each statement that a server can be held to, in our own words, and the checks that hold it.
The checks are in `tests/mqtt`: raw bytes over TCP and WebSocket, in Python's standard library alone. They run against our server with each
`./x test`, and you can run them against any server:

```sh
python3 tests/mqtt/conform.py --port 1883 --ws-port 8080
```

{counts}
"""


def problems(statements, checks):
    """What is wrong with the table."""
    known = {statement["id"]: statement for statement in statements}
    found = [f"{check.name} holds {i}, which is no statement" for check in checks for i in check.ids if i not in known]
    held = {i for check in checks for i in check.ids}
    for statement in statements:
        if statement["id"] in held and "unheld" in statement:
            found.append(f"{statement['id']} is held, and has a reason why not")
        if statement["id"] not in held and "unheld" not in statement and statement["who"] != "client":
            found.append(f"{statement['id']} is held by no check: {statement['says']}")
    return found


def deviations():
    """What other servers are known to do otherwise, as a section."""
    known = json.loads((HERE / "deviations.json").read_text())
    lines = ["## Other servers", "", "The checks were tried on these servers first. Where they do otherwise, it is written down, so that a run says nothing new."]
    sentence = {check.name: check.sentence for check in suite.checks}
    for server in known.values():
        lines += ["", f"**{server['server']}**, {server['note']}", "", "| check | version | what it does |", "|---|---|---|"]
        for name, versions in server["checks"].items():
            lines += [f"| {sentence[name]} | {'3.1.1' if version == '4' else '5.0'} | {why} |" for version, why in versions.items()]
    return lines


def page(statements, checks):
    lines = []
    counts = []
    for prefix, title in STANDARDS:
        mine = [statement for statement in statements if statement["id"].startswith(prefix + "-")]
        ours = [statement for statement in mine if statement["who"] != "client"]
        without = [statement for statement in ours if "unheld" in statement]
        by = {statement["id"]: [check for check in checks if statement["id"] in check.ids] for statement in mine}
        runs = sum(1 for check in checks if any(i.startswith(prefix + "-") for i in check.ids))
        counts.append(f"{title}: {len(ours)} statements for servers, {len(ours) - len(without)} of them held by {runs} checks, "
                      f"{len(without)} that cannot be seen from outside.")
        lines += [f"## {title}", "", "| statement | in short | held by |", "|---|---|---|"]
        for statement in mine:
            held = by[statement["id"]]
            if statement["who"] == "client" and not held:
                continue
            names = "<br>".join(check.sentence for check in held) or f"— {statement['unheld']}"
            lines.append(f"| {statement['id'].replace('MQTT5-', 'MQTT-')} | {statement['says']} | {names} |")
        lines.append("")
    return HEAD.format(counts="\n".join(f"- {count}" for count in counts)) + "\n" + "\n".join(lines + deviations()) + "\n"


def main():
    statements = json.loads((HERE / "statements.json").read_text())
    checks = suite.load()
    wrong = problems(statements, checks)
    text = page(statements, checks)
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            wrong.append(f"{PAGE} is not up to date: run tests/mqtt/page.py")
    else:
        PAGE.write_text(text)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
