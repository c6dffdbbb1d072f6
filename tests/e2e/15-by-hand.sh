#!/bin/sh
# What an operator does wrong by hand ends in one line that says what happened, to what, and what to do next; and what went well says nothing more.
. "$(dirname "$0")/lib.sh"

mkdir "$T/data" "$T/gone"
echo one >"$T/data/file"
echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_HOME=$T/home
TWINKEEP_PASSPHRASE_FILE=$T/pass
export TWINKEEP_HOME TWINKEEP_PASSPHRASE_FILE
trap 'kill "$(cat "$T/site/twinkeepd.pid" 2>/dev/null)" 2>/dev/null || :; cleanup' EXIT

# --- help and manual say the same
expect 0 twinkeep backup --help
out_has "default /etc/twinkeep"
expect 0 twinkeepd --help
out_has "twinkeepd is the daemon of a site"
! grep -q '^\\fBdrill\|^drill' "$TK_BUILDDIR/man/twinkeep.1" || fail "the manual has a verb that there is not"
grep -q 'Reserved for a later release: drill, takeover' "$TK_BUILDDIR/man/twinkeep.1" || fail "the manual does not say that drill is reserved"

# --- a word that is like none
expect 2 twinkeep nope
err_is 'twinkeep: there is no verb "nope": see twinkeep --help'

# --- init where a vault or a home cannot be
expect 1 twinkeep init --site a="dir:$T/pass" --dataset d="$T/data"
err_is "twinkeep: site a: making the directory $T/pass: Not a directory: choose another name, or remove what is there"
[ ! -e "$T/home" ] || fail "a failed init left $(find "$T/home")"
if [ "$(id -u)" = 0 ]; then
	chmod 755 "$T"
	cp "$TK_BUILDDIR/twinkeep" "$T/twinkeep"
	expect 1 setpriv --reuid 65534 --regid 65534 --clear-groups "$T/twinkeep" init --home "$T/theirs" --site a="dir:$T/va" --dataset d="$T/data"
	err_is "twinkeep: making the directory $T/theirs: Permission denied: run it as a user who may"
fi

expect 2 twinkeep init --site a="dir:$T/va" --dataset d="$T/data" --policy nope
err_has "there is no policy file nope; name a file, or one from "

# --- sites that know nothing yet are no fault
expect 0 twinkeep init --site a="dir:$T/va" --site b="dir:$T/vb" --dataset d="$T/data"
expect 0 twinkeep site list --json
json_is sites.0.reason null
[ ! -s "$T/err" ] || fail "standard error is not empty"

# --- a file that is no invitation, a home that is none, a site that runs already
expect 2 twinkeep site enrol a "$T/pass" --home "$T/site"
err_is "twinkeep: $T/pass is no whole invitation; copy it again, or make another with \`twinkeep site invite\` at the source"
expect 2 twinkeepd --home "$T/nowhere"
err_is "twinkeepd: there is no home $T/nowhere; make one with \`twinkeep site enrol\`, or name it with --home"
expect 0 twinkeep init --home "$T/other" --site t=tk://127.0.0.1:7 --dataset d="$T/data"
expect 0 twinkeep site invite t --home "$T/other"
expect 0 twinkeep site enrol t "$T/other/t.invite" --home "$T/site" --listen 127.0.0.1:0
grep -q '"127.0.0.1:0"' "$T/site/twinkeepd.conf" || fail "the site listens elsewhere"
expect 0 twinkeepd --home "$T/site"
expect 9 twinkeepd --home "$T/site"
err_is "twinkeepd: vault $T/site/vault: lock is held by process $(cat "$T/site/twinkeepd.pid"): wait until the other run has ended"
expect 9 twinkeepd --home "$T/site" --foreground

# --- a rehearsal says that it was one
expect 0 twinkeep backup -n
out_has "A rehearsal: nothing was stored or sent."

# --- a first run that does not ask enough sites to begin
expect 7 twinkeep backup --site a
err_is "twinkeep: this home has no journal of its own and needs a new epoch, for which 1 of 2 sites voted, too few: the others were not asked; run it for all sites, without --site"

