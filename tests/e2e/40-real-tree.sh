#!/bin/sh
# The machine's own /usr/share and /usr/include to a lab of three sites over TLS; one daemon is killed in the middle of the
# run. The run ends by the ack rule, the others restore, and rsync finds no difference. A second run stores next to nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need rsync rsync
need bash bash

lab=$TK_SRCDIR/tools/lab
TWINKEEP_BUILD=$TK_BUILDDIR
export TWINKEEP_BUILD
lab_down()
{
	"$lab" down "$T/lab" >/dev/null 2>&1 || :
	unlock_tree
}
trap lab_down EXIT

# A copy: what the machine's packages do meanwhile must not disturb the comparison.
mkdir "$T/tree"
cp -a /usr/share /usr/include "$T/tree/"
files=$(find "$T/tree" ! -type d -printf x | wc -c)
expect 0 "$lab" up "$T/lab" --data "$T/tree"
eval "$("$lab" env "$T/lab")"

# killed SITE STATUS MET: a run that loses this site in the middle ends so.
killed()
{
	site=$1
	twinkeep backup --json >"$T/out" 2>"$T/err" </dev/null &
	run=$!
	pids=$run
	# In the middle: when some packs are at the site.
	while kill -0 $run 2>/dev/null && [ "$(find "$T/lab/$site/vault/packs" -type f 2>/dev/null | wc -l)" -lt "$2" ]; do
		sleep 0.05
	done
	kill -0 $run 2>/dev/null || fail "the run ended before site $site was killed"
	"$lab" kill "$T/lab" "$site" || fail "site $site cannot be killed"
	got=0
	wait $run || got=$?
	pids=
	[ "$got" = "$3" ] || fail "without site $site the run ends with $got, not $3"
	json_is ack_met "$4"
	err_has "site $site does not hold the point"
	json receipts >"$T/receipts"
	! grep -q "\"$site\"" "$T/receipts" || fail "site $site gave a receipt although it was killed"
}

# --- a remote site is not asked for by all-local; a local one is
killed remote 2 0 true
json_is files_total "$files"
json_is files_unreadable 0
echo "$files files, $(json total_bytes) bytes: $(json stored_bytes) stored in $(json elapsed_seconds) s"
expect 0 twinkeep restore data --strip --target "$T/back" --json
json_is verified true
json_is files_restored "$files"
json_is sites_used '["a","b"]'
echo "restored in $(json elapsed_seconds) s"
same_files "$T/tree" "$T/back"
rm -rf "$T/back"

# --- nothing changed: next to nothing is stored, by each site
expect 0 "$lab" start "$T/lab" remote
expect 0 twinkeep backup --json
json_is ack_met true
[ "$(json stored_bytes)" -lt 100000 ] || fail "an unchanged tree stored $(json stored_bytes) bytes"
expect 0 twinkeep backup --json
[ "$(json stored_bytes)" -lt 100000 ] || fail "an unchanged tree stored $(json stored_bytes) bytes"
echo "unchanged: $(json stored_bytes) bytes stored in $(json elapsed_seconds) s"

# --- a local site dies in the middle of a run that brings much
head -c 300000000 /dev/urandom >"$T/tree/new"
killed a "$(($(find "$T/lab/a/vault/packs" -type f | wc -l) + 2))" 4 false
expect 0 twinkeep restore data --strip --site b --site remote --target "$T/back" --json
json_is verified true
same_files "$T/tree" "$T/back"
expect 0 "$lab" start "$T/lab" a
expect 0 twinkeep backup --json
json_is ack_met true
expect 0 twinkeep list --json
json_is points.0.sites '["a","b","remote"]'
expect 0 twinkeep verify --data --site a
echo ok
