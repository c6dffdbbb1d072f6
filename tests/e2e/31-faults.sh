#!/bin/sh
# What goes wrong is told in one line that names it, with the right exit status; nothing that is claimed is lost, nothing is
# half published, and it works again when the cause is gone. A second good site hides what the first has lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"

src=$T/src
mkdir -p "$src/sub"
head -c 3000000 /dev/urandom >"$src/big"
for i in $(seq 200); do
	echo "small $i" >"$src/sub/$i"
done
source_home "$T/home" "d=$src" one two
backup 0 --json
point=$(json point)
cp -a "$T/one" "$T/one.good"

# flip FILE OFFSET: turns one bit of the byte; an offset below 0 counts from the end.
flip()
{
	python3 -c '
import os, sys
with open(sys.argv[1], "r+b") as file:
    at = int(sys.argv[2])
    file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
    byte = file.read(1)[0]
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte ^ 0x40]))' "$1" "$2"
}

# hurt WHAT STATUS WORD COMMAND...: after the command on site one, restore from it alone ends with the status and one line that
# has the word last; from both sites it brings everything back.
hurt()
{
	what=$1
	status=$2
	word=$3
	shift 3
	"$@"
	restore "$status" d --target "$T/back" --strip --site one
	[ "$status" = 0 ] || tail -1 "$T/err" | grep -q "^twinkeep: .*$word" || fail "$what: the last line has no \"$word\""
	rm -rf "$T/back"
	restore 0 d --target "$T/back" --strip --json
	json_is verified true
	json_is point "$point"
	diff -r "$src" "$T/back" >"$T/out" || fail "$what: the restored tree differs"
	rm -rf "$T/back" "$T/one"
	cp -a "$T/one.good" "$T/one"
}
data=$(find "$T/one/packs" -type f -size +1000k)
pages=$(find "$T/one/packs" -type f -size -1000k)
point_file=$(ls "$T"/one/domains/*/points/*)
name=$(basename "$pages" | cut -c 1-16)

# --- the wrong passphrase
echo "not the right one at all 99" >"$T/wrong"
expect 8 twinkeep restore d --home "$T/home" --passphrase-file "$T/wrong" --target "$T/back"
err_is "twinkeep: wrong passphrase: check the passphrase and whose home this is"
[ ! -e "$T/back" ] || fail "a target was made although nothing can be restored"

# --- packs that are cut short or have a flipped bit, anywhere
hurt "data pack cut short" 5 "files are not restored" truncate -s 1000000 "$data"
hurt "bit in a data pack" 5 "1 file is not restored" flip "$data" 1500000
hurt "page pack cut short" 5 "pack $name: site one" truncate -s 3000 "$pages"
hurt "page pack gone" 5 "pack $name: site one" rm "$pages"
for offset in 5 500 -30; do
	hurt "bit $offset of the page pack" 5 "pack $name: site one" flip "$pages" "$offset"
done
# --- the file that is lost is named, the others are restored
flip "$data" 1500000
restore 5 d --target "$T/back" --strip --site one --json
err_has "$src/big is not restored: pack $(basename "$data" | cut -c 1-16): site one"
json_is files_restored 200
json_is verified false
diff -r "$src/sub" "$T/back/sub" || fail "the other files are not restored"
[ ! -e "$T/back/big" ] || fail "a damaged file is in place"
cp -a "$T/one.good/packs/." "$T/one/packs/"
restore 0 d --target "$T/back" --strip --site one
rm -rf "$T/back"
# --- a pack that is gone is one line, however many files it takes with it; each is in "errors", and with -v has a line of its own
mv "$data" "$T/gone"
restore 5 d --target "$T/back" --strip --site one --json
err_has "and 200 more files are not restored (-v names them): pack $(basename "$data" | cut -c 1-16): site one"
[ "$(wc -l <"$T/err")" = 2 ] || fail "a lost pack is told in more than two lines"
[ "$(json errors | grep -o '/[0-9a-z]* is not restored: pack' | sort -u | wc -l)" = 201 ] || fail "errors does not name each file"
rm -rf "$T/back"
restore 5 d --target "$T/back" --strip --site one -v
[ "$(grep -c 'event=not-restored path=' "$T/err")" = 201 ] || fail "-v does not name each file"
mv "$T/gone" "$data"
rm -rf "$T/back"

# --- the point's record, receipts, slots
hurt "bit in the point" 5 "site one: point" flip "$point_file" 100
hurt "point cut short" 5 "site one: point" truncate -s 100 "$point_file"
hurt "bit in the receipt" 0 - flip "$(ls "$T"/one/domains/*/receipts/*)" 60
slot=$(ls "$T"/home/keys/passphrase-*.slot)
cp "$slot" "$T/slot"
for offset in 4 40 -20; do
	flip "$slot" "$offset"
	got=0
	twinkeep restore d --home "$T/home" --passphrase-file "$PASS" --target "$T/back" >"$T/out" 2>"$T/err" || got=$?
	[ "$got" = 5 ] || [ "$got" = 8 ] || fail "a flipped bit $offset of the slot ends with $got"
	[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "a flipped bit of the slot is told in other than one line"
	cp "$T/slot" "$slot"
done
restore 0 d --target "$T/back" --strip

# --- two runs at once: the second says so, the first is not disturbed
for attempt in 1 2 3 4 5 6 7 8; do
	head -c 40000000 /dev/urandom >"$src/second"
	twinkeep backup --home "$T/home" >"$T/first.out" 2>"$T/first.err" &
	first=$!
	pids=$first
	sleep 0.2
	kill -STOP $first 2>/dev/null || :
	got=0
	twinkeep backup --home "$T/home" --json >"$T/out" 2>"$T/err" || got=$?
	kill -CONT $first 2>/dev/null || :
	wait $first || fail "the first run was disturbed: $(cat "$T/first.err")"
	# It may have been stopped before it had the lock, or when it had ended.
	[ "$got" = 0 ] || break
done
[ "$got" = 9 ] || fail "a second run at the same time ended with $got"
[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "it is told in other than one line"
err_has "another run"
json_is errors.0.code locked
pids=
# A vault that something else writes: a moment is waited for; then it is told as what it is, and the run after goes through.
hold()
{
	rm -f "$T/held"
	python3 -c '
import fcntl, sys, time
with open(sys.argv[1], "r+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print(flush=True)
    time.sleep(float(sys.argv[2]))' "$1" "$2" >"$T/held" &
	pids=$!
	until [ -s "$T/held" ]; do sleep 0.02; done
}
hold "$T/one/lock" 60
one=$pids
hold "$T/two/lock" 60
pids="$one $pids"
expect 9 twinkeep backup --home "$T/home" --json
[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "a vault in use is told in other than one line"
err_has "is in use: vault"
json_is errors.0.code locked
kill $pids
wait $pids 2>/dev/null || :
hold "$T/one/lock" 0.5
backup 0
wait "$pids"
pids=

# --- killed in the middle: the next run goes on with the packs that were complete; points neither fork nor have holes
head -c 200000000 /dev/urandom >"$src/second"
sequence=0
for attempt in 1 2 3; do
	twinkeep backup --home "$T/home" >"$T/out" 2>&1 &
	first=$!
	pids=$first
	while kill -0 $first 2>/dev/null && [ -z "$(find "$T"/home/state/domains/*/spool -type f ! -name '*.tmp')" ]; do
		sleep 0.02
	done
	kill -9 $first 2>/dev/null || :
	wait $first 2>/dev/null || :
