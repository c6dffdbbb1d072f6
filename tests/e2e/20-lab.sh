#!/bin/sh
# Three sites over TLS: each gives a receipt; one that is killed holds nobody back but is named; the others restore; what it
# missed it gets later.
. "$(dirname "$0")/lib.sh"

use_lab

# --- up
expect 0 "$lab" up "$T/lab"
expect 2 "$lab"
expect 1 "$lab" up "$T/lab"
err_has "is a lab already"
expect 0 "$lab" env "$T/lab"
eval "$(cat "$T/out")"
[ "$TWINKEEP_HOME" = "$T/lab/source" ] || fail "env names the home $TWINKEEP_HOME"
[ "$(stat -c %a "$TWINKEEP_PASSPHRASE_FILE")" = 600 ] || fail "the passphrase's file is open to others"
! ls "$T/lab"/*.invite >/dev/null 2>&1 || fail "an invitation was left"

# --- the sites before anything is stored
expect 0 twinkeep site list --json
for i in 0 1 2; do
	json_is "sites.$i.reachable" true
	json_is "sites.$i.enrolled" true
	json_is "sites.$i.last_receipt" null
done
json_is sites.0.site a
json_is sites.0.local true
json_is sites.2.local false
if [ -r /proc/net/if_inet6 ] && grep -q '^0\{31\}1 ' /proc/net/if_inet6; then
	json sites.2.url >"$T/url"
	grep -qF 'tk://[::1]:' "$T/url" || fail "no site is on IPv6"
fi

# --- one backup, three receipts
expect 0 twinkeep backup --json
json_is epoch 1
json_is sequence 1
json_is ack_met true
json receipts >"$T/receipts"
for site in a b remote; do
	grep -q "\"site\":\"$site\"" "$T/receipts" || fail "site $site gave no receipt"
	json_is "errors" '[]'
done

# --- the remote site dies: all-local is met, and the JSON says who lacks the point
expect 0 "$lab" kill "$T/lab" remote
expect 1 "$lab" kill "$T/lab" remote
echo more >"$T/lab/data/more.txt"
expect 0 twinkeep backup --json
json_is ack_met true
json receipts >"$T/receipts"
! grep -q remote "$T/receipts" || fail "a dead site gave a receipt"
json errors | grep -q 'site remote does not hold the point' || fail "the dead site is not named"
expect 0 "$lab" start "$T/lab" remote

# --- a local site dies: the point is stored, the rule is not met, the site and the reason are said
expect 0 "$lab" kill "$T/lab" a
echo still more >"$T/lab/data/still.txt"
expect 4 twinkeep backup --json
json_is ack_met false
json receipts >"$T/receipts"
grep -q '"site":"b"' "$T/receipts" || fail "site b gave no receipt"
json errors >"$T/errors"
grep -q 'site a does not hold the point' "$T/errors" || fail "errors do not name site a: $(cat "$T/errors")"
grep -q refused "$T/errors" || fail "errors do not say why: $(cat "$T/errors")"
expect 0 twinkeep site list --json
json_is sites.0.reachable false
json_is sites.0.enrolled null

# --- the others restore it
expect 0 twinkeep restore data --strip --target "$T/back" --json
json_is verified true
diff -r --no-dereference "$T/lab/data" "$T/back" || fail "the restored tree differs"
json sites_used >"$T/used"
! grep -q '"a"' "$T/used" || fail "a dead site was used"

# --- killed is not lost: with what it missed it catches up
expect 0 "$lab" start "$T/lab" a
expect 0 twinkeep backup --json
json_is ack_met true
expect 0 twinkeep list --json
for i in 0 1 2 3; do
	json_is "points.$i.sites" '["a","b","remote"]'
done

# --- a site that revokes the source refuses it; enrolment by a new invitation lets it in again
name=$(sed -n 's/^source = "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$TWINKEEP_HOME/twinkeep.conf")
expect 0 twinkeep site revoke "$name" --home "$T/lab/b"
out_has "was told"
sleep 0.5
expect 0 twinkeep site list --json
json_is sites.1.reachable true
json_is sites.1.enrolled false
twinkeep status --json >"$T/out" 2>"$T/err" || :
json_is datasets.0.sites.1.state refused
json datasets.0.alarms | grep -q 'site b answers and refuses: .*not registered' || fail "status does not say that b refuses"
expect 0 twinkeep site invite b --output "$T/b.invite"
[ "$(stat -c %a "$T/b.invite")" = 600 ] || fail "the invitation is open to others"
expect 1 twinkeep site invite b --output "$T/b.invite"
expect 2 twinkeep site enrol a "$T/b.invite" --home "$T/lab/b"
expect 0 twinkeep site enrol b "$T/b.invite" --home "$T/lab/b"
sleep 0.5
expect 0 twinkeep site list --json
json_is sites.1.enrolled true
expect 2 twinkeep site invite c
err_has 'there is no site "c"'

# --- an index made anew serves the same
expect 9 twinkeep site rebuild b --home "$T/lab/b"
expect 0 "$lab" stop "$T/lab" b
expect 2 twinkeep site rebuild a --home "$T/lab/b"
expect 0 twinkeep site rebuild b --home "$T/lab/b" --json
json_is points 4
expect 0 "$lab" start "$T/lab" b

# --- a site whose vault was made anew is refused until it is readmitted, and then gets what it lacks
expect 0 "$lab" stop "$T/lab" b
rm -rf "$T/lab/b"
expect 0 twinkeep site invite b --output "$T/b2.invite"
port=$(sed -n 's|.*tk://127.0.0.1:\([0-9]*\).*|\1|p' "$TWINKEEP_HOME/twinkeep.conf" | sed -n 2p)
expect 0 twinkeep site enrol b "$T/b2.invite" --home "$T/lab/b" --listen "127.0.0.1:$port"
expect 0 "$lab" start "$T/lab" b
expect 4 twinkeep backup --json
json errors | grep -q readmit || fail "the changed key is not told"
twinkeep status --json >"$T/out" 2>"$T/err" || :
json_is datasets.0.sites.1.state refused
json datasets.0.alarms | grep -q 'site b answers, and knows nothing of this dataset: .*site readmit b' || fail "status does not say that b is new"
expect 0 twinkeep site readmit b
expect 0 "$lab" stop "$T/lab" b
expect 0 twinkeep site readmit b --home "$T/lab/b"
expect 0 "$lab" start "$T/lab" b
expect 0 twinkeep backup --json
json_is ack_met true
expect 0 twinkeep restore data --site b --strip --target "$T/from-b"
diff -r --no-dereference "$T/lab/data" "$T/from-b" || fail "the new vault of b restores another tree"

# --- down
expect 0 "$lab" down "$T/lab"
expect 7 twinkeep backup
echo ok
