#!/bin/sh
# status tells what each site holds and how far it lags, whether the newest point meets the ack rule, and raises alarms; its
# exit status says whether everything is protected.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME

# alarms: their kinds, sorted, on one line
alarms()
{
	python3 -c 'import json, sys; print(*sorted(a["alarm"] for a in json.load(open(sys.argv[1]))["datasets"][0]["alarms"]))' "$T/out"
}
alarms_are()
{
	[ "$(alarms)" = "$1" ] || fail "the alarms are: $(alarms), not: $1"
}

mkdir "$T/src"
echo a >"$T/src/a"
expect 0 twinkeep init --site one="dir:$T/one" --site two="dir:$T/two" --dataset data="$T/src"
expect 4 twinkeep status --json
json_is datasets.0.point null
json_is datasets.0.last_backup null
alarms_are no-point

expect 0 twinkeep backup --json
first=$(json point)
stored=$(json stored_bytes)
expect 0 twinkeep list --json
json_is points.0.stored_bytes "$stored"
# A file that is only looked at again, since it was written just before, has not changed.
expect 0 twinkeep backup --dry-run --json
json_is files_changed 0
expect 0 twinkeep status --json
json_is datasets.0.point "$first"
json_is datasets.0.ack_met true
json_is datasets.0.protected true
json_is datasets.0.sites.0.lag_points 0
json_is datasets.0.sites.1.point "$first"
json_is datasets.0.last_backup.exit_status 0
json_is datasets.0.sites.0.last_verify null
alarms_are ""
expect 0 twinkeep verify
expect 0 twinkeep status --json
json_is datasets.0.sites.1.last_verify.exit_status 0
expect 0 twinkeep status data
out_has "data: last point"
expect 2 twinkeep status dat
err_has 'the nearest is "data"'

# --- one site misses a point
mv "$T/two" "$T/two.off"
echo b >"$T/src/b"
expect 4 twinkeep backup --json
second=$(json point)
[ "$(wc -l <"$T/err")" = 1 ] || fail "a site that is away takes more than a line"
err_has "twinkeep: site two does not hold the point: "
mv "$T/two.off" "$T/two"
expect 4 twinkeep status --json
json_is datasets.0.point "$second"
json_is datasets.0.ack_met false
json_is datasets.0.sites.1.point "$first"
json_is datasets.0.sites.1.lag_points 1
alarms_are "ack backup"

# --- the only site that has the newest point falls silent: its receipt is remembered
mv "$T/one" "$T/one.off"
expect 4 twinkeep status --json
json_is datasets.0.point "$second"
json_is datasets.0.sites.0.reachable false
json_is datasets.0.sites.0.point "$second"
alarms_are "ack backup unreachable"
mv "$T/two" "$T/two.off"
expect 7 twinkeep status --json
expect 7 twinkeep backup --json
[ "$(wc -l <"$T/err")" = 3 ] || fail "two sites that are away and the end take more than three lines"
err_has "twinkeep: site one failed: "
err_has "twinkeep: site two failed: "
[ "$(json errors | grep -o 'site [a-z]* failed: ' | wc -l)" = 2 ] || fail "errors do not name each site once"
expect 7 twinkeep backup -v
err_has "event=site-failed site=one"
mv "$T/one.off" "$T/one"
mv "$T/two.off" "$T/two"
expect 0 twinkeep backup
expect 0 twinkeep status --json
alarms_are ""

# --- a site that is silent now, but gave its receipt, leaves the point protected
mv "$T/two" "$T/two.off"
expect 0 twinkeep status --json
json_is datasets.0.ack_met true
alarms_are unreachable
mv "$T/two.off" "$T/two"

# --- a site that gave a receipt and lost the point
receipt=$(find "$T/two" -path '*/receipts/*' -name '*-0000000000000003-*')
mv "$receipt" "$T/receipt"
expect 4 twinkeep status --json
alarms_are "ack lost-point"
mv "$T/receipt" "$receipt"

