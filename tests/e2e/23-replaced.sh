#!/bin/sh
# The disk of a directory site is replaced: what its new vault is given, of older epochs too, and that it counts as the site when another one was set back.
. "$(dirname "$0")/lib.sh"

printf 'seven-otters-borrow-a-violet-canoe\n' >"$T/pass"
TWINKEEP_HOME=$T/home TWINKEEP_PASSPHRASE_FILE=$T/pass
export TWINKEEP_HOME TWINKEEP_PASSPHRASE_FILE
mkdir "$T/data"
# run STATUS: one more file, one more point.
run()
{
	date +%s.%N >"$T/data/$(date +%s%N)"
	expect "$1" twinkeep backup data
}
expect 0 twinkeep init --site "x=dir:$T/x" --site "y=dir:$T/y" --site "z=dir:$T/z" --dataset "data=$T/data"
run 0
cp -a "$T/data" "$T/first"
run 0
run 0

# --- the home is lost, and the disk of y: y is given the epoch before, too
rm -r "$TWINKEEP_HOME"
expect 0 twinkeep recover --site "dir:$T/x"
mkdir "$T/away"
mv "$T/y" "$T/z" "$T/away"
run 7
err_has 'for which 1 of 3 sites voted, too few'
err_has 'bring the others into reach; one that is gone for good is made anew'
mv "$T/away/y" "$T/away/z" "$T"
run 0
rm -r "$T/y"
expect 2 twinkeep site invite y
err_is "twinkeep: site y has given receipts for 1 point, and there is no vault in $T/y; if its disk is not mounted, mount it; --force makes a new, empty vault there"
[ ! -e "$T/y" ] || fail "a vault was made where a disk may be missing"
expect 0 twinkeep site invite y --force
expect 4 twinkeep backup
err_is "twinkeep: site y does not hold the point: site y signs with another key than before; if its vault was made anew, run \`twinkeep site readmit y\`"
expect 0 twinkeep site readmit y
run 0
out_has 'The sites of data or their rule changed: it won epoch 4'
expect 0 twinkeep list data --site y --json
json points >"$T/points"
[ "$(grep -o '"sequence"' "$T/points" | wc -l)" = 6 ] || fail "y has not all six points"
expect 0 twinkeep verify --data --site y --json
json_is points_checked 6
oldest=$(twinkeep list data --json | python3 -c 'import json, sys; print(min(json.load(sys.stdin)["points"], key=lambda p: p["sequence"])["point"])')
expect 0 twinkeep restore "data@$oldest" --site y --strip --target "$T/restored"
diff -r "$T/first" "$T/restored" || fail "the oldest point restores another tree from y"

# --- then x is set back: y stands for itself among those that give x what it lacks
cp -a "$T/x" "$T/x.old"
run 0
out_has 'epoch 4'
rm -r "$T/x"
mv "$T/x.old" "$T/x"
run 4
expect 0 twinkeep site readmit x
run 0
expect 0 twinkeep verify --data --site x --json
json_is points_checked 9
echo ok
