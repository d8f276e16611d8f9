#!/usr/bin/env bash
# All of this folder against one server: run.sh [http://127.0.0.1:8080 [127.0.0.1:8888]]
# Without an address it starts target/debug/yizhan (or what YIZHAN_BIN names) on free ports, over a folder of its own.
set -uo pipefail
cd "$(dirname "$0")" || exit 2

if [[ ! -x .venv/bin/python || requirements.txt -nt .venv/installed ]]; then
  python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt && touch .venv/installed || exit 2
fi
if [[ package-lock.json -nt node_modules/.package-lock.json ]]; then npm ci --silent || exit 2; fi

own=$#
if [[ $# -eq 0 ]]; then
  binary=${YIZHAN_BIN:-../../target/debug/yizhan}
  [[ -x $binary ]] || { echo "$binary is not built"; exit 2; }
  data=$(mktemp -d)
  # Variables of this name are the server's settings, and YIZHAN_BIN is none.
  env -u YIZHAN_BIN "$binary" serve --dev --data "$data" --set http.listen=127.0.0.1:0 --set socket.tcp=127.0.0.1:0 --set mqtt.tcp=127.0.0.1:0 --set rtmp.tcp=127.0.0.1:0 >"$data.log" 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$data" "$data.log"' EXIT
  for _ in $(seq 600); do
    [[ -s $data/run.json ]] && break
    kill -0 $server 2>/dev/null || { cat "$data.log"; exit 2; }
    sleep 0.1
  done
  address() { .venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["doors"][sys.argv[2]][0])' "$data/run.json" "$1"; }
  set -- "http://$(address http)" "$(address tcp)"
fi

export PYTHONDONTWRITEBYTECODE=1
failures=0
try() {
  echo "$1"
  "$@" || failures=$((failures + 1))
}
try .venv/bin/python python_websockets.py "$1"
try .venv/bin/python python_wsclient.py "$1"
try .venv/bin/python python_sse.py "$1"
try node node_ws.mjs "$1"
try node node_eventsource.mjs "$1"
try ./shell.sh "$@"
try python3 autobahn.py "${1/#http/ws}/v1/socket" --quiet
scripts=7
# MQTT's clients have a server of their own, with an account and TLS.
if [[ $own -eq 0 ]]; then
  scripts=11
  try ./mqtt.sh
  for name in ann bob; do printf 'a-password' | env -u YIZHAN_BIN "$binary" account add "$name" --data "$data" >/dev/null; done
  try .venv/bin/python im_http.py "$1" ann:a-password bob:a-password
  # The OpenAPI document has a server of its own: what a tester makes up is not for the others.
  try ./openapi.sh
  # The rules of instant messaging have servers of their own, too, which are killed now and then.
  try ./im.sh
fi

echo "$((scripts - failures)) of $scripts passed"
((failures == 0))