# --- a restore says of which point; one that restored nothing only why
expect 0 twinkeep backup
expect 0 twinkeep restore d --strip --target "$T/back"
grep -qE '^point [0-9a-f]{16} of 20[0-9-]+T[0-9:]+\+00:00: 1 files, 4 B restored in ' "$T/out" || fail "it does not name the point"
expect 1 twinkeep restore d --target "$T/pass"
err_is "twinkeep: making the directory $T/pass: Not a directory: choose another name, or remove what is there"
[ ! -s "$T/out" ] || fail "it tells of files all the same"

# --- a site that was left out is named, and counted
expect 4 twinkeep backup --site a
err_is "twinkeep: site b does not hold the point: it was left out; run it without --site"
out_has "held by 1 of 2 sites; ack rule all-local NOT met"
expect 4 twinkeep backup --site a --json
json_is errors.0.code usage

# --- a vault whose disk is not there
mv "$T/vb" "$T/gone"
expect 4 twinkeep backup
err_is "twinkeep: site b does not hold the point: vault $T/vb: no vault: No such file or directory: see whether its disk is mounted, or correct the site's url; the vault of a new site is made by twinkeep site invite"
expect 4 twinkeep status
out_has "ALARM backup: the last run ended with exit status 4: 1 files, 0 B stored, ack rule not met"
mv "$T/gone/vb" "$T/vb"

# --- a directory that becomes a site later gets its vault by a word, never by a backup, and then the points of the epoch
cat >>"$T/home/twinkeep.conf" <<END
site c { url = "dir:$T/vc" local = true }
END
expect 4 twinkeep backup
err_has "site c does not hold the point"
err_has "the vault of a new site is made by twinkeep site invite"
[ ! -e "$T/vc" ] || fail "a backup made a vault"
expect 0 twinkeep site invite c
out_is "The vault of site c is made in $T/vc: it is given what it lacks with the next backup."
expect 0 twinkeep backup
points=$(twinkeep list --json | grep -c '"epoch"')
[ "$(twinkeep list --json --site c | grep -c '"epoch"')" = "$points" ] || fail "site c lacks points"
expect 0 twinkeep restore d --strip --target "$T/from-c" --site c
cmp "$T/data/file" "$T/from-c/file"
expect 0 twinkeep recover --home "$T/new" --site "dir:$T/vc"
rm -rf "$T/new"
expect 2 twinkeep site invite c
err_is "twinkeep: site c has its vault in $T/vc; it is used as it is, and needs no invitation"

# --- a run that lost its state, and finds a site that missed points, has nothing to complain of
rm -rf "$T/home/state"
expect 0 twinkeep backup
[ ! -s "$T/err" ] || fail "standard error is not empty"
out_has "This home had no journal of d: it won epoch 4."

# --- what is asked for and not there is told before anything comes back
expect 1 twinkeep restore d --target "$T/some" --path "$T/data/file" --path "$T/data/nothing"
err_is "twinkeep: the point has nothing at $T/data/nothing; give full paths, as twinkeep ls shows them"
[ ! -e "$T/some$T/data/file" ] || fail "part of what was asked for came back"
expect 0 twinkeep restore d --target "$T/some" --path "$T/data"
expect 2 twinkeep ls d@
err_has '"d@" names no point after the @'
# A day is all of it.
expect 0 twinkeep ls "d@$(date +%F)"

# --- keys that others can read
expect 0 twinkeep config check
[ ! -s "$T/err" ] || fail "config check complains"
chmod 755 "$T/home/keys"
chmod 644 "$T/home/keys/machine.key"
chmod 666 "$T/home/twinkeep.conf"
expect 0 twinkeep config check
err_has "$T/home/keys/machine.key can be read by others (mode 644)"
err_has "$T/home/twinkeep.conf can be written by others (mode 666)"
chmod 644 "$T/home/twinkeep.conf"
chmod 700 "$T/home/keys"
expect 0 twinkeep config check
[ ! -s "$T/err" ] || fail "config check complains of what is behind a closed door"
expect 2 setsid "$TK_BUILDDIR/twinkeep" key add
err_has "New passphrase: there is no terminal to ask for it; give --new-passphrase-file FILE"
echo ok
