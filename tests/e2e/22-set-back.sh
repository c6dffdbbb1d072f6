#!/bin/sh
# A site whose disk was set back promises nothing until it holds again what it forgot and enough others were asked: readmit refuses before, does it after,
# and with --force says what it overrides.
. "$(dirname "$0")/lib.sh"

use_lab
expect 0 "$lab" up "$T/lab"
eval "$("$lab" env "$T/lab")"
b=$T/lab/b

# set_back: site b forgets the last point that it gave a receipt for.
set_back()
{
	expect 0 "$lab" stop "$T/lab" b
	cp -a "$b/vault" "$T/vault.old"
	expect 0 "$lab" start "$T/lab" b
	date +%s.%N >"$T/lab/data/forgotten.txt"
	expect 0 twinkeep backup
	expect 0 "$lab" stop "$T/lab" b
	rm -r "$b/vault"
	mv "$T/vault.old" "$b/vault"
}
readmit()
{
	status=$1
	shift
	expect "$status" twinkeep site readmit b --home "$b" "$@"
}
expect 0 twinkeep backup
set_back

# --- the writer notices, and brings the site what the one other site that is up holds: too little to be let in
expect 0 "$lab" kill "$T/lab" remote
expect 0 "$lab" start "$T/lab" b
echo more >"$T/lab/data/more.txt"
expect 4 twinkeep backup --json
json errors >"$T/errors"
grep -q 'vault was set back' "$T/errors" && grep -q 'given what 1 of the other sites hold' "$T/errors" || fail "it is not told what is the matter with b"
# --- not from here
expect 2 twinkeep site readmit b
err_has 'stop its twinkeepd and run `twinkeep site readmit b` there'
readmit 9
expect 0 "$lab" stop "$T/lab" b
readmit 1
err_has 'too few of the other sites have given it what they hold since it was set back (1 of 2)'
err_has 'run `twinkeep backup`'
readmit 1 --json
json lacking | grep -q '1 of 2' || fail "what b lacks is not in the document"

# --- both others are up: the next run leaves it ready, and it is let in
expect 0 "$lab" start "$T/lab" b
expect 0 "$lab" start "$T/lab" remote
expect 4 twinkeep backup --json
json errors | grep -q 'given what 2 of the other sites hold' || fail "b was not given what both others hold"
expect 0 "$lab" stop "$T/lab" b
readmit 0 --json
json_is overridden '[]'
expect 0 "$lab" start "$T/lab" b
expect 0 twinkeep backup --json
json_is ack_met true
json errors >"$T/errors"
[ "$(cat "$T/errors")" = '[]' ] || fail "b is not whole"
expect 0 twinkeep verify --data --site b --json
json_is points_checked 5
expect 0 twinkeep restore data --site b --strip --target "$T/from-b"
diff -r --no-dereference "$T/lab/data" "$T/from-b" || fail "b restores another tree"

# --- with --force, at once: what it forgot is named
set_back
expect 0 "$lab" start "$T/lab" b
expect 0 "$lab" kill "$T/lab" a
expect 0 "$lab" kill "$T/lab" remote
expect 7 twinkeep backup
expect 0 "$lab" stop "$T/lab" b
readmit 1
err_has 'point 6 of epoch 1 is not here'
readmit 0 --force --json
json overridden >"$T/overridden"
grep -q 'point 6 of epoch 1 is not here' "$T/overridden" && grep -q '0 of 2' "$T/overridden" || fail "it is not told what was overridden"
err_has 'let in with --force'
expect 0 "$lab" start "$T/lab" a
expect 0 "$lab" start "$T/lab" b
expect 0 "$lab" start "$T/lab" remote
expect 0 twinkeep backup

# --- a new disk in a daemon's place, whose home is kept: the vault is made anew there, by a word; the source accepts its key once enough others tell what the old one promised
expect 0 "$lab" stop "$T/lab" b
rm -r "$b/vault"
mkdir "$b/vault"
gone="there is no vault in $b/vault; if its disk is not mounted, mount it"
expect 1 twinkeepd --home "$b"
err_has "$gone"
readmit 1
err_has "$gone"
expect 1 twinkeep site rebuild b --home "$b"
err_has "$gone"
expect 0 twinkeep site invite b --output "$T/b.invite"
expect 1 twinkeep site enrol b "$T/b.invite" --home "$b"
err_has "$gone"
[ ! -e "$b/vault/VAULT" ] || fail "a vault was made where a disk may be missing"
expect 0 twinkeep site enrol b "$T/b.invite" --home "$b" --force
expect 0 "$lab" start "$T/lab" b
expect 0 "$lab" kill "$T/lab" remote
expect 4 twinkeep backup
expect 1 twinkeep site readmit b --json
json lacking | grep -q '1 of 2; ack rule all-local' || fail "it is not told why the new vault is not accepted"
expect 0 twinkeep site readmit b --force
err_has 'let in with --force; dataset data'
expect 0 twinkeep backup
echo ok
