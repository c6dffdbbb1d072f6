#!/bin/sh
# What moved, was linked again or has new rights is not stored again, and is read again only as far as the policy's `trust` wants it. Nothing that changed
# is missed: not a new content under the size and the times of the old one, not one under another name, not one in an inode that is used again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need rsync rsync

src=$T/src
python3 - "$src" <<'END'
import os, random, sys
random.seed(11)
for d in range(20):
    os.makedirs(f"{sys.argv[1]}/dir-{d:02d}/below")
    for f in range(100):
        where = "below/" if f % 3 == 0 else ""
        with open(f"{sys.argv[1]}/dir-{d:02d}/{where}file-{f:03d}", "wb") as out:
            out.write(random.randbytes(random.randrange(1, 9000)))
with open(f"{sys.argv[1]}/large", "wb") as out:
    out.write(random.randbytes(12 << 20))
END
find "$src" -exec touch -h -d '2026-01-02 03:04:05.678901234' {} +
source_home "$T/home" "d=$src" a
total=$(find "$src" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')

# policy VALUE: what is trusted from now on.
policy()
{
	sed -i '/^policy default {/,/^}/d' "$T/home/twinkeep.conf"
	printf 'policy default {\n\ttrust = %s\n}\n' "$1" >>"$T/home/twinkeep.conf"
}
# settle: a run after which no ctime is too young to be believed.
settle()
{
	sleep 2.2
	backup 0 --json
}
# same WHAT: what was backed up last comes back as it is.
same()
{
	rm -rf "$T/back"
	restore 0 d --target "$T/back" --strip --json
	json_is verified true
	same_files "$src" "$T/back"
}
# costs WHAT READ LITERAL MOVED: of the next run.
costs()
{
	backup 0 --json
	echo "$1: $(json read_bytes) bytes read, $(json literal_bytes) new, $(json stored_bytes) stored, $(json files_moved) files known under another name"
	json_is read_bytes "$2"
	json_is literal_bytes "$3"
	json_is files_moved "$4"
}
age()
{
	settle
	backup 0 --json
	json_is read_bytes 0
}

backup 0 --json
json_is total_bytes "$total"
age

mv "$src/dir-03" "$src/zz-moved"
mkdir "$src/deep" && mv "$src/dir-04" "$src/deep/er"
costs "two directories renamed" 0 0 200
json_is files_new 200
json_is files_removed 200
same
age

size=$(stat -c %s "$src/dir-13/file-001")
printf YZ | dd of="$src/dir-13/file-001" conv=notrunc 2>/dev/null
touch -d '2026-01-02 03:04:05.678901234' "$src/dir-13/file-001"
mv "$src/dir-13/file-001" "$src/dir-13/renamed"
mv "$src/dir-13/file-002" "$src/dir-13/renamed too"
size2=$(stat -c %s "$src/dir-13/renamed too")
costs "two files renamed, one of them changed and its mtime set back" $((size + size2)) "$size" 0
same
policy moves
age

# A file's own rename gives it a new ctime.
mv "$src/large" "$src/dir-05/larger"
mv "$src/dir-06/file-001" "$src/dir-06/file-001.old"
mv "$src/dir-06/file-002" "$src/dir-06/file-001"
mv "$src/dir-06/below" "$src/below-06"
costs "files renamed, one over the name of another" 0 0 37
same
age

# The large one is still known well enough for a delta: moved, and changed in one page.
mv "$src/dir-05/larger" "$src/large again"
dd if=/dev/urandom of="$src/large again" bs=4096 count=1 seek=500 conv=notrunc 2>"$T/err"
backup 0 --json
json_is files_moved 0
[ "$(json literal_bytes)" -le 300000 ] || fail "a moved file with a changed page cost $(json literal_bytes) bytes"
age
mv "$src/large again" "$src/large"
dd if=/dev/urandom of="$src/large" bs=4096 count=1 seek=1500 conv=notrunc 2>"$T/err"
backup 0 --json
[ "$(json literal_bytes)" -le 20000 ] || fail "a moved file with a changed page cost $(json literal_bytes) bytes"
same
age

# Snapshots by hardlinks.
cp -al "$src/dir-07" "$src/snapshot"
costs "a directory's files linked a second time" 0 0 0
same
age
cp -al "$src/dir-08" "$src/dir-08.new" && rm -r "$src/dir-08" && mv "$src/dir-08.new" "$src/dir-08"
costs "a directory replaced by its own links" 0 0 0
age
rm -r "$src/snapshot"
costs "the second names removed" 0 0 0
same
age

# A change of rights, owner or times: read again unless the policy says otherwise, never stored again.
sum_09=$(find "$src/dir-09" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
chmod -R g-r,o-r "$src/dir-09"
costs "chmod -R" "$sum_09" 0 0
chown -R 12:34 "$src/dir-09" 2>/dev/null || chgrp -R "$(id -g)" "$src/dir-09"
backup 0 --json
json_is literal_bytes 0
touch -d '2026-01-02 03:04:05.678901234' "$src"/dir-09/file* "$src"/dir-09/below/file*
costs "the times set to what they were" "$sum_09" 0 0
same
age

# Whatever the rule is: new content under the old size and mtime is found.
patch()
{
	stamp=$(stat -c %y "$1")
	printf '%s' "$2" | dd of="$1" conv=notrunc 2>/dev/null
	touch -d "$stamp" "$1"
}
patch "$src/dir-10/file-001" X
backup 0 --json
json_is files_changed 1
same
age

# An inode whose number is used again, with the size and the times of the file that had it.
for file in "$src"/dir-11/file*; do
	stamp=$(stat -c %y "$file")
	size=$(stat -c %s "$file")
	rm "$file"
	head -c "$size" /dev/urandom >"$file.again"
	touch -d "$stamp" "$file.again"
done
backup 0 --json
json_is files_moved 0
same
age

policy mtime
chmod -R g+w,o-r "$src/dir-14"
costs "chmod -R, trusting the mtime" 0 0 0
same
age
echo ok