# --- an earlier point that fewer sites hold than the ack rule wants
receipt=$(find "$T/two" -path '*/receipts/*' -name '*-0000000000000001-*')
mv "$receipt" "$T/receipt"
expect 0 twinkeep status --json
alarms_are thin
json_is datasets.0.alarms.0.severity warning
expect 0 twinkeep status
out_has "1 earlier point of dataset data is held by fewer sites than its ack rule all-local wants"
mv "$T/receipt" "$receipt"
expect 0 twinkeep status --json
alarms_are ""

# --- a site that is not enabled stays in sight
cp "$T/home/twinkeep.conf" "$T/conf"
sed -i '/^site "\{0,1\}two/a enabled = false' "$T/home/twinkeep.conf"
expect 0 twinkeep status --json
json_is datasets.0.sites.1.state disabled
json_is datasets.0.sites.1.reachable false
alarms_are ""
expect 0 twinkeep status
grep -q '^  two  *disabled ' "$T/out" || fail "the site that is disabled is not in the table"
mv "$T/conf" "$T/home/twinkeep.conf"

# --- a site that is set back: the run brings it the point, and it does not count until it is let in
cp -a "$T/two" "$T/two.old"
echo c >"$T/src/c"
expect 0 twinkeep backup
rm -r "$T/two"
mv "$T/two.old" "$T/two"
expect 4 twinkeep backup --json
newest=$(json point)
expect 4 twinkeep status --json
json_is datasets.0.sites.1.set_back true
json_is datasets.0.sites.1.point "$newest"
json_is datasets.0.ack_met false
alarms_are "ack backup set-back"
expect 4 twinkeep status
out_has 'SET BACK'
expect 0 twinkeep site readmit two
expect 0 twinkeep backup
expect 0 twinkeep status --json
json_is datasets.0.sites.1.set_back false
alarms_are ""

# --- damage that verify found stays an alarm until a good one
pack=$(find "$T/one/packs" -type f | head -1)
mv "$pack" "$T/pack"
expect 5 twinkeep verify
expect 5 twinkeep status --json
alarms_are verify
json_is datasets.0.protected false
json_is datasets.0.alarms.0.severity critical
json_is datasets.0.sites.0.last_verify.exit_status 5
expect 0 twinkeep list --json
json_is points.0.last_verified null
json_is points.0.verified.0.result "in doubt"
json_is points.0.verified.1.result whole
expect 0 twinkeep list
out_has "IN DOUBT at one"
expect 0 twinkeep verify "data@$newest" --site two
expect 5 twinkeep status --json
mv "$T/pack" "$pack"
# One point that is whole does not clear the others.
expect 0 twinkeep verify "data@$newest" --site one
expect 5 twinkeep status
out_has "(DAMAGED)"
expect 0 twinkeep verify
expect 0 twinkeep status --json
alarms_are ""

# --- a verification of one point, at one site, tells of that point there; a point made later was never verified
echo d >"$T/src/d"
expect 0 twinkeep backup --json
later=$(json point)
expect 0 twinkeep list --json
json_is points.0.verified.0.result whole
json_is points.0.verified.0.depth structure
last=$(($(json points | grep -o '"sequence"' | wc -l) - 1))
json_is "points.$last.last_verified" null
json_is "points.$last.verified.0.result" never
expect 0 twinkeep status --json
before=$(json datasets.0.sites.1.last_verify.time)
expect 0 twinkeep verify "data@$later" --site two
expect 0 twinkeep status --json
json_is datasets.0.sites.1.last_verify.time "$before"
expect 0 twinkeep list --json
json_is "points.$last.verified.0.result" never
json_is "points.$last.verified.1.result" whole
json_is "points.$last.last_verified" null
expect 0 twinkeep list
out_has "(two; never at one)"
expect 0 twinkeep verify

# --- a site that was never verified alarms when it has stored points for 30 days, as one whose verification is as old
db=$T/home/state/catalog.db
python3 - "$db" <<'EOP'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE run SET end_ns = end_ns - 31 * 86400 * 1000000000 WHERE kind = 'verify' AND site = 'one'")
db.execute("DELETE FROM run WHERE kind = 'verify' AND site = 'two'")
db.execute("UPDATE receipt SET time_ns = time_ns - 31 * 86400 * 1000000000 WHERE sequence = 1")
db.commit()
EOP
expect 0 twinkeep status --json
alarms_are "verify verify"
json_is datasets.0.alarms.0.severity warning
expect 0 twinkeep status
out_has "site one was not verified for 30 days"
out_has "site two has stored points for 30 days and was never verified as a whole"
expect 0 twinkeep verify
expect 0 twinkeep status --json
alarms_are ""
[ "$(json datasets.0.age_seconds)" -lt 600 ] || fail "the newest point is told to be old"
json_is datasets.0.rpo_seconds 86400