done
pids=
spooled=$(find "$T"/home/state/domains/*/spool -type f ! -name '*.tmp' -exec basename {} \;)
[ -n "$spooled" ] || fail "no pack was complete when the run was killed"
before=$(du -sb "$T/one" | cut -f 1)
backup 0 --json
json_is epoch 1
for pack in $spooled; do
	[ -n "$(find "$T/one/packs" "$T/home/state" -name "$pack")" ] || fail "pack $pack of the killed run is not used"
done
grown=$(($(du -sb "$T/one" | cut -f 1) - before))
[ "$grown" -lt 203000000 ] || fail "$grown bytes were stored for 200000000"
for delay in 0.05 0.1 0.15 0.2 0.3 0.4; do
	echo "$delay" >"$src/sub/1"
	head -c 1000000 /dev/urandom >"$src/third"
	timeout -s KILL "$delay" twinkeep backup --home "$T/home" >"$T/out" 2>&1 || :
done
backup 0 --json
json_is epoch 1
last=$(json sequence)
expect 0 twinkeep list d --home "$T/home" --json
python3 - "$T/out" "$last" <<'END' || fail "points fork or are not held by all"
import json, sys
points = json.load(open(sys.argv[1]))["points"]
assert len({p["sequence"] for p in points}) == len(points) and {p["epoch"] for p in points} == {1}
assert max(p["sequence"] for p in points) == int(sys.argv[2])
assert points[-1]["sites"] == ["one", "two"]
END
restore 0 d --target "$T/back" --strip --delete --json
json_is verified true
diff -r "$src" "$T/back" || fail "after the kills another tree is restored"
expect 0 twinkeep verify --home "$T/home" --passphrase-file "$PASS" --data
rm "$src/second" "$src/third"

# --- a file that grows while it is read is stored as it was read, and that is said; what comes and goes is no fault
head -c 30000000 /dev/urandom >"$src/growing"
(
	while :; do
		head -c 20000 /dev/urandom >>"$src/growing"
		echo x >"$src/sub/comes-and-goes" && rm "$src/sub/comes-and-goes"
	done
) 2>/dev/null &
pids=$!
# On a busy machine it may stand still while it is read.
for try in 1 2 3 4 5 6 7 8; do
	backup 0 --json
	[ "$(json files_inconsistent)" = 0 ] || break
done
json_is files_inconsistent 1
err_has "$src/growing changed while it was read: stored as it was read, marked inconsistent"
! grep -q comes-and-goes "$T/err" || fail "a file that comes and goes is called a fault"
kill $pids
wait $pids 2>/dev/null || :
pids=
restore 0 d --target "$T/back" --strip --delete --json
json_is verified true
size=$(stat -c %s "$T/back/growing")
[ "$size" -ge 30000000 ] || fail "the growing file has $size bytes"
cmp -n "$size" "$src/growing" "$T/back/growing" || fail "the growing file was torn"
backup 0 --json
json_is files_inconsistent 0
rm "$src/growing" "$src/sub/comes-and-goes" 2>/dev/null || :

# --- a directory of the target that becomes a symlink to elsewhere while it is restored into: nothing goes there
mkdir "$T/outside"
echo sentinel >"$T/outside/1"
touch -d 2020-01-01 "$T/outside/1" "$T/outside"
python3 - "$T/back" "$T/outside" <<'END' &
import os, sys, time
target, outside = sys.argv[1:]
os.makedirs(target, exist_ok=True)
while True:
    for there, away in ((f"{target}/sub", f"{target}/sub.away"),):
        try:
            os.rename(there, away)
            os.symlink(outside, there)
            time.sleep(0.002)
            os.unlink(there)
            os.rename(away, there)
            time.sleep(0.002)
        except OSError:
            time.sleep(0.001)
END
pids=$!
for i in 1 2 3 4 5 6; do
	for file in "$src"/sub/*; do
		echo "round $i" >"$file"
	done
	backup 0
	got=0
	twinkeep restore d --home "$T/home" --passphrase-file "$PASS" --target "$T/back" --strip --delete >"$T/out" 2>"$T/err" || got=$?
	case $got in 0 | 1 | 5) ;; *) fail "a race in the target ends with $got" ;; esac
	[ "$(ls "$T/outside")" = 1 ] && [ "$(cat "$T/outside/1")" = sentinel ] || fail "something was written outside of the target"
	[ "$(stat -c %Y "$T/outside/1" "$T/outside" | sort -u)" = "$(date -d 2020-01-01 +%s)" ] || fail "something outside of the target was touched"
done
kill $pids
wait $pids 2>/dev/null || :
pids=
rm -rf "$T/back/sub" "$T/back/sub.away"
# The same when it is a symlink from the beginning.
ln -s "$T/outside" "$T/back/sub"
restore 0 d --target "$T/back" --strip --delete
[ "$(ls "$T/outside")" = 1 ] && [ ! -L "$T/back/sub" ] || fail "a symlink in the target was followed"
diff -r "$src" "$T/back" || fail "after the races another tree is restored"

# --- a file that the user may not read: named, and the point is made without it
cp "$TK_BUILDDIR/twinkeep" "$T/twinkeep"
chmod 755 "$T" "$T/twinkeep"
mkdir "$T/user" "$T/user/src" "$T/user/src/closed"
echo readable >"$T/user/src/readable"
echo secret >"$T/user/src/secret"
echo inside >"$T/user/src/closed/inside"
as_user=
if [ "$(id -u)" = 0 ]; then
	as_user="setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=$T/user"
	chown -R 65534:65534 "$T/user"
	chmod 644 "$PASS"
fi
chmod 000 "$T/user/src/secret" "$T/user/src/closed"
# shellcheck disable=SC2086
{
	expect 0 $as_user "$T/twinkeep" init -q --home "$T/user/home" --passphrase-file "$PASS" --dataset "d=$T/user/src" --site "v=dir:$T/user/vault"
	expect 3 $as_user "$T/twinkeep" backup --home "$T/user/home" --json
	json_is files_unreadable 2
	json_is ack_met true
	err_has "$T/user/src/secret could not be read and is not in the point"
	err_has "$T/user/src/closed could not be read"
	json errors | grep -qF "$T/user/src/secret" || fail "the file is not named in the JSON"
	expect 0 $as_user "$T/twinkeep" restore d --home "$T/user/home" --passphrase-file "$PASS" --target "$T/user/back" --strip
	[ "$(cat "$T/user/back/readable")" = readable ] && [ ! -e "$T/user/back/secret" ] || fail "the rest is not restored"
	# What could be read before stays in older points; a file that can be read again is in the next.
	chmod 644 "$T/user/src/secret"
	chmod 755 "$T/user/src/closed"
	expect 0 $as_user "$T/twinkeep" backup --home "$T/user/home" --json
	json_is files_total 3
}

# --- disks that are full, at a site, at the source, at the target
mkdir "$T/small"
if ! mount -t tmpfs -o size=6m none "$T/small" 2>/dev/null; then
	echo "not here, so not tested: full disks (mount is not allowed)"
	echo ok
	exit 0
fi
mounts=$T/small
small_is()
{
	mount -o "remount,size=$1" "$T/small" || fail "cannot resize the small disk"
}
mkdir "$T/full"
head -c 2000000 /dev/urandom >"$T/full/first"
expect 0 twinkeep init -q --home "$T/home-site" --passphrase-file "$PASS" --dataset "d=$T/full" --site "good=dir:$T/good" --site "small=dir:$T/small/vault"
expect 0 twinkeep backup --home "$T/home-site" --json
head -c 20000000 /dev/urandom >"$T/full/second"
for attempt in 1 2; do
	expect 4 twinkeep backup --home "$T/home-site" --json
	err_has "twinkeep: site small does not hold the point: "
	err_has "free space there"
	[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "a full site is told in other than one line"
	json_is ack_met false
	json_is receipts.0.site good
	[ "$(ls "$T"/small/vault/domains/*/points | wc -l)" = 1 ] || fail "a full site has half a point"
