#!/bin/sh
# verify finds what is damaged or lost at a site, names it and the files that need it, still checks the rest, and tells a
# site that is damaged from one that is silent.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME

# flip FILE OFFSET: turns one byte of the file into another.
flip()
{
	python3 - "$1" "$2" <<'EOP'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 0x40]))
EOP
}

mkdir "$T/src"
head -c 3000000 /dev/urandom >"$T/src/big"
echo small >"$T/src/small"
expect 0 twinkeep init --site one="dir:$T/one" --site two="dir:$T/two" --dataset data="$T/src"
expect 0 twinkeep backup
data=$(find "$T/one/packs" -type f -size +1000k)
echo more >"$T/src/more"
expect 0 twinkeep backup --json
last=$(json point)

expect 0 twinkeep verify --json
json_is ok true
json_is points_checked 4
json_is damaged '[]'
json_is sites.1.site two
expect 0 twinkeep verify --data
out_has "data at one: 2 points"
expect 0 twinkeep verify --sample 10
for wrong in 0 101 x; do
	expect 2 twinkeep verify --sample "$wrong"
done
expect 2 twinkeep verify --site three

# --- one byte of a data blob that an earlier point brought: seen by --data, also when only the last point is asked for
flip "$data" 1500000
expect 0 twinkeep verify
expect 5 twinkeep verify "data@$last" --data
grep -qE "^twinkeep: data: site one: pack $(basename "$data" | cut -c 1-16), blob [0-9]+: authentication failed: damaged bytes or a wrong key; 1 file is affected: $T/src/big\$" "$T/err" ||
	fail "the damage is told in another way"
expect 5 twinkeep verify --data --json
json_is ok false
json_is repaired 0
json_is damaged_total 1
json_is damaged.0.site one
json_is damaged.0.pack "$(basename "$data")"
json_is damaged.0.files "[\"$T/src/big\"]"
json_is damaged.0.files_affected 1
json_is sites.0.ok false
json_is sites.1.ok true
json_is sites.1.points_checked 2
expect 0 twinkeep verify --data --site two
# What only reading the data found is not mended by looking at the structure.
expect 5 twinkeep status
expect 0 twinkeep verify
expect 5 twinkeep status
flip "$data" 1500000
expect 0 twinkeep verify
expect 5 twinkeep status
expect 0 twinkeep verify --data
expect 0 twinkeep status

# --- a byte anywhere in any pack is found
for pack in "$T"/one/packs/*/*; do
	size=$(stat -c %s "$pack")
	for offset in 90 $((size / 2)) $((size - 30)); do
		flip "$pack" "$offset"
		expect 5 twinkeep verify --data --site one
		flip "$pack" "$offset"
	done
done
expect 0 twinkeep verify --data

# --- a pack that is gone is one damage, with all files that need it
mv "$data" "$T/gone"
expect 5 twinkeep verify --site one --json
json_is damaged_total 1
json_is damaged.0.blob null
json_is damaged.0.files "[\"$T/src/big\",\"$T/src/small\"]"
mv "$T/gone" "$data"

# --- a damaged point record does not hide the others
record=$(find "$T/one" -path '*/points/*' -name '*-0000000000000001-*')
flip "$record" 150
expect 5 twinkeep verify --site one --json
json_is points_checked 2
json_is damaged_total 1
[ "$(json damaged.0.point)" != null ] || fail "the damaged point is not named"
flip "$record" 150
expect 0 twinkeep verify

# --- threads look at several packs at a time; what they find is told in the order of packs and blobs, whoever was first
for n in 1 2 3 4 5 6; do
	head -c 1500000 /dev/urandom >"$T/src/part$n"
	expect 0 twinkeep backup
	ls -t "$T"/one/packs/??/* | head -1 >>"$T/parts"
done
sed -n '2p;3p;5p' "$T/parts" >"$T/hurt"
while read -r pack; do
	flip "$pack" 100000
	flip "$pack" 1300000
done <"$T/hurt"
for round in 1 2 3; do
	expect 5 twinkeep verify --data --site one --json
	json_is damaged_total 6
	for i in 0 1 2 3 4 5; do
		json_is damaged.$i.pack "$(basename "$(sed -n $((i / 2 + 1))p "$T/hurt")")"
		json_is damaged.$i.files_affected 1
	done
	[ "$(json damaged.0.blob)" -lt "$(json damaged.1.blob)" ] || fail "blobs are out of order"
	json damaged >"$T/damaged.$round"
	cmp "$T/damaged.1" "$T/damaged.$round" || fail "the same damage is told in another way"
done
while read -r pack; do
	flip "$pack" 100000
	flip "$pack" 1300000
done <"$T/hurt"
expect 0 twinkeep verify --data --site one

# --- what verify found is stored anew by the next backup, also for a site that is the only one: its point needs nothing of it
expect 0 twinkeep init --home "$T/home1" --site only="dir:$T/only" --dataset data="$T/src"
expect 0 twinkeep backup --home "$T/home1"
find "$T/only/packs" -type f -size +1000k -delete
expect 5 twinkeep verify --home "$T/home1"
out_has "the next backup stores anew"
expect 0 twinkeep backup --home "$T/home1"
expect 0 twinkeep restore data --home "$T/home1" --target "$T/back1" --strip
diff -r "$T/src" "$T/back1" || fail "the point after the damage is another tree"
expect 0 twinkeep backup --home "$T/home1" --json
json_is read_bytes 0
# Then there is nothing more to wait for: the points before are damaged, and stay so.
expect 5 twinkeep verify --home "$T/home1"
out_has "the points before stay damaged at this site"

# --- silence is not health
mv "$T/two" "$T/two.off"
expect 7 twinkeep verify --json
json_is ok false
json_is sites.0.ok true
json_is sites.1.ok false
flip "$data" 1500000
expect 5 twinkeep verify --data
mv "$T/one" "$T/one.off"
expect 7 twinkeep verify
err_has "none of its sites answers"
echo ok
