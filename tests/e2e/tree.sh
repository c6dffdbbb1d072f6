# Sourced after lib.sh by tests that compare whole trees and need a source with sites in directories.

PASS=$T/passphrase
printf 'only a test knows this one 4711\n' >"$PASS"

# need COMMAND PACKAGE: what the test cannot do without.
need()
{
	command -v "$1" >/dev/null || { echo "skipped: no $1: install $2"; exit 77; }
}

# source_home HOME DATASET=PATHS SITE...: a home whose sites are directories of that name in $T.
source_home()
{
	home=$1
	dataset=$2
	shift 2
	for site; do
		shift
		set -- "$@" --site "$site=dir:$T/$site"
	done
	expect 0 twinkeep init -q --home "$home" --passphrase-file "$PASS" --dataset "$dataset" "$@"
}

# restore STATUS OPTION...: with the home in $T/home.
restore()
{
	status=$1
	shift
	expect "$status" twinkeep restore --home "$T/home" --passphrase-file "$PASS" "$@"
}
backup()
{
	status=$1
	shift
	expect "$status" twinkeep backup --home "$T/home" "$@"
}

# same_files A B [RSYNC-OPTION...]: type, mode, owner, times, content, hardlinks, ACLs, xattrs, devices; nothing more, nothing less.
same_files()
{
	a=$1
	b=$2
	shift 2
	rsync -naHAXSc --delete --itemize-changes "$@" "$a/" "$b/" >"$T/out" 2>"$T/err" || fail "rsync cannot compare $a and $b"
	[ ! -s "$T/out" ] || fail "rsync finds $b different from $a"
}

odd_tree()
{
	"$TK_SRCDIR/tests/e2e/odd_tree.py" "$@"
}

# Files that cannot be removed while they have their flags, and what is mounted.
unlock_tree()
{
	for mounted in ${mounts:-}; do
		umount "$mounted" 2>/dev/null || umount -l "$mounted" 2>/dev/null || :
	done
	find "$T" -xdev \( -path '*/flags/*' -o -name flags \) \( -type f -o -type d \) -exec chattr -f -i -a {} + 2>/dev/null || :
	cleanup
}
mounts=
trap unlock_tree EXIT
