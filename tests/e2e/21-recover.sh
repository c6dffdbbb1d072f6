#!/bin/sh
# A source whose machine is gone comes back from one site and the passphrase, and goes on in a new epoch; a copy of a home and
# a home that was rolled back do not write until they are recovered.
. "$(dirname "$0")/lib.sh"

use_lab

expect 0 "$lab" up "$T/lab" --sites a,remote
eval "$("$lab" env "$T/lab")"
home=$TWINKEEP_HOME
cp "$TWINKEEP_PASSPHRASE_FILE" "$T/passphrase"
TWINKEEP_PASSPHRASE_FILE=$T/passphrase
url_a=tk://$(cat "$T/lab/a/twinkeepd.addr")
url_remote=tk://$(cat "$T/lab/remote/twinkeepd.addr")
expect 0 twinkeep backup --json
point=$(json point)

# --- a copy of the home does not write
cp -a "$home" "$T/copy"
expect 6 twinkeep backup --home "$T/copy"
err_has "twinkeep recover"

# --- nothing is left but one site and the passphrase
mv "$home" "$T/gone"
echo "another passphrase altogether" >"$T/wrong"
expect 8 twinkeep recover --site "$url_remote" --passphrase-file "$T/wrong"
expect 8 twinkeep recover --home "$T/not-made" --site "$url_remote" --passphrase-file "$T/wrong"
[ ! -e "$T/not-made" ] || fail "a recover that came to nothing left a home"
expect 5 twinkeep recover --site "$url_remote" --expect 0123456789abcdef
[ ! -e "$home/twinkeep.conf" ] || fail "a home was made although the expected point is not there"
expect 2 twinkeep recover --site "$url_remote" --expect point
expect 2 twinkeep recover --site /tmp
expect 0 twinkeep recover --site "$url_remote" --expect "$(echo "$point" | cut -c 1-16)" --json
json_is point "$point"
json_is epoch 1
json_is head_confirmed_by '["a","remote"]'
json_is state_before null
[ "$(stat -c %a "$home/keys")" = 700 ] || fail "keys/ is open to others"
[ -z "$(find "$home" -type f ! -perm 600)" ] || fail "a file of the home is open to others"
[ ! -e "$home/state" ] || fail "a state was made"

# --- it restores, and the next backup goes on in a new epoch and stores little
expect 0 twinkeep restore data --strip --target "$T/back" --json
json_is verified true
json_is point "$point"
diff -r --no-dereference "$T/lab/data" "$T/back" || fail "the restored tree differs"
expect 0 twinkeep backup --json
json_is epoch 2
json_is sequence 2
json_is ack_met true
json_is files_total 206
[ "$(json stored_bytes)" -lt 65536 ] || fail "the new epoch stored $(json stored_bytes) bytes of an unchanged tree"
expect 0 twinkeep backup --json
json_is sequence 3

# --- the home that was thought gone comes back: it is fenced, and says so
mv "$home" "$T/second"
mv "$T/gone" "$home"
expect 6 twinkeep backup --json
json errors | grep -q "twinkeep recover" || fail "it is not said what to do"
rm -rf "$home"
mv "$T/second" "$home"

# --- a state from before, put back in place: the sites are ahead of the journal
cp -a "$home/state" "$T/state.old"
echo new >"$T/lab/data/new.txt"
expect 0 twinkeep backup --json
ahead=$(json point)
rm -rf "$home/state"
cp -a "$T/state.old" "$home/state"
expect 6 twinkeep backup
err_has "rolled back"

# --- the same command makes such a home the writer again
expect 6 twinkeep recover --site "$url_a" --expect "$point"
expect 0 twinkeep recover --site "$url_a" --expect "$ahead" --json
before=$(json state_before)
[ -d "$before" ] || fail "the old state is not at $before"
[ ! -e "$home/state" ] || fail "the old state is still in place"
expect 0 twinkeep backup --json
json_is epoch 3
json_is sequence 5
expect 0 twinkeep list --json
json_is points.4.epoch 3

# --- a copy becomes the writer; then the first home is fenced
expect 0 twinkeep recover --home "$T/copy" --site "$url_a"
expect 0 twinkeep backup --home "$T/copy" --json
json_is epoch 4
expect 6 twinkeep backup

# --- only the passphrase of this home re-adopts it
expect 8 twinkeep recover --site "$url_a" --passphrase-file "$T/wrong"
# --- a site's own home is no place to recover into
expect 2 twinkeep recover --home "$T/lab/a" --site "$url_a"
echo ok
