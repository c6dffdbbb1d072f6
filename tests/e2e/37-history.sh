#!/bin/sh
# Random histories, thousands of versions: every one comes back from its point (tests/unit/history_test.c). Seeds that were not run before,
# unless TK_HISTORY_SEED says where to begin; a failure prints the seed that shows it again.
. "$(dirname "$0")/lib.sh"

: "${TK_HISTORY_SEED:=$(date +%s)}"
versions=320
rounds=20
failed=

# series FIRST: three times so many versions, one after the other, each from seeds of its own.
series()
{
	for part in 0 1 2; do
		TK_HISTORY_SEED=$(($1 + part * rounds)) TK_HISTORY_VERSIONS=$versions "$TK_BUILDDIR/tests/unit/history_test" >"$T/$1-$part" 2>&1 ||
			{ cat "$T/$1-$part"; return 1; }
	done
}

series "$TK_HISTORY_SEED" &
other=$!
series $((TK_HISTORY_SEED + 3 * rounds)) || failed=1
wait "$other" || failed=1
[ -z "$failed" ] || fail "a version did not come back"
echo "$((6 * versions)) versions from seed $TK_HISTORY_SEED on came back"
