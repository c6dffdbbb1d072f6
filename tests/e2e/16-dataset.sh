#!/bin/sh
# A dataset is added to a home that is there, whose sites are daemons: what says that keys are lacking, what makes them, with a site away and with all of them; recover
# brings back both datasets. One that is taken out of the configuration can be restored still, and comes back with its history.
. "$(dirname "$0")/lib.sh"

use_lab
expect 0 "$lab" up "$T/lab" --sites a,remote
eval "$("$lab" env "$T/lab")"
home=$TWINKEEP_HOME
cp "$TWINKEEP_PASSPHRASE_FILE" "$T/pass"
TWINKEEP_PASSPHRASE_FILE=$T/pass
echo 'another long passphrase, number 77' >"$T/second"
expect 0 twinkeep backup

# slots SITE: how many slots the site keeps
slots()
{
	find "$T/lab/$1" -path '*/slots/*' ! -name '*.pub' | wc -l
}
id_of()
{
	sed -n "/^dataset $1 /,/^}/s/.*id = \([0-9a-f]*\).*/\1/p" "$2"
}

# --- a section, here in a file that is included through a link, and nothing else yet
mkdir "$T/more"
echo one >"$T/more/file"
cat >"$T/datasets.conf" <<END
# ours
dataset more { # a comment
	paths = { "$T/more" }
}
END
chmod 640 "$T/datasets.conf"
ln -s "$T/datasets.conf" "$home/datasets.conf"
echo 'include("datasets.conf")' >>"$home/twinkeep.conf"
keyless="dataset more has no keys yet; run twinkeep key add --dataset more"
expect 0 twinkeep config check
err_is "twinkeep: $home/datasets.conf:2: $keyless"
expect 2 twinkeep backup more
err_is "twinkeep: $keyless"
expect 2 twinkeep backup --json
json_is runs.0.ack_met true
expect 2 twinkeep restore more --target "$T/none"
err_is "twinkeep: $keyless"
expect 4 twinkeep status --json
json_is datasets.0.dataset data
json_is datasets.1.alarms.0.alarm no-keys
for verb in list verify; do
	expect 0 twinkeep $verb
	err_is "twinkeep: $keyless"
done
expect 0 twinkeep site list

# --- refused
expect 2 twinkeep key add --dataset mor
err_has 'the nearest is "more"'
expect 2 twinkeep key add label --dataset more
expect 8 twinkeep key add --dataset more --passphrase-file "$T/second"
expect 0 twinkeep key add second --new-passphrase-file "$T/second" --json
second=$(json slot)
expect 2 twinkeep key add --dataset more
err_has "there are 2 passphrase slots"
expect 0 twinkeep key remove "$second"
cp -a "$home" "$T/copy"
expect 6 twinkeep key add --dataset more --home "$T/copy"
[ -z "$(id_of more "$T/datasets.conf")" ] || fail "an attempt that was refused wrote an id"

# --- a site is away: nothing is sealed under the keys yet, and what was there goes on
expect 0 "$lab" stop "$T/lab" remote
expect 7 twinkeep key add --dataset more
err_has "not every site has the new slot"
expect 2 twinkeep backup more
err_is "twinkeep: $keyless"
expect 0 twinkeep backup data
expect 0 twinkeep cat data "$T/lab/data/records/1.txt" --site a
expect 0 "$lab" start "$T/lab" remote

# --- and then all of them are there
expect 0 twinkeep key add --dataset more --json
json_is made false
json_is sites_without 0
domain=$(json domain)
[ "$(id_of more "$T/datasets.conf")" = "$domain" ] || fail "the id is not in the configuration"
sed '/id = /d' "$T/datasets.conf" >"$T/without"
printf '# ours\ndataset more { # a comment\n\tpaths = { "%s" }\n}\n' "$T/more" | cmp - "$T/without" || fail "the configuration was changed otherwise"
[ -L "$home/datasets.conf" ] || fail "the link to the configuration is gone"
[ "$(stat -c %a "$T/datasets.conf")" = 640 ] || fail "the configuration has another mode now"
[ "$(slots a) $(slots remote)" = "1 1" ] || fail "the sites have $(slots a) and $(slots remote) slots"
expect 0 twinkeep config check
[ ! -s "$T/err" ] || fail "config check still complains"
expect 0 twinkeep backup --json
[ ! -s "$T/err" ] || fail "the backup complains"
json_is runs.1.dataset more
json_is runs.1.ack_met true
json_is runs.1.epoch 1
json_is runs.1.files_total 1
expect 0 twinkeep status
expect 0 twinkeep list more --json
json_is points.0.sites '["a","remote"]'
expect 0 twinkeep verify --data
expect 0 twinkeep key add --dataset more
out_has "has its keys already"
[ "$(slots a) $(slots remote)" = "1 1" ] || fail "asked again, it made slots"
echo 'dataset third { paths = "'"$T/more/file"'" policy = default }' >>"$home/twinkeep.conf"
expect 0 twinkeep key add --dataset third --json
json_is made true
grep -q '^dataset third { id = [0-9a-f]\{32\} paths' "$home/twinkeep.conf" || fail "the section on one line is not as it should be"
expect 0 twinkeep backup third
expect 0 twinkeep key rotate
expect 0 twinkeep backup

# --- an empty machine has them all, also the file behind the link
mv "$home" "$T/gone"
url=tk://$(cat "$T/lab/remote/twinkeepd.addr")
expect 0 twinkeep recover --site "$url" --json
json_is runs.0.dataset data
json_is runs.1.dataset more
json_is runs.2.dataset third
cmp "$T/datasets.conf" "$home/datasets.conf"
for dataset in data more third; do
	expect 0 twinkeep restore $dataset --target "$T/back"
done
cmp "$T/more/file" "$T/back$T/more/file"
diff -r --no-dereference "$T/lab/data" "$T/back$T/lab/data" || fail "the restored tree differs"
expect 0 twinkeep backup --json
json_is runs.2.epoch 2

# --- taken out of the configuration, after its section had got another name: its points are there, and nothing new is made
sed -i 's/^dataset more /dataset moved /' "$home/datasets.conf"
expect 0 twinkeep backup
sed -i '/datasets.conf/d' "$home/twinkeep.conf"
expect 0 twinkeep backup
expect 0 twinkeep list
out_has moved
rm -rf "$T/back"
expect 0 twinkeep restore moved --strip --target "$T/back" --json
json_is verified true
cmp "$T/more/file" "$T/back/file"
expect 0 twinkeep verify moved --data
expect 2 twinkeep backup moved
err_has "dataset moved was taken out of the configuration"
expect 0 twinkeep status
! grep -q '^moved' "$T/out" || fail "status counts a dataset that was taken out"

# --- also on a machine that was recovered since; put back by its name alone it has its history
rm -rf "$home"
expect 0 twinkeep recover --site "$url"
expect 0 twinkeep cat moved "$T/more/file"
out_is one
echo "dataset moved { paths = \"$T/more\" }" >>"$home/twinkeep.conf"
expect 2 twinkeep backup moved
expect 0 twinkeep key add --dataset moved --json
json_is made false
json_is domain "$domain"
expect 0 twinkeep backup moved --json
json_is files_new 0
json_is epoch 3

# --- an id that nobody made here
sed -i "s/$domain/0123456789abcdef0123456789abcdef/" "$home/twinkeep.conf"
expect 2 twinkeep backup moved
expect 2 twinkeep key add --dataset moved
err_has "restore the id that was made for it"
echo ok
