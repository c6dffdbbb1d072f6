#!/bin/sh
# A run stores three times what its spool may hold, to three sites of which one is away and one dies on the way: the spool keeps to its bound, the run
# says who lacks the point; killed in the middle, it goes on from what is at the sites; those that come back catch up, and each alone gives everything back.
. "$(dirname "$0")/lib.sh"

use_lab

bound=$((64 * 1024 * 1024))
# A pack is an eighth of the spool and the blob that fills it; each of three senders may hold one more.
most=$((bound + 3 * (bound / 8 + 1100000)))
expect 0 "$lab" up "$T/lab"
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
sed -i '1i spool_max = 64M' "$TWINKEEP_HOME/twinkeep.conf"
expect 0 twinkeep backup
spool=$(echo "$TWINKEEP_HOME"/state/domains/*/spool)
[ -d "$spool" ] || fail "no spool at $spool"
for i in 1 2 3 4; do
	head -c 50000000 /dev/urandom >"$T/lab/data/big$i"
done

# start_run, then the largest size that the spool has while it goes on, in $peak.
peak=0
look()
{
	size=$(find "$spool" -type f -printf '%s\n' 2>/dev/null | awk '{sum += $1} END {print sum + 0}')
	[ "$size" -le "$peak" ] || peak=$size
}
away()
{
	find "$spool" -name '*.away' | wc -l
}
start_run()
{
	twinkeep backup --json >"$T/out" 2>"$T/err" &
	run=$!
	pids="$pids $run"
}
until_away()
{
	while kill -0 "$run" 2>/dev/null && [ "$(away)" -lt "$1" ]; do
		look
		sleep 0.02
	done
}
until_done()
{
	while kill -0 "$run" 2>/dev/null; do
		look
		sleep 0.02
	done
	got=0
	wait "$run" || got=$?
}

# --- one site away; killed once packs have left the spool
expect 0 "$lab" kill "$T/lab" remote
start_run
until_away 4
kill -9 "$run" 2>/dev/null || fail "the run was over before it could be killed"
wait "$run" 2>/dev/null || :
had=$(away)
[ "$had" -ge 4 ] || fail "only $had packs had left the spool"

# --- the next goes on from there; another site dies on the way
start_run
until_away $((had + 3))
"$lab" kill "$T/lab" b >/dev/null || fail "site b cannot be killed"
until_done
[ "$got" = 4 ] || fail "exit status $got, not 4"
json_is ack_met false
json_is receipts.0.site a
json errors | grep -q 'site b does not hold the point' || fail "site b is not named"
json errors | grep -q 'site remote does not hold the point' || fail "site remote is not named"
[ "$(json literal_bytes)" -lt $((200000000 - had * 7000000)) ] || fail "packs that were at the sites were made anew"
[ "$peak" -le "$most" ] || fail "the spool held $peak bytes"
[ "$peak" -ge $((bound / 2)) ] || fail "the spool was never watched: $peak"
[ "$(away)" = 0 ] || fail "notes of packs are left"

# --- they come back and catch up, through no more spool
expect 0 "$lab" start "$T/lab" b
expect 0 "$lab" start "$T/lab" remote
start_run
until_done
[ "$got" = 0 ] || fail "exit status $got, not 0"
json_is errors '[]'
[ "$peak" -le "$most" ] || fail "catching up, the spool held $peak bytes"
[ "$(find "$spool" -type f | wc -l)" = 0 ] || fail "the spool is not empty: $(ls "$spool")"
for site in a b remote; do
	expect 0 twinkeep restore data --site "$site" --strip --target "$T/from-$site" --json
	json_is verified true
	diff -r --no-dereference "$T/lab/data" "$T/from-$site" || fail "site $site restores another tree"
	rm -rf "$T/from-$site"
done
echo "ok: at most $peak bytes in the spool; $had packs were away when the run was killed"
