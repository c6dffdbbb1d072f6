# Sourced by every test in this directory: a temporary directory $T, the built programs on PATH, and a few checks.
# Run by "make check", or by hand: TK_BUILDDIR=build tests/e2e/NN-name.sh
set -eu

: "${TK_BUILDDIR:=$(pwd)}"
: "${TK_SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
TK_BUILDDIR=$(cd "$TK_BUILDDIR" && pwd)
# The interpreter itself: a version manager's shim in front of it can take a second each time.
PATH=$TK_BUILDDIR:$(dirname "$(python3 -c 'import sys; print(sys.executable)')"):$PATH
export PATH TK_BUILDDIR TK_SRCDIR
unset TWINKEEP_HOME TWINKEEP_PASSPHRASE_FILE 2>/dev/null || :
LC_ALL=C.UTF-8 TZ=UTC
export LC_ALL TZ

T=$(mktemp -d "${TMPDIR:-/tmp}/twinkeep-e2e.XXXXXX")
pids=
# Ends what the test started, removes its directory; keeps it with KEEP=1.
cleanup()
{
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
	done
	[ -n "${KEEP:-}" ] || rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# use_lab: $lab is tools/lab; a lab at $T/lab ends with the test, stopped daemons too.
use_lab()
{
	command -v bash >/dev/null || { echo "skipped: no bash"; exit 77; }
	lab=$TK_SRCDIR/tools/lab
	TWINKEEP_BUILD=$TK_BUILDDIR
	export TWINKEEP_BUILD
	trap lab_down EXIT
}
lab_down()
{
	for pid_file in "$T"/lab/*/twinkeepd.pid; do
		[ ! -f "$pid_file" ] || kill -CONT "$(cat "$pid_file")" 2>/dev/null || :
	done
	"$lab" down "$T/lab" >/dev/null 2>&1 || :
	cleanup
}

fail()
{
	echo "FAIL: $*" >&2
	[ ! -s "$T/out" ] || sed 's/^/  out: /' "$T/out" | head -20 >&2
	[ ! -s "$T/err" ] || sed 's/^/  err: /' "$T/err" | head -20 >&2
	exit 1
}

# expect STATUS COMMAND...: runs it with output in $T/out and $T/err, and wants that exit status.
expect()
{
	want=$1
	shift
	got=0
	"$@" >"$T/out" 2>"$T/err" </dev/null || got=$?
	[ "$got" = "$want" ] || fail "exit status $got, not $want: $*"
}

# out_is TEXT, err_is TEXT: the whole output of the last command is exactly this.
out_is()
{
	printf '%s\n' "$1" | cmp -s - "$T/out" || fail "standard output is not: $1"
}
err_is()
{
	printf '%s\n' "$1" | cmp -s - "$T/err" || fail "standard error is not: $1"
}
err_has()
{
	grep -qF -e "$1" "$T/err" || fail "standard error has no: $1"
}
out_has()
{
	grep -qF -e "$1" "$T/out" || fail "standard output has no: $1"
}

# json PATH: prints a member of the JSON document in $T/out; "runs.0.point". Objects and arrays as compact JSON.
json()
{
	python3 - "$T/out" "$1" <<'EOF'
import json, sys
value = json.load(open(sys.argv[1]))
for part in sys.argv[2].split("."):
    value = value[int(part)] if isinstance(value, list) else value[part]
print(value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False))
EOF
}
# json_is PATH VALUE
json_is()
{
	value=$(json "$1") || fail "the document has no $1"
	[ "$value" = "$2" ] || fail "$1 is $value, not $2"
}
