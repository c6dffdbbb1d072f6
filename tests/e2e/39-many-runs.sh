#!/bin/sh
# A run every minute leaves no crowd: after 400 runs the vault has fewer files than there were runs, each point is listed and comes back, and the
# vault is whole, with its index and without.
# In memory, where there is some: each run makes its own durable.
[ ! -w /dev/shm ] || TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"

runs=400
src=$T/src
mkdir "$src"
source_home "$T/home" "d=$src" a
export TWINKEEP_HOME="$T/home"

run=1
while [ $run -le $runs ]; do
	echo "reading $run" >>"$src/log"
	echo "$run" >"$src/last"
	twinkeep backup -q >"$T/out" 2>"$T/err" || fail "run $run"
	[ $run != 100 ] || cp -a "$src" "$T/at-100"
	run=$((run + 1))
done

objects=$(find "$T/a" -type f | wc -l)
echo "$runs runs: $objects files in the vault"
[ "$objects" -le "$runs" ] || fail "$objects files after $runs runs"

expect 0 twinkeep list --json
python3 - "$T/out" $runs <<'END' || fail "not every point is listed"
import json, sys
points = json.load(open(sys.argv[1]))["points"]
sys.exit(sorted(p["sequence"] for p in points) != list(range(1, int(sys.argv[2]) + 1)))
END
point=$(python3 -c 'import json, sys; print(next(p["point"] for p in json.load(open(sys.argv[1]))["points"] if p["sequence"] == 100))' "$T/out")

restore 0 "d@$point" --target "$T/back-100" --strip
same_files "$T/at-100" "$T/back-100"
restore 0 d --target "$T/back" --strip
same_files "$src" "$T/back"
expect 0 twinkeep verify --data
rm "$T"/a/index.db*
expect 0 twinkeep verify --data
echo more >>"$src/log"
expect 0 twinkeep backup --json
json_is sequence $((runs + 1))
