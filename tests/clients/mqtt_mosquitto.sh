#!/usr/bin/env bash
# The MQTT story with mosquitto_pub, mosquitto_sub and mosquitto_rr: mqtt_mosquitto.sh mqtt://127.0.0.1:1883 [mqtts://…]
# User and password stand in the address, or nobody has one. MQTT_CA: the certificates that mqtts:// is signed by.
set -uo pipefail

folder=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; done
  rm -rf "$folder"
}
trap finish EXIT
failures=0
head -c 1048576 /dev/urandom >"$folder/large"

# claim NAME ACTUAL EXPECTED
claim() {
  if [[ $2 == "$3" ]]; then echo "  $1"; else
    echo "  FAILED $1: '${2:0:200}' instead of '${3:0:200}'"
    wrong=$((wrong + 1))
  fi
}
pub() { timeout 60 mosquitto_pub "${at[@]}" "$@"; }
# One that is gone after 30 s at the latest.
sub() { exec timeout 40 stdbuf -oL mosquitto_sub "${at[@]}" -W 30 "$@"; }
# listen FILE ARGUMENTS…: a mosquitto_sub in the background, which is there when this returns.
listen() {
  local file=$1
  shift
  # What an earlier listener left must not be taken for this one's.
  : >"$file"
  sub -d "$@" >"$file" 2>"$file.log" &
  listener=$!
  pids+=("$listener")
  for _ in $(seq 200); do
    grep -q '^Subscribed' "$file" "$file.log" && return
    sleep 0.05
  done
  echo "  mosquitto_sub did not subscribe: $(cat "$file.log")"
}
# What a listener printed until it ended, in $heard, without what -d tells.
hear() {
  wait "$1" 2>/dev/null
  heard=$(grep -Ev '^(Client |Subscribed)' "$2")
}

