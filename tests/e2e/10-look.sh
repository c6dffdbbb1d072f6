#!/bin/sh
# ls, diff and cat look into points: entries as ls -l shows them, what differs between two points and how, and the checked
# content of one file, large and sparse ones too.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME
umask 022

mkdir -p "$T/src/sub"
echo one >"$T/src/a"
echo keep >"$T/src/keep"
ln -s a "$T/src/link"
mkfifo "$T/src/pipe"
printf 'x' >"$T/src/sub/s"
chmod 4750 "$T/src/sub/s"
head -c 300000 /dev/urandom >"$T/src/random"
truncate -s 70M "$T/src/sparse"
echo middle | dd of="$T/src/sparse" bs=1 seek=40000000 conv=notrunc 2>/dev/null
echo end >>"$T/src/sparse"
touch -d 2026-01-02T03:04:05Z "$T/src/a"
expect 0 twinkeep init --site one="dir:$T/one" --site two="dir:$T/two" --dataset data="$T/src"
expect 0 twinkeep backup --json
first=$(json point)

# --- ls
owner=$(id -un) group=$(id -gn)
expect 0 twinkeep ls data "$T/src/a"
out_is "$(printf '%s %-8s %-8s %12s %s %s' -rw-r--r-- "$owner" "$group" 4 2026-01-02T03:04:05+00:00 "$T/src/a")"
expect 0 twinkeep ls data
[ "$(wc -l <"$T/out")" = 9 ] || fail "ls shows other than 9 entries"
out_has " $T/src/link -> a"
grep -q "^prw-r--r-- .* $T/src/pipe\$" "$T/out" || fail "the FIFO is not shown as one"
grep -q "^-rwsr-x--- .* $T/src/sub/s\$" "$T/out" || fail "setuid is not shown"
expect 0 twinkeep ls "data@$first" "$T/src/sub/" --json
json_is point "$first"
json_is entries.0.path "$T/src/sub"
json_is entries.0.type directory
json_is entries.1.mode 4750
json_is entries.1.size_bytes 1
expect 1 twinkeep ls data "$T/src/none"
err_is "twinkeep: the point has no $T/src/none; give a full path, as twinkeep ls without PATH shows it"
expect 2 twinkeep ls data "$T/src/../etc"
expect 2 twinkeep ls dta
err_has 'the nearest is "data"'
expect 1 twinkeep ls data@ffffffff

# --- diff
expect 0 twinkeep diff "data@$first" data@latest
[ ! -s "$T/out" ] || fail "a point differs from itself"
echo two >"$T/src/a"
rm "$T/src/pipe"
chmod 700 "$T/src/sub/s"
echo new >"$T/src/new"
touch -d 2020-01-01T00:00:00Z "$T/src"
expect 0 twinkeep backup
expect 0 twinkeep diff "data@$(echo "$first" | cut -c1-10)" data
cat >"$T/want" <<EOF
m $T/src (mtime)
M $T/src/a
+ $T/src/new
- $T/src/pipe
m $T/src/sub/s (mode 4750 to 0700)
EOF
cmp -s "$T/want" "$T/out" || fail "diff differs: $(diff "$T/want" "$T/out")"
expect 0 twinkeep diff data "data@$first" --json
json_is added 1
json_is removed 1
json_is content_changed 1
json_is metadata_changed 2
json_is changes.1.path "$T/src/a"
json_is changes.1.change content
json_is new.point "$first"

# --- cat
for file in new random sparse sub/s; do
	expect 0 twinkeep cat data "$T/src/$file"
	cmp -s "$T/src/$file" "$T/out" || fail "cat gives another $file"
done
expect 0 twinkeep cat "data@$first" "$T/src/a"
out_is one
expect 1 twinkeep cat data "$T/src/sub"
err_has "$T/src/sub is not a regular file"
expect 1 twinkeep cat data "$T/src/nowhere"
expect 2 twinkeep cat data "$T/src/a" --json
echo wrong >"$T/wrong"
expect 8 twinkeep cat data "$T/src/a" --passphrase-file "$T/wrong"
[ ! -s "$T/out" ] || fail "a wrong passphrase gives content"
# one site is enough
mv "$T/one" "$T/one.off"
expect 0 twinkeep cat data "$T/src/random"
cmp -s "$T/src/random" "$T/out" || fail "cat from one site gives another file"
mv "$T/two" "$T/two.off"
expect 7 twinkeep cat data "$T/src/random"
echo ok
