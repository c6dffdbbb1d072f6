#!/bin/sh
# The command line tells what it has, refuses what it does not know in one line with the nearest word, and names every
# mistake of a configuration with file and line.
. "$(dirname "$0")/lib.sh"

# --- help of everything
expect 0 twinkeep --help
out_has "Usage: twinkeep VERB"
verbs="init backup list ls diff cat restore verify status recover site key config version"
for verb in $verbs; do
	out_has "  $verb"
	expect 0 twinkeep "$verb" --help
	[ ! -s "$T/err" ] || fail "$verb --help writes to standard error"
	out_has "Usage: twinkeep $verb"
	expect 0 twinkeep help "$verb"
	[ -s "$TK_BUILDDIR/man/twinkeep-$verb.1" ] || fail "there is no man page of $verb"
	expect 0 twinkeep --help
done
for status in 0 1 2 3 4 5 6 7 8 9 10; do
	grep -q "^ *$status  [A-Z]" "$T/out" || fail "exit status $status is not in --help"
done
awk 'length > 80 { exit 1 }' "$T/out" || fail "--help has lines over 80 columns"

# --- every verb has the common options
for option in --home --json --progress --passphrase-file; do
	expect 0 twinkeep backup --help
	out_has "$option"
done

# --- what it does not know
expect 2 twinkeep
err_is "twinkeep: no verb is given: see twinkeep --help"
expect 2 twinkeep bakup
err_is 'twinkeep: there is no verb "bakup": the nearest is "backup"'
expect 2 twinkeep config chek
err_is 'twinkeep: there is no verb "config chek": the nearest is "config check"'
expect 2 twinkeep config
err_is 'twinkeep: config wants a second word: see twinkeep config --help'
expect 2 twinkeep backup --dry-rum
err_is 'twinkeep: there is no option --dry-rum: the nearest is --dry-run'
expect 2 twinkeep restore --json
err_is 'twinkeep: restore wants more: write twinkeep restore DATASET[@POINT]'
json_is errors.0.code usage
expect 2 twinkeep version x
err_is 'twinkeep: version does not know what to do with "x": write twinkeep version'
expect 2 twinkeep version --progress=soon
err_is 'twinkeep: --progress cannot be "soon": write one of auto|never|json'
expect 2 twinkeep version --json=yes
err_is 'twinkeep: --json takes no value: leave it out'
expect 2 twinkeep version --home
err_is 'twinkeep: --home wants a value: write --home DIR'
for verb in drill takeover switch failback "history list" rejoin follow hold; do
	# shellcheck disable=SC2086
	expect 2 twinkeep $verb d
	err_has "is not in this version"
done

# --- version
expect 0 twinkeep version
grep -q '^twinkeep [0-9]' "$T/out" || fail "version prints no version"
expect 0 twinkeep --version
expect 0 twinkeep version --json
json_is errors '[]'
json libraries.jansson >/dev/null || fail "no version of jansson"
expect 0 twinkeep version -q
[ ! -s "$T/out" ] || fail "-q is not quiet"
expect 1 sh -c 'twinkeep version >/dev/full'
err_has "cannot write to standard output"

# --- an init that fails leaves nothing behind, and keys without a configuration are left alone
mkdir "$T/data"
echo 'correct horse battery staple 42' >"$T/pass"
expect 2 twinkeep init --home "$T/new/home" --site a="dir:$T/va" --dataset d="$T/data,$T/data" --policy "$TK_SRCDIR/policies/ready/documents.conf" --passphrase-file "$T/pass"
[ ! -e "$T/new/home" ] || fail "it left $(find "$T/new/home")"
mkdir "$T/new/home"
expect 2 twinkeep init --home "$T/new/home" --site a="dir:$T/va" --dataset d="$T/data,$T/data" --policy "$TK_SRCDIR/policies/ready/documents.conf" --passphrase-file "$T/pass"
[ -z "$(ls "$T/new/home")" ] || fail "it left $(find "$T/new/home")"
expect 0 twinkeep init --home "$T/new/home" --site a="dir:$T/va" --dataset d="$T/data" --passphrase-file "$T/pass"
rm "$T/new/home/twinkeep.conf"
expect 1 twinkeep init --home "$T/new/home" --site a="dir:$T/va" --dataset d="$T/data" --passphrase-file "$T/pass"
err_has "has keys, though no twinkeep.conf"
[ -s "$T/new/home/keys/machine.slot" ] || fail "the keys are gone"

# --- a configuration without mistake
mkdir "$T/home"
cat >"$T/home/twinkeep.conf" <<EOF
source = city-a
include("$TK_SRCDIR/policies/ready/documents.conf")
site a { url = "dir:/srv/vault" local = true }
site b { url = "tk://[::1]:7443" }
dataset d {
	paths = { "/srv/data" }
	policy = documents
}
EOF
home=$(cd "$T/home" && pwd -P)
expect 0 twinkeep config check --home "$T/home"
out_is "$home/twinkeep.conf: 2 sites, 1 dataset, 1 policy: no mistake"
TWINKEEP_HOME=$T/home expect 0 twinkeep --json config check
json_is ok true

# --- every mistake, with its line
cat >"$T/home/twinkeep.conf" <<EOF
spool_max = lots
site a { url = "dir:/srv/vault" }
site b { url = "dir:vault" }
dataset d {
	paths = { "srv/data" }
	sites = { a, c }
}
EOF
expect 2 twinkeep config check --home "$T/home"
cat >"$T/want" <<EOF
twinkeep: $home/twinkeep.conf:1: spool_max: "lots" is not a size; write a whole number with K, M, G or T, such as 10G
twinkeep: $home/twinkeep.conf:3: url: "dir:vault" is not a site: the path is not absolute; write "dir:/absolute/path" or "tk://host:port"
twinkeep: $home/twinkeep.conf:4: dataset d wants ack = all-local (policy default), but none of its sites is local; write local = true in a site, or ack = quorum in the policy
twinkeep: $home/twinkeep.conf:5: paths: "srv/data" is a relative path; write it from the root, such as /srv/data
twinkeep: $home/twinkeep.conf:6: dataset d: there is no site "c"; add a site section for it, or remove it
EOF
cmp -s "$T/want" "$T/err" || fail "the mistakes differ: $(diff "$T/want" "$T/err")"
expect 2 twinkeep config check --home "$T/home" --json
json_is ok false
json_is mistakes.1.line 3
json_is errors.0.code config

# --- no home, no configuration
expect 2 twinkeep config check --home "$T/nowhere"
err_has "$T/nowhere is no home: it has no twinkeep.conf; give --home DIR"
rm "$T/home/twinkeep.conf"
expect 2 twinkeep config check --home "$T/home"
err_has "$home is no home: it has no twinkeep.conf"

# --- documents that are made from the tables
mkman=$TK_BUILDDIR/mkman
if [ -x "$mkman" ]; then
	"$mkman" configuration | cmp -s - "$TK_SRCDIR/docs/CONFIGURATION.md" || fail "docs/CONFIGURATION.md is old: make update-docs"
	! command -v bash >/dev/null || "$mkman" completion | bash -n || fail "the completion is not valid"
fi
if command -v groff >/dev/null; then
	for page in "$TK_BUILDDIR"/man/*.[158]; do
		groff -ww -man -Tutf8 -z "$page" >"$T/out" 2>&1
		[ ! -s "$T/out" ] || fail "$page is not clean"
	done
fi
echo ok