story() {
  local root="clients/$$-$RANDOM$RANDOM" id="mosq$$x$RANDOM"
  local kept=(-c)
  [[ $version == 5 ]] && kept=(-c -x 300)
  local expected='' file="$folder/heard"

  listen "$file" -t "$root/+/state" -t "$root/all/#" -q 2 -C 6 -F '%t %q %r %p'
  for qos in 0 1 2; do
    pub -t "$root/lamp/state" -q $qos -m "你好 $qos"
    pub -t "$root/all/of/it" -q $qos -m "all $qos"
    expected+="$root/lamp/state $qos 0 你好 $qos"$'\n'"$root/all/of/it $qos 0 all $qos"$'\n'
  done
  hear $listener "$file"
  claim 'publish and subscribe, QoS 0, 1, 2, wildcards' "$(sort <<<"$heard")" "$(sort <<<"${expected%$'\n'}")"

  pub -t "$root/kept" -q 1 -r -m first
  pub -t "$root/kept" -q 1 -r -m kept
  claim 'retained: sent' "$(sub -t "$root/kept" -C 1 -F '%r %p')" '1 kept'
  pub -t "$root/kept" -q 1 -r -n
  claim 'retained: cleared' "$(timeout 20 mosquitto_sub "${at[@]}" -t "$root/kept" -W 1 -F '%r %p' 2>/dev/null)" ''

  listen "$file" -t "$root/will" -q 1 -C 1 -F '%q %p'
  local watcher=$listener
  listen "$folder/dying" -t "$root/none" --will-topic "$root/will" --will-payload gone --will-qos 1
  # The one that speaks MQTT is a child of `timeout`.
  disown "$listener"
  kill -9 "$(pgrep -P "$listener")"
  hear $watcher "$file"
  claim 'a will' "$heard" '1 gone'

  timeout 30 mosquitto_sub "${at[@]}" -i "$id" "${kept[@]}" -t "$root/session" -q 2 -E
  expected=
  for i in $(seq 10); do
    pub -t "$root/session" -q $((1 + i % 2)) -m "$i"
    expected+="$i"$'\n'
  done
  claim 'a session that goes on' "$(sub -i "$id" "${kept[@]}" -t "$root/session" -q 2 -C 10 | sort -n)" "${expected%$'\n'}"
  timeout 30 mosquitto_sub "${at[@]}" -i "$id" -t "$root/session" -E

  if [[ $version == 5 ]]; then
    listen "$file" -t "$root/props" -q 1 -C 1 -F '%C|%R|%D|%P|%p'
    pub -t "$root/props" -q 1 -m x -D publish content-type text/x -D publish response-topic a/b -D publish correlation-data c -D publish user-property n v
    hear $listener "$file"
    claim 'properties' "$heard" 'text/x|a/b|c|n:v|x'
    listen "$file" -t "$root/alias" -q 1 -C 3 -F '%t %p'
    for i in 1 2 3; do echo "$i"; done | pub -t "$root/alias" -q 1 -l -D publish topic-alias 1
    hear $listener "$file"
    claim 'a topic alias' "$heard" "$(for i in 1 2 3; do echo "$root/alias $i"; done)"
  fi

  # Who answers: in MQTT 5 the question says where to, and under which mark.
  local asked=(-q 1 -t "$root/questions" -e "$root/answers" -m 2+2) marked=() to="$root/answers" mark=
  [[ $version == 5 ]] && asked+=(-D publish correlation-data 7)
  listen "$file" -t "$root/questions" -q 1 -C 1 -F '%R|%D'
  timeout 40 mosquitto_rr "${at[@]}" -W 30 "${asked[@]}" >"$folder/answer" 2>&1 &
  local asker=$!
  hear $listener "$file"
  IFS='|' read -r to mark <<<"$heard"
  [[ $version == 5 ]] && marked=(-D publish correlation-data "$mark")
  pub -t "${to:-$root/answers}" -q 1 -m 4 "${marked[@]}"
  wait $asker
  claim 'request and answer' "$(cat "$folder/answer")" 4

  (sub -t "$root/large" -q 2 -C 1 -N >"$folder/came") &
  local reader=$!
  # -N leaves no room for what -d would tell, so the message waits for its reader, retained.
  pub -t "$root/large" -q 2 -r -f "$folder/large"
  wait $reader
  claim 'a message of 1 MiB' "$(cmp "$folder/large" "$folder/came" 2>&1)" ''
  pub -t "$root/large" -q 1 -r -n

  listen "$file" -t "$root/many" -q 1 -C 1000
  seq 1000 | pub -t "$root/many" -q 1 -l
  hear $listener "$file"
  claim '1000 messages in order' "$heard" "$(seq 1000)"

  if [[ -n $user ]]; then
    timeout 30 mosquitto_pub "${plain[@]}" -u "$user" -P 'a wrong password' -t "$root/none" -m x >"$file" 2>&1
    local code=$?
    if [[ $version == 5 ]]; then
      claim 'a wrong password' "$([[ $code == 134 || $code == 135 ]] && echo refused || echo "$code: $(cat "$file")")" refused
    else
      claim 'a wrong password' "$([[ $code == 4 || $code == 5 ]] && echo refused || echo "$code: $(cat "$file")")" refused
    fi
  fi
}

[[ $# -gt 0 ]] || { echo "usage: $0 mqtt://127.0.0.1:1883 [mqtts://…]"; exit 2; }
for address in "$@"; do
  [[ $address =~ ^(mqtts?)://(([^:@]+):([^@]*)@)?([^:/]+):([0-9]+) ]] || continue
  scheme=${BASH_REMATCH[1]} user=${BASH_REMATCH[3]} password=${BASH_REMATCH[4]}
  for version in 311 5; do
    plain=(-h "${BASH_REMATCH[5]}" -p "${BASH_REMATCH[6]}" -V "$version")
    [[ $scheme == mqtts ]] && plain+=(--cafile "${MQTT_CA:?names the certificates for mqtts://}")
    at=("${plain[@]}")
    [[ -n $user ]] && at+=(-u "$user" -P "$password")
    wrong=0
    story
    title="mosquitto $(mosquitto_sub --help | sed -n 's/.*libmosquitto \([0-9.]*\) .*/\1/p;s/^mosquitto_sub version \([0-9.]*\).*/\1/p' | head -1) $scheme ${version/311/3.1.1}"
    if ((wrong)); then
      echo "FAILED $title: $wrong claims"
      failures=$((failures + 1))
    else
      echo "PASSED $title"
    fi
    [[ $address =~ ^(mqtts?)://(([^:@]+):([^@]*)@)?([^:/]+):([0-9]+) ]]
  done
done
((failures == 0))
