#!/usr/bin/env bash
# The rules of instant messaging from outside, by HTTP, WebSocket and MQTT: im.sh
# Starts target/debug/yizhan (or what YIZHAN_BIN names) over folders of its own, with guests and with accounts, and kills it now and then.
set -uo pipefail
cd "$(dirname "$0")" || exit 2

binary=${YIZHAN_BIN:-../../target/debug/yizhan}
[[ -x $binary ]] || { echo "$binary is not built"; exit 2; }
if [[ ! -x .venv/bin/python || requirements.txt -nt .venv/installed ]]; then
  if ! { python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt && touch .venv/installed; }; then
    echo "skipped: pip cannot be had"
    exit 0
  fi
fi

export PYTHONDONTWRITEBYTECODE=1
# Variables of this name are the server's settings, and YIZHAN_BIN is none.
check() { env -u YIZHAN_BIN .venv/bin/python ../im/check.py --server "$binary" --quiet "$@"; }
failures=0
check --steps 80 --fuzz-seconds 3 || failures=1
check --accounts counting groups messages persons || failures=1
exit $failures
