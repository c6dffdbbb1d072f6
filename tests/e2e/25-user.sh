#!/bin/sh
# All of it without root: a lab, backups, restores. What a user may not read is named and leaves exit status 3; what a user may not set (owners, devices,
# file capabilities, flags) is counted as not applied, and the content is restored and verified.
. "$(dirname "$0")/lib.sh"

use_lab
mkdir "$T/bin" "$T/user"
cp "$TK_BUILDDIR/twinkeep" "$TK_BUILDDIR/twinkeepd" "$lab" "$T/bin"
chmod -R a+rX "$T"
lab=$T/bin/lab
TWINKEEP_BUILD=$T/bin
PATH=$T/bin:$PATH
as_user=env
if [ "$(id -u)" = 0 ]; then
	as_user="setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=$T/user"
	chown 65534:65534 "$T/user"
fi
# The lab lies where the user may write.
lab_down()
{
	chattr -f -i "$data/fixed" 2>/dev/null || :
	$as_user "$lab" down "$T/user/lab" >/dev/null 2>&1 || :
	cleanup
}
data=$T/user/lab/data
TWINKEEP_HOME=$T/user/lab/source
TWINKEEP_PASSPHRASE_FILE=$TWINKEEP_HOME/passphrase
export TWINKEEP_HOME TWINKEEP_PASSPHRASE_FILE

# --- everything is the user's
expect 0 $as_user "$lab" up "$T/user/lab"
expect 0 $as_user twinkeep backup --json
json_is ack_met true
expect 0 $as_user twinkeep status
expect 0 $as_user twinkeep verify --data
expect 0 $as_user twinkeep restore data --strip --target "$T/user/back" --json
json_is verified true
json_is not_applied '{"owner":0,"mode":0,"xattr":0,"acl":0,"flags":0,"times":0,"device":0}'
diff -r --no-dereference "$data" "$T/user/back" || fail "the restored tree differs"

# --- a site dies, and comes back
expect 0 $as_user "$lab" kill "$T/user/lab" a
expect 4 $as_user twinkeep backup
expect 0 $as_user "$lab" start "$T/user/lab" a
expect 0 $as_user twinkeep backup

# --- a file that the user may not read
echo secret >"$data/secret"
chmod 000 "$data/secret"
[ "$(id -u)" != 0 ] || chown 0:0 "$data/secret"
expect 3 $as_user twinkeep backup --json
json_is files_unreadable 1
json_is ack_met true
err_has "$data/secret could not be read and is not in the point: open: Permission denied; run it as a user who may, or exclude it"
chmod 644 "$data/secret"

# --- what only root can make, and make again
if [ "$(id -u)" = 0 ]; then
	need_flags=1
	mkdir "$data/roots"
	echo x >"$data/roots/file"
	mknod "$data/null" c 1 3 2>/dev/null || mkfifo "$data/null"
	echo fixed >"$data/fixed"
	chown 65534:65534 "$data/fixed"
	chattr +i "$data/fixed" 2>/dev/null || need_flags=0
	setcap cap_net_raw+ep "$data/roots/file" 2>/dev/null || setfattr -n trusted.note -v x "$data/roots/file"
	expect 0 $as_user twinkeep backup --json
	json_is files_unreadable 0
	expect 0 $as_user twinkeep restore data --strip --target "$T/user/back" --json
	json_is verified true
	json_is not_applied.owner 3
	json_is not_applied.flags $need_flags
	[ ! -c "$data/null" ] || json_is not_applied.device 1
	diff -r "$data/roots" "$T/user/back/roots" && diff "$data/fixed" "$T/user/back/fixed" || fail "what is root's is not restored"
	expect 0 $as_user twinkeep restore data --strip --target "$T/user/back"
	out_has "not applied here: owner 3"
fi
echo ok
