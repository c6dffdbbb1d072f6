#!/bin/sh
# Two sources share a site: each sees its own points only. Who has the keys of one and the certificate of the other is refused, by name, and the site's
# vault does not change.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"

use_lab
expect 0 "$lab" up "$T/lab" --sites a
first=$T/lab/source
expect 0 twinkeep backup --home "$first"
url=$(sed -n 's/.*"\(tk:[^"]*\)".*/\1/p' "$first/twinkeep.conf")

# --- the second source, before and after it is enrolled
mkdir "$T/other"
echo other >"$T/other/file"
expect 0 twinkeep init -q --home "$T/second" --passphrase-file "$PASS" --dataset "d=$T/other" --site "a=$url"
expect 7 twinkeep backup --home "$T/second"
err_has "ask the site's operator to enrol this node"
expect 0 twinkeep site invite -q a --home "$T/second" --passphrase-file "$PASS" --output "$T/invite"
expect 0 twinkeep site enrol -q a "$T/invite" --home "$T/lab/a"
for attempt in 1 2 3 4 5 6 7 8 9 10; do
	! twinkeep backup -q --home "$T/second" >/dev/null 2>&1 || break
	sleep 0.3
done
expect 0 twinkeep list --home "$T/second" --json
json_is points.0.dataset d
json_is points.0.sites '["a"]'
expect 0 twinkeep backup --home "$first" --json
json_is sequence 2

# --- the keys of the first source with the certificate of the second
cp -a "$first" "$T/thief"
cp "$T/second/keys/tls.key" "$T/second/keys/tls.pem" "$T/thief/keys/"
vault()
{
	find "$T/lab/a" -type f ! -name '*.log' ! -name '*.db*' -exec sha256sum {} + | sort
}
vault >"$T/before"
for verb in list verify "restore data --target $T/back" "cat data /x"; do
	# shellcheck disable=SC2086
	expect 7 twinkeep $verb --home "$T/thief" --passphrase-file "$first/passphrase"
	err_has "has no right to what belongs to another source"
done
# A copy of a home does not write at all; the home itself, with the other's certificate, is refused by the site.
expect 6 twinkeep backup --home "$T/thief"
cp "$T/second/keys/tls.key" "$T/second/keys/tls.pem" "$first/keys/"
expect 7 twinkeep backup --home "$first" --json
err_has "has no right to what belongs to another source"
json_is ack_met false
vault >"$T/after"
cmp -s "$T/before" "$T/after" || fail "the vault changed: $(diff "$T/before" "$T/after")"
[ ! -e "$T/back" ] || fail "something was restored"
echo ok
