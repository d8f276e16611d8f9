#!/usr/bin/env bash
# MQTT clients that we did not write, each with the same story by MQTT 3.1.1 and 5.0: mqtt.sh [mqtt://127.0.0.1:1883 [mqtts://…] [ws://…]]
# Without an address it starts target/debug/yizhan (or what YIZHAN_BIN names) on free ports, over a folder of its own, with an account
# and with TLS. User and password stand in the address; MQTT_CA names the certificates that mqtts:// is signed by.
set -uo pipefail
cd "$(dirname "$0")" || exit 2

if [[ ! -x .venv/bin/python || requirements.txt -nt .venv/installed ]]; then
  python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt && touch .venv/installed || exit 2
fi
if [[ package-lock.json -nt node_modules/.package-lock.json ]]; then npm ci --silent || exit 2; fi

if [[ $# -eq 0 ]]; then
  binary=${YIZHAN_BIN:-../../target/debug/yizhan}
  [[ -x $binary ]] || { echo "$binary is not built"; exit 2; }
  folder=$(mktemp -d)
  server=
  trap '[[ -n $server ]] && kill $server 2>/dev/null && wait $server 2>/dev/null; rm -rf "$folder"' EXIT
  data=$folder/data
  settings=(--set http.listen=127.0.0.1:0 --set socket.tcp=127.0.0.1:0 --set mqtt.tcp=127.0.0.1:0 --set rtmp.tcp=127.0.0.1:0)
  # Each client tries a wrong password, and none is barred for it.
  settings+=(--set identity.attempts.free=1000)
  if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
      -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null || exit 2
    export MQTT_CA=$folder/cert.pem
    settings+=(--set mqtt.secure.listen=127.0.0.1:0 --set "mqtt.secure.tls.cert=$folder/cert.pem" --set "mqtt.secure.tls.key=$folder/key.pem")
  fi
  # Variables of this name are the server's settings, and YIZHAN_BIN is none.
  env -u YIZHAN_BIN "$binary" serve --dev --data "$data" "${settings[@]}" >"$folder/log" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    [[ -s $data/run.json ]] && break
    kill -0 $server 2>/dev/null || { cat "$folder/log"; exit 2; }
    sleep 0.1
  done
  address() { .venv/bin/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["doors"][sys.argv[2]][0])' "$data/run.json" "$1"; }
  printf 'a-password' | env -u YIZHAN_BIN "$binary" account add ann --data "$data" || exit 2
  set -- "mqtt://ann:a-password@$(address mqtt)" "ws://$(address http)/mqtt"
  [[ -n ${MQTT_CA:-} ]] && set -- "$@" "mqtts://$(address mqtts | sed 's/127.0.0.1/localhost/')"
fi

export PYTHONDONTWRITEBYTECODE=1
failures=0
scripts=0
try() {
  echo "$1"
  scripts=$((scripts + 1))
  "$@" || failures=$((failures + 1))
}
if command -v mosquitto_rr >/dev/null; then try ./mqtt_mosquitto.sh "$@"; else echo "skipped: mosquitto's clients cannot be had"; fi
try .venv/bin/python mqtt_paho.py "$@"
try .venv/bin/python mqtt_gmqtt.py "$@"
try node mqtt_js.mjs "$@"
# Servers of its own, which are killed again and again.
if [[ -n ${binary:-} ]]; then try env -u YIZHAN_BIN .venv/bin/python ../mqtt/kill.py --server "$binary" --rounds 5 --bridge; fi

echo "$((scripts - failures)) of $scripts passed"
((failures == 0))
