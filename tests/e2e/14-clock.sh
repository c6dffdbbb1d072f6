#!/bin/sh
# A clock that is set back a year, and right again: runs go on, order is by epoch and sequence, a time that the clocks leave open chooses no point, and
# status does not take a point from the future for a fresh one.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"

mkdir "$T/bin" "$T/src"
ln -s "$TK_BUILDDIR/tests/e2e/moved_twinkeep" "$T/bin/twinkeep"
PATH=$T/bin:$PATH
TWINKEEP_HOME=$T/home
TWINKEEP_PASSPHRASE_FILE=$PASS
export TK_CLOCK_OFF_S=0 TWINKEEP_HOME TWINKEEP_PASSPHRASE_FILE
year=31536000

# day OFFSET: the date so many seconds from now.
day()
{
	date -u -d "@$(($(date +%s) + $1))" +%Y-%m-%d
}
echo one >"$T/src/file"
source_home "$T/home" "d=$T/src" a b
expect 0 twinkeep backup
expect 0 twinkeep verify
expect 0 twinkeep status

# --- set back: the newest point is a year ahead, and so is the last verification
TK_CLOCK_OFF_S=-$year
expect 4 twinkeep status --json
json_is datasets.0.protected false
json_is datasets.0.alarms.0.alarm clock
json_is datasets.0.alarms.1.alarm verify
expect 4 twinkeep status
out_has "ALARM clock: the newest point was made 364 d"

echo two >"$T/src/file"
expect 0 twinkeep backup --json
json_is epoch 1
json_is sequence 2
json_is ack_met true
early=$(json point)
expect 0 twinkeep verify
expect 0 twinkeep status --json
json_is datasets.0.point "$early"
json_is datasets.0.alarms "[]"
expect 0 twinkeep list --json
json_is points.0.sequence 1
json_is points.1.sequence 2

# --- right again
TK_CLOCK_OFF_S=0
expect 4 twinkeep status --json
json_is datasets.0.alarms.0.alarm rpo
json_is datasets.0.alarms.1.alarm verify
echo three >"$T/src/file"
expect 0 twinkeep backup --json
json_is sequence 3
expect 0 twinkeep verify
expect 0 twinkeep status

# --- what a time chooses
restored_is()
{
	expect 0 twinkeep cat "d$1" "$T/src/file"
	out_is "$2"
}
restored_is "" three
restored_is "@$(day 86400)" three
restored_is "@$(printf %.12s "$early")" two
expect 2 twinkeep cat "d@$(day -$((year / 2)))" "$T/src/file"
err_has "a clock was set back: point $(printf %.8s "$early") follows"
expect 1 twinkeep cat "d@$(day -$((2 * year)))" "$T/src/file"
err_has "no point was complete"
echo ok
