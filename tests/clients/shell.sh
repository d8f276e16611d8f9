#!/usr/bin/env bash
# The plain doors with curl, and TCP with nc (or bash itself): shell.sh http://127.0.0.1:8080 [127.0.0.1:8888]
# YIZHAN_TOKEN and YIZHAN_KEPT as for the other scripts.
set -uo pipefail

url=${1:?usage: shell.sh http://127.0.0.1:8080 [127.0.0.1:8888]}
tcp=${2:-}
kept=${YIZHAN_KEPT:-disk/}clients-$$-$RANDOM
place=clients/clients-$$-$RANDOM
unicode='你好，驿站 👋🏽'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0
authorization=()
[[ -n ${YIZHAN_TOKEN:-} ]] && authorization=(-H "Authorization: Bearer $YIZHAN_TOKEN")

fetch() { curl --silent --show-error --max-time 60 "${authorization[@]}" "$@"; }
status() { fetch --output /dev/null --write-out '%{http_code}' "$@"; }

# claim NAME TEXT PATTERN: the text has the pattern.
claim() {
  if grep -Eq -- "$3" <<<"$2"; then echo "  ok: $1"; else
    echo "  FAILED: $1: no '$3' in: ${2:0:300}"
    failures=$((failures + 1))
  fi
}

claim 'healthy' "$(status "$url/healthz")" '^200$'
claim 'the time' "$(fetch "$url/v1/time")" '"t2":[0-9]{13}'

# Publish
claim 'text is published' "$(fetch -H 'Content-Type: text/plain; charset=utf-8' --data-binary "$unicode" "$url/v1/publish/$kept")" '"seq":1\b.*"durable":"disk"'
claim 'JSON is published' "$(fetch -H 'Content-Type: application/json' -d '{"on":true}' "$url/v1/publish/$kept")" '"seq":2\b'
claim 'bytes are published' "$(printf '\0\377\200' | fetch -H 'Content-Type: application/octet-stream' --data-binary @- "$url/v1/publish/$kept")" '"seq":3\b'
claim 'a keyed record, with a header and an end' "$(fetch -H 'Content-Type: text/plain' -H 'Yizhan-Key: light' -H 'Yizhan-Expires: 3600' -H 'Yizhan-Header-Lang: en' -d on "$url/v1/publish/$kept")" '"seq":4\b'
claim 'once with one Idempotency-Key' "$(fetch -H "Idempotency-Key: $kept" -H 'Content-Type: text/plain' -d once "$url/v1/publish/$kept")" '"seq":5\b.*"duplicate":false'
claim 'and not again' "$(fetch -H "Idempotency-Key: $kept" -H 'Content-Type: text/plain' -d once "$url/v1/publish/$kept")" '"seq":5\b.*"duplicate":true'
head -c 600000 /dev/zero | tr '\0' x >"$folder/large"
claim 'a large one' "$(fetch -H 'Content-Type: text/plain' --data-binary @"$folder/large" "$url/v1/publish/$kept")" '"seq":6\b'
head -c 20000000 /dev/zero >"$folder/huge"
claim 'one that is too large' "$(status -H 'Content-Type: text/plain' -H 'Expect:' --data-binary @"$folder/huge" "$url/v1/publish/$kept")" '^413$'
claim 'not to a filter' "$(status -d x "$url/v1/publish/clients/%23")" '^400$'
claim 'not more durable than the space is' "$(fetch -H 'Yizhan-Durable: disk' -d x "$url/v1/publish/$place")" '"code":312'

# Read
history=$(fetch "$url/v1/history/$kept?before=6&limit=5")
claim 'history: text with any letters' "$history" "\"text\":\"$unicode\""
claim 'history: JSON' "$history" '"data":\{"on":true\}'
claim 'history: bytes' "$history" '"bin":"AP\+A"'
claim 'history: headers and key' "$history" '"key":"light".*"headers":\{"[Ll]ang":"en"\}|"headers":\{"[Ll]ang":"en"\}.*"key":"light"'
claim 'history: pages' "$(fetch "$url/v1/history/$kept?before=4&limit=2")" '"seq":2\b.*"seq":3\b.*"more":true'
claim 'history: of what is not kept' "$(fetch "$url/v1/history/$place")" '"code":311'
claim 'state' "$(fetch "$url/v1/state?filter=$kept")" '"key":"light"'
claim 'presence' "$(fetch "$url/v1/presence/$place")" '"sessions":\[\]'
claim 'a ticket' "$(fetch -X POST "$url/v1/ticket")" '"ticket":"[^"]+".*"expires_in":'

# Commands by POST
claim 'several commands, answered in order' "$(fetch -d '[{"type":"ping","id":1},{"type":"time","id":2,"t1":1},{"type":"ping","id":3}]' "$url/v1/send")" '"re":1.*"re":2.*"re":3'
claim 'no subscription without a session' "$(fetch -d '{"type":"subscribe","id":1,"sub":1,"filter":"x"}' "$url/v1/send")" '"code":301'
claim 'what is no frame' "$(status -d '{"type":' "$url/v1/send")" '^400$'
claim 'a bad token' "$(curl --silent --max-time 60 --output /dev/null --write-out '%{http_code}' -H 'Authorization: Bearer yz_not_a_token' -d '{"type":"ping","id":1}' "$url/v1/send")" '^401$'
claim 'no way out of the folder' "$(status --path-as-is "$url/sdk/../../../../etc/passwd")" '^(400|404)$'

# Server-Sent Events: curl shows the stream as it is.
curl --silent --no-buffer --max-time 60 "${authorization[@]}" "$url/v1/sse?filter=$kept&last=1" >"$folder/stream" &
stream=$!
for _ in $(seq 300); do grep -q '"records"' "$folder/stream" && break; sleep 0.1; done
fetch -H 'Content-Type: text/plain; charset=utf-8' --data-binary "live $unicode" "$url/v1/publish/$kept" >/dev/null
for _ in $(seq 300); do grep -q "live $unicode" "$folder/stream" && break; sleep 0.1; done
kill "$stream" 2>/dev/null
wait "$stream" 2>/dev/null
text=$(cut -c1-2000 "$folder/stream")
claim 'stream: welcome' "$text" '^data: .*"type":"welcome"'
claim 'stream: ids to come back with' "$text" '^id: .+'
claim 'stream: live' "$text" "live $unicode"
claim 'stream: no event names, so that onmessage hears all' "$(grep -c '^event:' "$folder/stream")" '^0$'
id=$(sed -n 's/^id: *//p' "$folder/stream" | tail -1 | tr -d '\r')
fetch -H 'Content-Type: text/plain' -d meanwhile "$url/v1/publish/$kept" >/dev/null
curl --silent --no-buffer --max-time 60 "${authorization[@]}" -H "Last-Event-ID: $id" "$url/v1/sse?filter=$kept&last=1" >"$folder/again" &
stream=$!
for _ in $(seq 300); do grep -q meanwhile "$folder/again" && break; sleep 0.1; done
kill "$stream" 2>/dev/null
wait "$stream" 2>/dev/null
claim 'stream: goes on by Last-Event-ID' "$(cat "$folder/again")" meanwhile
claim 'stream: nothing twice' "$(grep -c "live $unicode" "$folder/again")" '^0$'

# Long-poll
first=$(fetch --include "$url/v1/poll?filter=$kept")
claim 'poll: welcome at once' "$first" '"type":"welcome"'
number=$(tr -d '\r' <<<"$first" | sed -n 's/^[Yy]izhan-[Pp]oll: *//p')
session=$(sed -n 's/.*"session":"\([^"]*\)".*/\1/p' <<<"$first" | tail -1)
secret=$(sed -n 's/.*"secret":"\([^"]*\)".*/\1/p' <<<"$first" | tail -1)
poll() { curl --silent --max-time 60 -H "Authorization: Session $session:$secret" "$@"; }
claim 'poll: empty when nothing came' "$(poll "$url/v1/poll?wait=0&ack=$number")" '^\[\]$'
number=$((number + 1))
fetch -H 'Content-Type: text/plain' -d polled "$url/v1/publish/$kept" >/dev/null
claim 'poll: what came' "$(poll "$url/v1/poll?wait=25&ack=$number")" polled
claim 'poll: the same again for the same number' "$(poll "$url/v1/poll?wait=25&ack=$number")" polled
claim 'poll: empty after it was acknowledged' "$(poll "$url/v1/poll?wait=0&ack=$((number + 1))")" '^\[\]$'
claim 'poll: a wrong secret' "$(curl --silent --max-time 60 -H "Authorization: Session $session:wrong" "$url/v1/poll?wait=0&ack=1")" '"code":301'

# TCP: one frame a line
if [[ -n $tcp ]]; then
  if command -v nc >/dev/null; then
    coproc NC { exec nc "${tcp%:*}" "${tcp##*:}"; }
    exec {in}<&"${NC[0]}" {out}>&"${NC[1]}"
  else
    exec {in}<>"/dev/tcp/${tcp%:*}/${tcp##*:}"
    out=$in
  fi
  say() { printf '%s\n' "$1" >&"$out"; }
  # hear PATTERN: reads lines until one has it.
  hear() {
    local line
    while IFS= read -r -t 30 line <&"$in"; do
      answers+=$line$'\n'
      grep -Eq -- "$1" <<<"$line" && return
    done
  }
  answers=
  hello='{"type":"hello","id":1}'
  [[ -n ${YIZHAN_TOKEN:-} ]] && hello="{\"type\":\"hello\",\"id\":1,\"token\":\"$YIZHAN_TOKEN\"}"
  say "$hello"
  say "{\"type\":\"subscribe\",\"id\":2,\"sub\":1,\"filter\":\"$place\"}"
  say "{\"type\":\"publish\",\"id\":3,\"topic\":\"$place\",\"text\":\"$unicode\"}"
  hear '"type":"records"'
  say 'this is no frame'
  say '{"type":"ping","id":4}'
  hear '"re":4'
  say '{"type":"bye"}'
  hear '"type":"close"'
  claim 'tcp: welcome' "$answers" '"type":"welcome","re":1'
  claim 'tcp: receipt' "$answers" '"type":"receipt","re":3'
  claim 'tcp: delivered' "$answers" "\"text\":\"$unicode\""
  claim 'tcp: a bad line is answered (100)' "$answers" '"code":100'
  claim 'tcp: and passed over' "$answers" '"type":"pong","re":4'
  claim 'tcp: goodbye' "$answers" '"type":"close","code":1000'
fi

if ((failures)); then
  echo "FAILED curl: $failures claims"
  exit 1
fi
echo "PASSED curl$([[ -n $tcp ]] && echo ' and TCP')"
