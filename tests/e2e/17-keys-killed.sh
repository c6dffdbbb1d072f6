#!/bin/sh
# The making of a dataset's keys, and a rotation, are killed before each of their steps on the disk. What was there goes on, the site recovers an empty machine, and the
# same command run again makes the rest good.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME

mkdir "$T/src"
echo old >"$T/src/file"
expect 0 twinkeep init --site one="dir:$T/one" --dataset data="$T/src"
expect 0 twinkeep backup

# recovered: an empty machine gets all that the site has promised.
recovered()
{
	rm -rf "$T/other"
	expect 0 twinkeep recover --home "$T/other" --site "dir:$T/one"
	expect 0 twinkeep cat data "$T/src/file" --home "$T/other"
	out_is old
}

# killed COMMAND...: runs it until step number $step; sets $status, which is 0 when it has no such step.
killed()
{
	[ "$step" -lt 60 ] || fail "it is not done after $step steps"
	status=0
	TK_KILL_STEP=$step "$TK_BUILDDIR/tests/e2e/killed_twinkeep" "$@" >"$T/out" 2>"$T/err" || status=$?
	[ "$status" = 0 ] || [ "$status" = 137 ] || fail "exit status $status at step $step: $*"
}

status=137
step=0
while [ "$status" != 0 ]; do
	step=$((step + 1))
	mkdir "$T/d$step"
	echo "$step" >"$T/d$step/file"
	echo "dataset d$step { paths = \"$T/d$step\" }" >>"$T/home/twinkeep.conf"
	killed key add --dataset "d$step"
	if [ "$status" = 137 ]; then
		expect 0 twinkeep backup data
		# Recovery costs most; each step is met by one of its kind.
		[ $((step % 3)) != 0 ] || recovered
		expect 0 twinkeep key add --dataset "d$step"
	fi
	expect 0 twinkeep backup "d$step" --json
	json_is epoch 1
	json_is ack_met true
done
[ "$step" -gt 15 ] || fail "only $step steps were seen"
datasets=$step

status=137
step=0
while [ "$status" != 0 ]; do
	step=$((step + 1))
	killed key rotate
	[ "$status" = 137 ] || break
	echo "rotated $step" >"$T/d1/rotated"
	expect 0 twinkeep backup d1
	[ $((step % 3)) != 0 ] || recovered
	expect 0 twinkeep key rotate
	echo "again" >>"$T/d1/rotated"
	expect 0 twinkeep backup d1
	expect 0 twinkeep cat d1 "$T/d1/rotated"
	cmp "$T/out" "$T/d1/rotated"
done
[ "$step" -gt 10 ] || fail "only $step steps were seen"

# --- nothing is left over, and all of it comes back
expect 0 twinkeep backup
[ ! -s "$T/err" ] || fail "the backup complains"
expect 0 twinkeep key list --json
[ "$(grep -c '"slot"' "$T/out")" = 2 ] || fail "slots are left"
[ "$(find "$T/one/sources" -path '*/slots/*' ! -name '*.pub' | wc -l)" = 1 ] || fail "slots are left at the site"
for kind in genesis grant; do
	[ "$(find "$T/home/keys" -name "*.$kind" | wc -l)" = $((datasets + 1)) ] || fail "there are not $((datasets + 1)) files .$kind"
done
recovered
for i in $(seq "$datasets"); do
	expect 0 twinkeep cat "d$i" "$T/d$i/file" --home "$T/other"
	out_is "$i"
done
echo ok
