#!/usr/bin/env bash
# The OpenAPI document of instant messaging against the server that made it, by a tester of others (schemathesis):
# openapi.sh [http://127.0.0.1:8080 TOKEN]. Without an address it starts a server of its own.
# Skipped, with the reason, where schemathesis cannot be installed.
set -uo pipefail
cd "$(dirname "$0")" || exit 2

if [[ ! -x .venv/openapi/bin/st || openapi.txt -nt .venv/openapi/installed ]]; then
  python3 -m venv .venv/openapi && .venv/openapi/bin/pip install --quiet -r openapi.txt && touch .venv/openapi/installed || {
    echo "SKIPPED openapi.sh: schemathesis cannot be installed"
    exit 0
  }
fi

if [[ $# -eq 0 ]]; then
  binary=$(realpath "${YIZHAN_BIN:-../../target/debug/yizhan}")
  [[ -x $binary ]] || { echo "$binary is not built"; exit 2; }
  data=$(mktemp -d)
  # Variables of this name are the server's settings, and YIZHAN_BIN is none.
  env -u YIZHAN_BIN "$binary" serve --data "$data" --set http.listen=127.0.0.1:0 --set socket.tcp=127.0.0.1:0 --set mqtt.tcp=127.0.0.1:0 --set rtmp.tcp=127.0.0.1:0 >"$data.log" 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$data" "$data.log"' EXIT
  for _ in $(seq 600); do
    [[ -s $data/run.json ]] && break
    kill -0 $server 2>/dev/null || { cat "$data.log"; exit 2; }
    sleep 0.1
  done
  printf 'a-password' | env -u YIZHAN_BIN "$binary" account add root --role owner --data "$data" >/dev/null || exit 2
  token=$(env -u YIZHAN_BIN "$binary" token new schemathesis --user root --data "$data" 2>/dev/null | tail -1)
  set -- "http://$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["doors"]["http"][0])' "$data/run.json")" "$token"
fi

# Their example cache and reports stay out of the tree.
home=$PWD
work=$(mktemp -d)
cd "$work" || exit 2
"$home/.venv/openapi/bin/st" run "$1/im/v1/openapi.json" --header "Authorization: Bearer $2" --no-color \
  --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-20}" --workers 2 \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection \
  >"$work/log" 2>&1
failed=$?
cd "$home" || exit 2
grep -E 'Tested:|generated' "$work/log"
if ((failed)); then cat "$work/log"; echo "FAILED openapi.sh"; else echo "PASSED openapi.sh"; fi
rm -rf "$work"
exit $failed
