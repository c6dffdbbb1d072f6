#!/bin/sh
# What a policy says of bandwidth, hours and priorities holds while a run sends: never faster than the limit, at the limit's hours only,
# every thread yielding.
. "$(dirname "$0")/lib.sh"

use_lab

expect 0 "$lab" up "$T/lab" --sites a
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
expect 0 twinkeep backup
cp "$TWINKEEP_HOME/twinkeep.conf" "$T/plain.conf"

# policy LINES: the policy of every run from here on.
policy()
{
	sed 's/^[[:space:]]*policy = default/policy = limited/' "$T/plain.conf" >"$TWINKEEP_HOME/twinkeep.conf"
	grep -q 'policy = limited' "$TWINKEEP_HOME/twinkeep.conf" || fail "no dataset has the policy"
	printf 'policy limited {\n%s\n}\n' "$1" >>"$TWINKEEP_HOME/twinkeep.conf"
	expect 0 twinkeep config check
}
fill()
{
	head -c 3000000 /dev/urandom >"$T/lab/data/$1"
}
# 3 MB at 1 MiB a second, the last piece not waited for: more than two seconds, whatever the machine does.
took_its_time()
{
	[ "$(json elapsed_seconds | cut -d. -f1)" -ge 2 ] || fail "3 MB went in $(json elapsed_seconds) seconds at 1 MiB a second"
}

policy 'bandwidth = 1M'
fill one
expect 0 twinkeep backup --json
json_is ack_met true
took_its_time

# --- hours: the limit holds in its window, and not outside. TZ=UTC.
policy "bandwidth = 1M
window = \"$(date -u -d '-1 hour' +%H):00-$(date -u -d '+2 hours' +%H):00\""
fill two
expect 0 twinkeep backup --json
took_its_time
# Sixteen bytes a second would take two days.
policy "bandwidth = 16
window = \"$(date -u -d '+2 hours' +%H):00-$(date -u -d '+4 hours' +%H):00\""
fill three
expect 0 timeout 300 twinkeep backup --json
json_is ack_met true

# --- priorities, looked at while it sends
policy 'bandwidth = 512K
nice = 7
io_class = idle'
fill four
twinkeep backup --json >"$T/out" 2>"$T/err" &
run=$!
pids="$pids $run"
seen=0
# Started with a lower priority already, it keeps that.
nice=$(nice)
[ "$nice" -ge 7 ] || nice=7
while kill -0 "$run" 2>/dev/null; do
	lowest=$(cat /proc/"$run"/task/*/stat 2>/dev/null | sed 's/.*) //' | cut -d' ' -f17 | sort -n | head -1)
	case $(ionice -p "$run" 2>/dev/null) in
	idle*) [ "$lowest" != "$nice" ] || seen=$((seen + 1)) ;;
	esac
	sleep 0.1
done
wait "$run" || fail "the run with priorities failed"
[ "$seen" -gt 2 ] || fail "not every thread had nice $nice and io class idle while it sent"

# --- an interrupt does not wait for the limit
policy 'bandwidth = 16'
fill five
twinkeep backup >"$T/out" 2>"$T/err" &
run=$!
pids="$pids $run"
sleep 1
kill -INT "$run"
got=0
wait "$run" || got=$?
[ "$got" = 1 ] || fail "exit status $got, not 1, for an interrupted run"
