#!/bin/sh
# Cost follows the change: a run over an unchanged tree stores some hundred bytes at each site, one that finds one file of many
# changed a few pages, one that finds a page of a large file changed about that page; a directory that moved is not stored again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"

src=$T/src
python3 - "$src" <<'END'
import os, sys, random
random.seed(7)
for d in range(60):
    os.makedirs(f"{sys.argv[1]}/dir-{d:02d}")
    for f in range(80):
        with open(f"{sys.argv[1]}/dir-{d:02d}/file-{f:02d}.txt", "w") as out:
            out.write(f"record {d}/{f} {random.random()}\n" * random.randrange(1, 60))
with open(f"{sys.argv[1]}/large", "wb") as out:
    out.write(random.randbytes(40 << 20))
END
# A file is only believed to be unchanged when its times are older than the run before by some seconds.
find "$src" -exec touch -h -d '2026-01-02 03:04:05.678901234' {} +
source_home "$T/home" "d=$src" a b

# grew SITE: how much the site's directory has grown since it was last asked for, in bytes.
grew()
{
	now=$(du -sb --apparent-size "$T/$1" | cut -f 1)
	before=$(cat "$T/size-$1" 2>/dev/null || echo 0)
	echo "$now" >"$T/size-$1"
	echo $((now - before))
}
# stored MAX WHAT: the last run stored no more than this at each site; by its own word and by the sites' size.
stored()
{
	bytes=$(json stored_bytes)
	echo "$2: $bytes bytes stored, $(json read_bytes) read"
	[ "$bytes" -le "$1" ] || fail "$2 stored $bytes bytes, more than $1"
	for site in a b; do
		grown=$(grew $site)
		# Beside what is stored, a site writes its own index; it may grow by some pages of 4 KiB.
		[ "$grown" -le $(($1 + 65536)) ] || fail "$2 made site $site grow by $grown bytes"
	done
}

backup 0 --json
json_is files_total 4801
json_is files_new 4801
stored 44000000 "the first run"
# The first run may find ctimes too young to be believed; what it looks at again is not stored again.
sleep 3
backup 0 --json
json_is files_new 0
json_is files_changed 0
stored 100000 "a second run"

backup 0 --json
json_is read_bytes 0
json_is literal_bytes 0
stored 1500 "a run over the unchanged tree"
for i in 1 2 3; do
	backup 0 --json
	stored 1500 "one more"
done

echo "another record" >>"$src/dir-30/file-40.txt"
backup 0 --json
json_is files_changed 1
json_is files_new 0
stored 24000 "one file of 4801 changed"
backup 0 --json
stored 24000 "and looked at once more"

# At its first change a file has no signatures yet: the content-defined chunks that changed are stored. From then on it has.
for change in "500 600000" "7000 24000" "9999 24000"; do
	# shellcheck disable=SC2086
	set -- $change
	dd if=/dev/urandom of="$src/large" bs=4096 count=1 seek="$1" conv=notrunc 2>/dev/null
	backup 0 --json
	json_is files_changed 1
	stored "$2" "4 KiB of 40 MiB changed"
done

head -c 100 /dev/urandom >"$T/large" && cat "$src/large" >>"$T/large" && mv "$T/large" "$src/large"
backup 0 --json
stored 700000 "40 MiB shifted by 100 bytes"

mv "$src/dir-10" "$src/zz-moved"
backup 0 --json
json_is files_new 80
json_is files_removed 80
stored 60000 "80 files moved"

rm -r "$src/dir-20"
backup 0 --json
json_is files_removed 80
stored 40000 "80 files removed"

restore 0 d --target "$T/back" --strip --json
json_is verified true
same_files "$src" "$T/back"
echo ok
