#!/bin/bash
# Goal: the machine's own /usr/share and /usr/include (some 75,000 files) to three sites over TLS; one daemon dies in the middle; the ack rule decides; everything
# comes back from the others, byte for byte and with all metadata.
. "$(dirname "$0")/lib.sh"

lab=$TK_SRCDIR/tools/lab
mkdir "$T/data"
cp -a /usr/include /usr/share "$T/data/"
export TWINKEEP_BUILD=$TK_BUILDDIR
"$lab" up "$T/lab" --data "$T/data" >"$T/lab.out" 2>&1 || { cat "$T/lab.out"; fail "the lab does not come up"; }
trap '"$lab" down "$T/lab" >/dev/null 2>&1; cleanup' EXIT
eval "$("$lab" env "$T/lab")"

twinkeep backup --json >"$T/run.json" 2>"$T/run.err" &
run=$!
for _ in $(seq 600); do
	# Once packs have arrived at the remote site, it dies.
	[ "$(find "$T/lab/remote" -path '*/packs/*' -type f 2>/dev/null | head -2 | wc -l)" -ge 2 ] && break
	kill -0 $run 2>/dev/null || break
	sleep 0.05
done
"$lab" kill "$T/lab" remote >/dev/null 2>&1
status=0
wait $run || status=$?
[ $status -eq 0 ] || { cat "$T/run.err"; fail "status $status, not 0: both local sites live and the rule is all-local"; }
echo "backup with the remote site killed: status 0, $(python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(d["files_total"], "files,", d["stored_bytes"], "bytes stored, receipts of", [r["site"] for r in d["receipts"]])' "$T/run.json")"

"$lab" kill "$T/lab" a >/dev/null 2>&1
echo changed >>"$T/data/include/stdio.h"
expect 4 twinkeep backup --json
"$lab" start "$T/lab" remote >/dev/null 2>&1 || fail "the remote site does not come back"
expect 4 twinkeep backup --json
expect 0 twinkeep -q restore data --target "$T/back" --strip
expect 0 rsync -naHAXSc --delete --itemize-changes "$T/data/" "$T/back/"
[ ! -s "$T/out" ] || fail "what came back differs"
echo "restored from b and remote: identical"