# --- a journal that cannot be opened: that nothing ran is not claimed
mv "$db" "$T/catalog.db"
mkdir "$db"
expect 0 twinkeep status --json
json datasets.0.alarms | grep -q '"journal"' || fail "no alarm of the journal: $(alarms)"
expect 0 twinkeep status
out_has "last backup run: not known"
expect 0 twinkeep list
out_has "not known"
err_has "when points were verified is not known"
rmdir "$db"
mv "$T/catalog.db" "$db"

# --- with ack = any a silent site could have met the rule alone: the run keeps to it, and says aloud what it cannot know
sed -i 's/^\([[:space:]]*\)ack = all-local.*/\1ack = any/' "$T/home/twinkeep.conf"
expect 0 twinkeep backup --json
json_is possibly_fenced false
mv "$T/two" "$T/two.off"
expect 0 twinkeep backup --json
json_is ack_met true
json_is possibly_fenced true
err_has 'possibly fenced: sites that were not asked (two) could'
json errors | grep -q 'possibly fenced: ' || fail "errors do not say that the run is possibly fenced"
expect 0 twinkeep status --json
alarms_are "possibly-fenced unreachable"
json datasets.0.last_backup.text | grep -q 'ack rule met, possibly fenced' || fail "the history does not say that the run was possibly fenced"
mv "$T/two.off" "$T/two"
expect 0 twinkeep status --json
alarms_are ""
sed -i 's/^\([[:space:]]*\)ack = any/\1ack = all-local/' "$T/home/twinkeep.conf"
expect 0 twinkeep backup
# The rule changed twice, and each time the next run began an epoch that says so.

# --- another home writes now: this one is fenced, whether it has noticed or not
cp -a "$T/home" "$T/copy"
expect 0 twinkeep recover --home "$T/copy" --site dir:"$T/one"
expect 0 twinkeep backup --home "$T/copy" --json
json_is epoch 4
expect 6 twinkeep status --json
alarms_are fenced
out_has '"sequence": '
expect 6 twinkeep backup
expect 6 twinkeep status --json
alarms_are "backup fenced"
expect 0 twinkeep status --home "$T/copy"

# --- a dataset that is suddenly empty is spoken of, and its earlier points stand
mkdir "$T/mnt"
echo a >"$T/mnt/a"
expect 0 twinkeep init --home "$T/home2" --site one="dir:$T/three" --dataset mnt="$T/mnt"
expect 0 twinkeep backup --home "$T/home2"
rm "$T/mnt/a"
expect 0 twinkeep backup --home "$T/home2"
err_has "dataset mnt is empty, and had 1 files in the last point that was not"
expect 0 twinkeep backup --home "$T/home2" -q
err_has "dataset mnt is empty, and had 1 files in the last point that was not"
expect 0 twinkeep status --home "$T/home2" --json
alarms_are emptied
json_is datasets.0.alarms.0.severity critical
for i in 1 2 3 4 5; do
	echo "$i" >"$T/mnt/$i"
done
expect 0 twinkeep backup --home "$T/home2"
[ ! -s "$T/err" ] || fail "a dataset that is not empty any more is told to be"
expect 0 twinkeep status --home "$T/home2" --json
alarms_are ""
# --- so is one that lost more than half, but not files under new names
mv "$T/mnt/1" "$T/mnt/6"
mv "$T/mnt/2" "$T/mnt/7"
mv "$T/mnt/3" "$T/mnt/8"
rm "$T/mnt/4" "$T/mnt/5"
expect 0 twinkeep backup --home "$T/home2"
[ ! -s "$T/err" ] || fail "files under new names are told to be lost"
rm "$T/mnt/6" "$T/mnt/7"
expect 0 twinkeep backup --home "$T/home2" -q
err_has "dataset mnt has 1 files, and had 3 in the point before"
echo ok
