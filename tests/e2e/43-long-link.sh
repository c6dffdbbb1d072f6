#!/bin/sh
# Two sites behind long links (a round trip of 100 ms, 10 MB/s each, by a proxy that counts). Packs and blobs cost no round trips of their own; a run that was killed sends again
# no more than what was not complete; a restore reads from both sites, and nothing twice. No time decides: the proxy counts round trips that nothing filled, and bytes.
. "$(dirname "$0")/lib.sh"

use_lab

expect 0 "$lab" up "$T/lab" --sites a,b
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
# Packs are an eighth of the spool. One that fills is emptied by flushes, which are round trips of their own: in the first part it does not.
sed -i '1i spool_max = 256M' "$TWINKEEP_HOME/twinkeep.conf"
pack=$((8 << 20))

# start_proxy SITE NEAR LISTEN
start_proxy()
{
	: >"$T/$1.far"
	python3 "$TK_SRCDIR/tests/e2e/delay_proxy.py" --delay-ms 50 --rate 10000000 --listen "$3" "$2" "$T/$1.counts" >"$T/$1.far" &
	proxy=$!
	pids="$pids $proxy"
	for _ in $(seq 100); do
		[ ! -s "$T/$1.far" ] || break
		sleep 0.1
	done
	[ -s "$T/$1.far" ] || fail "the proxy does not start"
}
# put_far SITE: from now on it is reached through the proxy.
put_far()
{
	conf=$TWINKEEP_HOME/twinkeep.conf
	near=$(sed -n "/^site $1 {/,/}/s|.*url = \"tk://\(.*\)\".*|\1|p" "$conf")
	start_proxy "$1" "$near" 127.0.0.1:0
	awk -v near="tk://$near" -v far="tk://$(cat "$T/$1.far")" '{ at = index($0, near); if (at) $0 = substr($0, 1, at - 1) far substr($0, at + length(near)); print }' "$conf" >"$T/conf"
	cat "$T/conf" >"$conf"
}
put_far a
put_far b

# count SITE WHAT: what the site's proxy has counted so far, once all connections have ended on both sides.
count()
{
	for _ in $(seq 300); do
		[ "$(jq .open "$T/$1.counts")" != 0 ] || break
		sleep 0.1
	done
	[ "$(jq .open "$T/$1.counts")" = 0 ] || fail "a connection with $1 does not end: $(cat "$T/$1.counts")"
	jq ".$2" "$T/$1.counts"
}
remember()
{
	for site in a b; do
		for what in waits up_bytes down_bytes; do
			eval "${site}_$what=$(count $site $what)"
		done
	done
}
# since SITE WHAT: how much it grew since `remember`.
since()
{
	before=$(eval "echo \$${1}_$2")
	echo $(($(count "$1" "$2") - before))
}
at_most()
{
	[ "$2" -le "$3" ] || fail "$1: $2, not at most $3"
}

expect 0 twinkeep backup

# --- a run costs its round trips once, however much it sends
remember
expect 0 twinkeep backup
fixed=$(since a waits)
at_most "round trips of a run without changes" "$fixed" 6
head -c 60000000 /dev/urandom >"$T/lab/data/big"
i=0
while [ $i -lt 1500 ]; do
	echo "record $i" >"$T/lab/data/records/new$i.txt"
	i=$((i + 1))
done
remember
expect 0 twinkeep backup --json
json_is ack_met true
stored=$(json stored_bytes)
for site in a b; do
	at_most "round trips of $stored bytes to $site, and $fixed of none" "$(since $site waits)" $((fixed + 3))
	at_most "bytes to $site" "$(since $site up_bytes)" $((stored + stored / 50 + 20000))
done

# --- killed in the middle, of packs and of one pack that holds all of it: what is sent twice is what was on its way, of which the proxy alone holds up to 10 MiB
# killed_halfway FILE
killed_halfway()
{
	head -c 40000000 /dev/urandom >"$T/lab/data/$1"
	remember
	twinkeep backup >/dev/null 2>&1 &
	run=$!
	pids="$pids $run"
	for _ in $(seq 600); do
		[ $(($(jq .up_bytes "$T/a.counts") - a_up_bytes)) -lt 20000000 ] || break
		sleep 0.05
	done
	kill -9 "$run" 2>/dev/null || fail "the run was over before it could be killed"
	wait "$run" 2>/dev/null || :
	sent=$(since a up_bytes)
	[ "$sent" -ge 20000000 ] && [ "$sent" -lt 36000000 ] || fail "the run was killed after $sent bytes"
	expect 0 twinkeep backup --json
	json_is ack_met true
	for site in a b; do
		at_most "bytes to $site, of 40,000,000, in both runs" "$(since $site up_bytes)" $((40000000 + 2 * pack))
	done
}
rm "$T/lab/data/big"
sed -i '1s/256M/64M/' "$TWINKEEP_HOME/twinkeep.conf"
killed_halfway other
sed -i '1s/64M/1G/' "$TWINKEEP_HOME/twinkeep.conf"
rm "$T/lab/data/other"
killed_halfway another

# --- a restore reads from both, nothing twice, and without waiting for one blob after the other
remember
expect 0 twinkeep restore data --json --strip --target "$T/back"
json_is verified true
json_is sites_used '["a","b"]'
fetched=$(json fetched_bytes)
[ "$fetched" -ge 40000000 ] || fail "only $fetched bytes were fetched"
diff -r "$T/lab/data" "$T/back" >"$T/out" 2>&1 || fail "what came back is not what was there"
a=$(since a down_bytes) b=$(since b down_bytes)
at_most "bytes from both sites" $((a + b)) $((fetched + fetched / 20 + 600000))
for bytes in "$a" "$b"; do
	[ "$bytes" -ge $((fetched / 8)) ] || fail "one site gave $bytes of $fetched bytes: $a and $b"
done
rm -r "$T/back"
remember
expect 0 twinkeep restore data --json --strip --target "$T/back" --site a
json_is verified true
json_is sites_used '["a"]'
at_most "round trips of a restore" "$(since a waits)" 9
[ "$(since b down_bytes)" -le 100 ] || fail "the other site was asked"
remember
expect 0 twinkeep verify --data --site a
at_most "round trips of verify --data" "$(since a waits)" 19

# --- a line that breaks every other second brings over a pack that takes four seconds
far=$(cat "$T/b.far")
head -c 40000000 /dev/urandom >"$T/lab/data/last"
twinkeep backup --json >"$T/out" 2>"$T/err" &
run=$!
pids="$pids $run"
breaks=0
while kill -0 "$run" 2>/dev/null; do
	sleep 2
	kill -9 "$proxy"
	wait "$proxy" 2>/dev/null || :
	sleep 0.2
	start_proxy b "$near" "$far"
	breaks=$((breaks + 1))
	[ $breaks -lt 30 ] || fail "the pack does not come over a line that breaks"
done
wait "$run" || fail "the run over a line that breaks ended with $?"
[ $breaks -ge 3 ] || fail "the line broke $breaks times"
json_is ack_met true
expect 0 twinkeep verify --data --site b
