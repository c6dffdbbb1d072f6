#!/bin/sh
# A site that hangs (it holds its connections and says nothing) keeps nobody waiting: the run ends once its ack rule is met and its patience
# is over, says which site lacks the point, and the site gets everything when it is back. An interrupt ends a run at once.
. "$(dirname "$0")/lib.sh"

use_lab

expect 0 "$lab" up "$T/lab"
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
sed -i 's/^\([[:space:]]*\)ack = all-local.*/\1ack = all-local\n\1linger = 2s/' "$TWINKEEP_HOME/twinkeep.conf"
expect 0 twinkeep config check
expect 0 twinkeep backup

# --- hung before the run: it is not waited for
kill -STOP "$(cat "$T/lab/remote/twinkeepd.pid")"
head -c 5000000 /dev/urandom >"$T/lab/data/one"
expect 0 timeout 120 twinkeep backup --json
json_is ack_met true
json errors | grep -q 'site remote does not hold the point' || fail "nobody says that remote lacks the point"
point=$(json point)

# --- hung in the middle of a run, while all wait for it: an interrupt ends the run
kill -CONT "$(cat "$T/lab/remote/twinkeepd.pid")"
kill -STOP "$(cat "$T/lab/a/twinkeepd.pid")"
head -c 5000000 /dev/urandom >"$T/lab/data/two"
twinkeep backup >"$T/out" 2>"$T/err" &
run=$!
pids="$pids $run"
sleep 3
kill -INT "$run"
got=0
for _ in $(seq 300); do
	kill -0 "$run" 2>/dev/null || break
	sleep 0.1
done
! kill -0 "$run" 2>/dev/null || fail "an interrupted run still waits for a hung site after 30 seconds"
wait "$run" || got=$?
case $got in 1 | 4) ;; *) fail "exit status $got, not 1 or 4, for the interrupted run" ;; esac

# --- all well again: every site holds every point
kill -CONT "$(cat "$T/lab/a/twinkeepd.pid")"
expect 0 twinkeep backup --json
json_is errors '[]'
expect 0 twinkeep list --json
cp "$T/out" "$T/list"
python3 - "$T/list" "$point" <<'EOP' || fail "not every site holds every point: $(cat "$T/list")"
import json, sys
points = json.load(open(sys.argv[1]))["points"]
assert any(p["point"] == sys.argv[2] for p in points)
assert all(sorted(p["sites"]) == ["a", "b", "remote"] for p in points)
EOP
expect 0 twinkeep verify --data
