#!/bin/sh
# When every second point of a tree that changes has expired, and all that only those needed was dropped, the others are restored as they were, and the next run
# builds on the newest.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME

"$TK_SRCDIR/bench/data.py" records "$T/src" 600
"$TK_SRCDIR/bench/data.py" dump "$T/src/disk.img" 80
expect 0 twinkeep init --site one="dir:$T/one" --dataset data="$T/src"
for n in 1 2 3 4 5 6 7; do
	"$TK_SRCDIR/bench/data.py" tree-edit "$T/src" 5 "$n"
	"$TK_SRCDIR/bench/data.py" pages "$T/src/disk.img" 20 "$n"
	expect 0 twinkeep backup --json
	json point >"$T/point$n"
	cp -a "$T/src" "$T/was$n"
done
# The first, third and fifth; the newest stays.
expect 0 "$TK_BUILDDIR/bench/expire_points" --drop "$T/one"
json_is points 3
[ -n "$(ls "$T/one/dropped")" ] || fail "nothing was dropped"

for n in 2 4 6 7; do
	expect 0 twinkeep restore "data@$(cat "$T/point$n")" --target "$T/back"
	diff -r "$T/was$n" "$T/back$T/src" >"$T/out" || fail "point $n is another now"
	rm -r "$T/back"
done
for n in 1 3 5; do
	expect 5 twinkeep restore "data@$(cat "$T/point$n")" --target "$T/back"
	rm -rf "$T/back"
done

"$TK_SRCDIR/bench/data.py" tree-edit "$T/src" 5 8
expect 0 twinkeep backup --json
expect 0 twinkeep restore data --target "$T/back"
diff -r "$T/src" "$T/back$T/src" >"$T/out" || fail "the run after it is another than the data"
# A site's index that is made anew knows the same points.
rm "$T/one"/index.db*
expect 0 twinkeep restore "data@$(cat "$T/point2")" --target "$T/back2"
diff -r "$T/was2" "$T/back2$T/src" >"$T/out" || fail "point 2 is another now"
