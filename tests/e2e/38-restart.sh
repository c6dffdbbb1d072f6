#!/bin/sh
# A daemon that is started anew in the middle of a run, in order or after a crash, costs the run no site: it is reached again, and gets what it lost.
. "$(dirname "$0")/lib.sh"

use_lab

expect 0 "$lab" up "$T/lab"
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
conf=$TWINKEEP_HOME/twinkeep.conf
sed -i 's/^\([[:space:]]*\)ack = all-local.*/\1ack = all\n\1bandwidth = 10M/' "$conf"
expect 0 twinkeep config check
expect 0 twinkeep backup

# restarted HOW WANT: a run of some seconds; once site a receives its pack, the daemon is ended (HOW: stop or kill) and started.
restarted()
{
	how=$1
	want=$2
	head -c 30000000 /dev/urandom >"$T/lab/data/new"
	twinkeep backup -v --json >"$T/out" 2>"$T/err" &
	run=$!
	pids="$pids $run"
	for _ in $(seq 200); do
		[ -z "$(find "$T/lab/a/vault/tmp" -type f -size +100k 2>/dev/null)" ] || break
		sleep 0.05
	done
	[ -n "$(find "$T/lab/a/vault/tmp" -type f -size +100k 2>/dev/null)" ] || fail "site a receives nothing"
	"$lab" "$how" "$T/lab" a
	"$lab" start "$T/lab" a
	got=0
	wait "$run" || got=$?
	[ "$got" = "$want" ] || fail "exit status $got, not $want, after $how"
}

for how in stop kill; do
	restarted "$how" 0
	err_has "event=reconnect site=a"
	json_is ack_met true
	json_is errors '[]'
	[ "$(json receipts | grep -o '"site"' | wc -l)" = 3 ] || fail "not every site gave a receipt: $(json receipts)"
done

# --- who does not want that has it the old way, and loses nothing either
sed -i 's/^\([[:space:]]*\)ack = all$/\1ack = all\n\1reconnect = 0/' "$conf"
restarted kill 4
expect 0 twinkeep backup --json
json_is errors '[]'
expect 0 twinkeep verify --data --json
json_is ok true
echo ok
