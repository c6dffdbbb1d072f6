#!/bin/sh
# The making of a dataset's keys is killed before each of its steps on the disk. What was there goes on, the site recovers an empty machine, and the same command run
# again makes the rest good.
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

step=0
status=137
while [ "$status" != 0 ]; do
	step=$((step + 1))
	[ "$step" -lt 60 ] || fail "it is not done after $step steps"
	mkdir "$T/d$step"
	echo "$step" >"$T/d$step/file"
	echo "dataset d$step { paths = \"$T/d$step\" }" >>"$T/home/twinkeep.conf"
	status=0
	TK_KILL_STEP=$step "$TK_BUILDDIR/tests/e2e/killed_twinkeep" key add --dataset "d$step" >"$T/out" 2>"$T/err" || status=$?
	[ "$status" = 0 ] || [ "$status" = 137 ] || fail "exit status $status at step $step"
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

# --- nothing is left over, and all of it comes back
expect 0 twinkeep backup
[ ! -s "$T/err" ] || fail "the backup complains"
expect 0 twinkeep key list --json
[ "$(grep -c '"slot"' "$T/out")" = 2 ] || fail "slots are left"
[ "$(find "$T/one/sources" -path '*/slots/*' ! -name '*.pub' | wc -l)" = 1 ] || fail "slots are left at the site"
for kind in genesis grant; do
	[ "$(find "$T/home/keys" -name "*.$kind" | wc -l)" = $((step + 1)) ] || fail "there are not $((step + 1)) files .$kind"
done
recovered
for i in $(seq "$step"); do
	expect 0 twinkeep cat "d$i" "$T/d$i/file" --home "$T/other"
	out_is "$i"
done
echo ok