done
[ -z "$(ls "$T/small/vault/tmp")" ] || fail "a full site keeps what cannot be used: $(ls "$T/small/vault/tmp")"
expect 0 twinkeep restore d --home "$T/home-site" --passphrase-file "$PASS" --target "$T/full.back" --strip
diff -r "$T/full" "$T/full.back" || fail "the good site restores another tree"
expect 0 twinkeep restore d --home "$T/home-site" --site small --passphrase-file "$PASS" --target "$T/full.old" --strip
cmp "$T/full/first" "$T/full.old/first" || fail "the full site has lost what it had"
small_is 100m
expect 0 twinkeep backup --home "$T/home-site" --json
json_is ack_met true
expect 0 twinkeep list d --home "$T/home-site" --json
for i in 0 1 2 3; do
	json_is "points.$i.sites" '["good","small"]'
done
rm -rf "$T/full.back"
expect 0 twinkeep restore d --home "$T/home-site" --site small --passphrase-file "$PASS" --target "$T/full.back" --strip
diff -r "$T/full" "$T/full.back" || fail "the small site restores another tree"

rm -rf "$T/small/vault"
small_is 6m
expect 0 twinkeep init -q --home "$T/home-spool" --passphrase-file "$PASS" --dataset "d=$T/full" --site "good=dir:$T/good-spool"
sed -i "1i state = \"$T/small/state\"" "$T/home-spool/twinkeep.conf"
# The spool makes do with a fraction of what the run stores.
expect 0 twinkeep backup --home "$T/home-spool" --json
json_is ack_met true
head -c 20000000 /dev/urandom >"$T/full/third"
free=$(df --output=avail -B1 "$T/small" | tail -1)
head -c $((free - 1500000)) /dev/zero >"$T/small/fill"
points=$(find "$T/good-spool" -path '*/points/*' -type f | wc -l)
expect 1 twinkeep backup --home "$T/home-spool" --json
err_has "No space left on device"
[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "a full spool is told in other than one line"
[ "$(find "$T/good-spool" -path '*/points/*' -type f | wc -l)" = "$points" ] || fail "a point came from a run that failed"
expect 1 twinkeep backup --home "$T/home-spool" --json
rm "$T/small/fill"
small_is 100m
expect 0 twinkeep backup --home "$T/home-spool" --json
json_is epoch 1
rm -rf "$T/full.back"
expect 0 twinkeep restore d --home "$T/home-spool" --passphrase-file "$PASS" --target "$T/full.back" --strip
diff -r "$T/full" "$T/full.back" || fail "after a full spool another tree is restored"

rm "$T/full/third"
rm -rf "$T/small/state"
small_is 6m
expect 1 twinkeep restore d --home "$T/home-spool" --passphrase-file "$PASS" --target "$T/small/back" --strip --json
err_has "No space left on device: free space there, then run it again"
[ "$(grep -c ^twinkeep: "$T/err")" = 1 ] || fail "a full target is told in other than one line"
json_is verified false
[ ! -e "$T/small/back/second" ] || fail "half a file is in place"
small_is 100m
expect 0 twinkeep restore d --home "$T/home-site" --passphrase-file "$PASS" --target "$T/small/back" --strip
diff -r "$T/full" "$T/small/back" || fail "after a full target another tree is restored"
echo ok
