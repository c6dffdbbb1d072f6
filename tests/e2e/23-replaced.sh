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
run 0
rm -r "$T/y"
expect 0 twinkeep site invite y
expect 0 twinkeep site readmit y
run 0
out_has 'The sites of data are not what they were: it won epoch 3'
expect 0 twinkeep list data --site y --json
json points >"$T/points"
[ "$(grep -o '"sequence"' "$T/points" | wc -l)" = 5 ] || fail "y has not all five points"
expect 0 twinkeep verify --data --site y --json
json_is points_checked 5
oldest=$(twinkeep list data --json | python3 -c 'import json, sys; print(min(json.load(sys.stdin)["points"], key=lambda p: p["sequence"])["point"])')
expect 0 twinkeep restore "data@$oldest" --site y --strip --target "$T/restored"
diff -r "$T/first" "$T/restored" || fail "the oldest point restores another tree from y"

# --- then x is set back: y stands for itself among those that give x what it lacks
cp -a "$T/x" "$T/x.old"
run 0
out_has 'epoch 3'
rm -r "$T/x"
mv "$T/x.old" "$T/x"
run 4
expect 0 twinkeep site readmit x
run 0
expect 0 twinkeep verify --data --site x --json
json_is points_checked 8
echo ok
