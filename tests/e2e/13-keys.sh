#!/bin/sh
# Key slots: a second passphrase opens everything, a removed one nothing; sites that were down learn of it later; after a
# rotation old and new points restore, and nothing is sealed under new keys before every site has their slot.
. "$(dirname "$0")/lib.sh"

echo 'correct horse battery staple 42' >"$T/pass"
echo 'another long passphrase, number 77' >"$T/second"
echo short >"$T/weak"
TWINKEEP_PASSPHRASE_FILE=$T/pass
TWINKEEP_HOME=$T/home
export TWINKEEP_PASSPHRASE_FILE TWINKEEP_HOME

# slots SITE: how many slots the site keeps
slots()
{
	find "$T/$1/sources" -path '*/slots/*' ! -name '*.pub' | wc -l
}

mkdir "$T/src"
echo old >"$T/src/a"
expect 0 twinkeep init --site one="dir:$T/one" --site two="dir:$T/two" --dataset data="$T/src"
expect 0 twinkeep backup --json
first=$(json point)
expect 0 twinkeep key list --json
json_is slots.0.kind machine
json_is slots.1.kind passphrase
json_is slots.1.label init
machine=$(json slots.0.slot)
init=$(json slots.1.slot)
[ "$(slots one) $(slots two)" = "1 1" ] || fail "the sites do not have one slot each"

# --- refused
expect 2 twinkeep key remove "$init"
err_has "last passphrase slot"
expect 2 twinkeep key remove "$machine"
err_has "it stays"
expect 2 twinkeep key add --new-passphrase-file "$T/weak"
expect 8 twinkeep key add --new-passphrase-file "$T/second" --passphrase-file "$T/weak"

# --- add: one site is down, and gets the slot with the next backup
mv "$T/two" "$T/two.off"
expect 0 twinkeep key add "the vault in town" --new-passphrase-file "$T/second" --json
added=$(json slot)
json_is sites_without 1
mv "$T/two.off" "$T/two"
[ "$(slots one) $(slots two)" = "2 1" ] || fail "the new slot is not at the site that was there"
expect 0 twinkeep backup
[ "$(slots one) $(slots two)" = "2 2" ] || fail "the backup did not bring the slot"
expect 0 twinkeep cat data "$T/src/a" --passphrase-file "$T/second"
out_is old
expect 0 twinkeep key list
out_has "the vault in town"

# --- rotate wants one passphrase slot
expect 2 twinkeep key rotate
err_has "there are 2 passphrase slots"

# --- remove
expect 0 twinkeep key remove "$(echo "$added" | cut -c1-8)"
out_has "not revoked"
[ "$(slots one) $(slots two)" = "1 1" ] || fail "the slot is still at a site"
expect 8 twinkeep cat data "$T/src/a" --passphrase-file "$T/second"

# --- rotate: not while a site is away
mv "$T/two" "$T/two.off"
expect 7 twinkeep key rotate
mv "$T/two.off" "$T/two"
expect 0 twinkeep backup
expect 0 twinkeep key list --json
json_is slots.1.slot "$init"
[ "$(slots one) $(slots two)" = "1 1" ] || fail "a rotation that was given up left slots"
old=$(find "$T/two/sources" -path '*/slots/*' -name '*.pub')
mkdir "$T/slots"
cp -a "${old%.pub}"* "$T/slots"
expect 0 twinkeep key rotate --json
json_is domains.0.key_epoch 2
[ "$(slots one) $(slots two)" = "1 1" ] || fail "the rotation left slots"
echo new >"$T/src/b"
expect 0 twinkeep backup
pack=$(find "$T/one/packs" -type f -newer "$T/home/keys/machine.slot" | head -1)
[ "$(od -An -tu4 -j12 -N4 "$pack" | tr -d ' ')" = 2 ] || fail "the new pack is not under the new key"
expect 0 twinkeep restore "data@$first" --target "$T/r1"
expect 0 twinkeep restore data --target "$T/r2"
cmp -s "$T/src/a" "$T/r1$T/src/a" || fail "the old point does not restore"
cmp -s "$T/src/b" "$T/r2$T/src/b" || fail "the new point does not restore"
expect 0 twinkeep verify --data

# --- what recover needs is looked at with every run: a site that spoiled or lost it gets it again
turn()
{
	python3 -c 'import sys
with open(sys.argv[1], "r+b") as file:
    data = bytearray(file.read())
    data[len(data) // 2] ^= 1
    file.seek(0)
    file.write(data)' "$1"
}
slot=$(find "$T/one/sources" -path '*/slots/*' ! -name '*.pub')
config=$(echo "$T"/two/sources/*/config)
cp "$slot" "$T/slot"
turn "$slot"
turn "$config"
expect 0 twinkeep backup
err_has "site=one reason=\"it had lost or damaged what recover needs"
err_has "site=two reason=\"it had lost or damaged what recover needs"
cmp "$slot" "$T/slot" || fail "the damaged slot was not put right"
rm "$slot" "$config"
expect 0 twinkeep backup
cmp "$slot" "$T/slot" && [ -s "$config" ] || fail "what was lost is not there again"
expect 0 twinkeep backup
[ ! -s "$T/err" ] || fail "it is given again although it is there"

# --- an empty machine has all keys, also when a site still has the slot from before the rotation
cp -a "$T/slots/." "$(dirname "$old")"
[ "$(slots two)" = 2 ] || fail "the old slot is not back at site two"
rm -rf "$T/home" "$T/home.state"
expect 0 twinkeep recover --home "$T/home2" --site "dir:$T/two"
expect 0 twinkeep cat data "$T/src/b" --home "$T/home2"
out_is new
expect 0 twinkeep cat "data@$first" "$T/src/a" --home "$T/home2"
out_is old
[ "$(ls "$T/home2/keys" | grep -c 'passphrase-.*slot')" = 1 ] || fail "the home has the slot from before the rotation too"
echo ok
