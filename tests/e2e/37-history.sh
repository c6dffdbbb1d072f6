#!/bin/sh
# Random histories, well over a thousand versions, in short rounds and in long ones: every one comes back from its point (tests/unit/history_test.c).
# Seeds that were not run before, unless TK_HISTORY_SEED says where to begin; a failure prints the seed that shows it again.
. "$(dirname "$0")/lib.sh"

: "${TK_HISTORY_SEED:=$(date +%s)}"
failed=

# histories SEED VERSIONS ROUND
histories()
{
	TK_HISTORY_SEED=$1 TK_HISTORY_VERSIONS=$2 TK_HISTORY_ROUND=$3 "$TK_BUILDDIR/tests/unit/history_test" >"$T/$1" 2>&1 || { cat "$T/$1"; return 1; }
}
# series SEED: the short ones take forty seeds.
series()
{
	histories "$1" 640 16 && histories $(($1 + 40)) 200 200
}

series "$TK_HISTORY_SEED" &
other=$!
series $((TK_HISTORY_SEED + 41)) || failed=1
wait "$other" || failed=1
[ -z "$failed" ] || fail "a version did not come back"
echo "1680 versions from seed $TK_HISTORY_SEED on came back"
