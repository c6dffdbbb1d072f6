#!/bin/sh
# Every odd thing that a file system can hold comes back from a point exactly: by rsync's, getfacl's, getfattr's, lsattr's and
# bsdtar's word. A second restore over the first fetches no content; one with --delete brings a changed tree back; --tar says
# the same; what a policy leaves out is left out. As root all of it; as another user what that user may make.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need rsync rsync
need bsdtar libarchive-tools
need getfacl acl
need getfattr attr
need lsattr e2fsprogs
need setcap libcap2-bin

odd=$T/src/odd
odd_tree make "$odd"
odd_tree deep "$T/src/deep"
odd_tree list "$odd" >"$T/odd.list"
odd_tree list "$T/src/deep" >"$T/deep.list"
entries=$(find "$T/src/odd" "$T/src/deep" ! -type d ! -type s -printf x | wc -c)
source_home "$T/home" "odd=$odd,$T/src/deep" a b

# tell DIR FILE: what getfacl, getfattr, lsattr and bsdtar say of a tree. (Flags e and I are the file system's own affair.)
tell()
{
	(
		cd "$1"
		find . ! -type s -print0 | sort -z | xargs -0 getfacl -P -n
		getfattr -R -P -h -d -m - -e hex .
		lsattr -aR . | sed 's/^\([^ ]*\)e\([^ ]* \)/\1-\2/; s/^\([^ ]*\)I\([^ ]* \)/\1-\2/'
		bsdtar -cf - --exclude='*.sock' --format=mtree --options='!all,type,mode,uid,gid,uname,gname,time,size,link,device,flags,nlink,sha256' .
	) >"$2" 2>"$T/err"
}
tell "$odd" "$T/odd.told"
for word in 'user:65534:rw-' 'default:user:65534:rwx' 'user.text=0x' 'trusted.secret=0x' 'security.capability=0x' '----i------' 'device=native,300,70000' \
	'flags=sappnd,schg,nodump'; do
	[ "$(id -u)" != 0 ] || grep -qF -e "$word" "$T/odd.told" || echo "not here, so not tested: $word"
done

# same_as_odd DIR, told_as_odd DIR: DIR is the odd tree.
same_as_odd()
{
	odd_tree list "$1" >"$T/list"
	cmp -s "$T/odd.list" "$T/list" || { diff -a "$T/odd.list" "$T/list" | cut -c 1-300 >"$T/out"; fail "$1 is not the odd tree"; }
	same_files "$odd" "$1" --exclude=*.sock
}
told_as_odd()
{
	tell "$1" "$T/told"
	cmp -s "$T/odd.told" "$T/told" || { diff -a "$T/odd.told" "$T/told" | cut -c 1-300 >"$T/out"; fail "$1 is told to be another tree"; }
}
same_as_deep()
{
	odd_tree list "$1" >"$T/list"
	cmp -s "$T/deep.list" "$T/list" || fail "$1 is not the deep tree"
}

# --- backed up, with a word about the socket; nothing has changed for a second run
backup 0 --json -v
json_is files_total "$entries"
json_is files_unreadable 0
json_is errors '[]'
err_has 'event=skipped path="/'
err_has 'special/sockets/a.sock"'
backup 0 --json
json_is files_new 0
json_is files_changed 0
json_is read_bytes 0

# --- restored: equal in everything; holes are holes
restore 0 odd --target "$T/back" --json
json_is files_restored "$entries"
json_is verified true
json_is errors '[]'
json not_applied | grep -q '[1-9]' && fail "some metadata was not applied: $(json not_applied)"
tree=$(json tree_digest)
same_as_odd "$T/back$odd"
told_as_odd "$T/back$odd"
same_as_deep "$T/back$T/src/deep"
for file in all-hole islands tail; do
	was=$(stat -c %b "$odd/sparse/$file")
	is=$(stat -c %b "$T/back$odd/sparse/$file")
	[ "$is" -le $((was + 256)) ] || fail "sparse/$file takes $is blocks, not $was"
done
[ -z "$(find "$T/back" -type s)" ] || fail "a socket came back"

# --- over what is there already: only pages are fetched, and what has several names, which is written anew; nothing changes
restore 0 odd --target "$T/back" --delete --json
json_is verified true
json_is tree_digest "$tree"
json_is deleted 0
anew=$(($(json restored_bytes) - $(json reused_bytes)))
[ "$anew" -lt 6300000 ] || fail "$anew bytes were written again"
[ "$(json fetched_bytes)" -lt 4500000 ] || fail "content was fetched again: $(json fetched_bytes) bytes"
same_as_odd "$T/back$odd"
same_as_deep "$T/back$T/src/deep"

# --- a spoilt tree is put right: content, kinds, attributes, links, flags, what is too much, what is missing
back=$T/back$odd
chattr -f -i -a "$back/flags/immutable" "$back/flags/all" "$back/flags/append" 2>/dev/null || :
(
	cd "$back"
	echo more >>sizes/text-4096
	printf X | dd of=links/big bs=1 seek=1000000 conv=notrunc 2>/dev/null
	truncate -s 100 sparse/islands
	rm -r names links/two sizes/empty
	mkdir -p links/two/deeper/extra names/order
	echo extra >links/two/deeper/extra/file
	echo extra >names/order/extra
	echo extra >extra
	ln extra links/extra
	rm special/fifo links/to-1 modes/owned
	mkdir special/fifo links/to-1 modes/owned
	echo x >links/to-1/x
	rm -r modes/dir-1777 times/dir-3
	echo file >modes/dir-1777
	ln -s /etc times/dir-3
	chmod 000 modes/file-0644 sizes
	touch sizes/random-64 .
	setfacl -b acls/file acls/default 2>/dev/null || :
	setfattr -x user.text xattrs/file 2>/dev/null || :
	setfattr -n user.extra -v 1 sizes/text-0 2>/dev/null || :
	# Other names, one inode: the content is right but the links are not.
	rm links/one/b
	cp -p links/one/a links/one/b
	ln -f sizes/text-64 sizes/text-63
)
restore 0 odd --target "$T/back" --delete --json
json_is verified true
json_is tree_digest "$tree"
same_as_odd "$back"
told_as_odd "$back"

# --- one root of a dataset straight into the target; a part of a tree
restore 2 odd --target "$T/strip" --strip
restore 0 odd --target "$T/part" --path "$odd/times" --path "$odd/links/one" --json
json_is verified true
same_files "$odd/times" "$T/part$odd/times"
same_files "$odd/links/one" "$T/part$odd/links/one" --no-hard-links
[ "$(ls "$T/part$odd")" = "$(printf 'links\ntimes')" ] || fail "--path brought back more: $(ls "$T/part$odd")"

# --- as a tar archive. Not in it: a name that libarchive composes when it reads one, an attribute's name that it cannot
# write, and what is deeper than other programs go.
mkdir "$T/tar"
expect 0 sh -c 'twinkeep restore odd --home "$1/home" --passphrase-file "$1/passphrase" --path "$2" --tar >"$1/odd.tar"' sh "$T" "$odd"
expect 0 bsdtar -xpf "$T/odd.tar" -C "$T/tar" --numeric-owner --acls --xattrs --fflags --exclude="*$(printf 'cafe\314\201')"
same_files "$odd" "$T/tar$odd" --exclude=*.sock --exclude="$(printf 'cafe\314\201')" --filter='-x user.文' --filter='-x user.%E6%96%87'
# Blocks are counted when they are allocated, which may be later than when they are written; a file whose blocks do not lie
# together may need one more to find them by, and the holes are of megabytes.
sync -f "$odd" "$T/tar"
for file in "$odd"/sparse/*; do
	was=$(du -k "$file" | cut -f 1)
	is=$(du -k "$T/tar$file" | cut -f 1)
	[ "$is" -le $((was + 128)) ] || fail "$file has lost its holes in a tar archive: $is KiB, not $was"
done
for tree in "$odd" "$T/tar$odd"; do
	(cd "$tree" && lsattr -aR flags && getfacl -R acls) 2>&1 | sed 's/^\([-a-zA-Z]*\)e\([-a-zA-Z]* \)/\1-\2/' >"$T/said$(echo "$tree" | wc -c)"
done
cmp -s "$T"/said* || fail "flags or ACLs differ in what was a tar archive: $(diff -a "$T"/said* | head -20)"
expect 0 sh -c 'twinkeep restore odd --home "$1/home" --passphrase-file "$1/passphrase" --path "$2/deep" --tar |
	python3 -c "import sys, tarfile; print(max(len(m.name) for m in tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\")) > 4096)"' sh "$T" "$T/src"
out_is True

# --- what a policy leaves out
src=$T/chosen
mkdir -p "$src/keep/cache" "$src/build/x" "$src/cached/deeper" "$src/mounted"
for file in keep/a.c keep/a.o keep/b.tmp keep/cache/c build/x/y cached/data cached/deeper/data top.tmp not-dumped mounted/below; do
	echo "$file" >"$src/$file"
done
echo important >"$src/keep/important.o"
printf 'Signature: 8a477f597d28d172789f06886806bc55\n' >"$src/cached/CACHEDIR.TAG"
crossing=mounted/below
staying=mounted/below
if mount -t tmpfs none "$src/mounted" 2>/dev/null; then
	mounts=$src/mounted
	echo "on another file system" >"$src/mounted/other"
	crossing=mounted/other
	staying=
fi
dumped=not-dumped
chattr +d "$src/not-dumped" 2>/dev/null && dumped=

# chosen NAME SETTINGS WANT...: under such a policy the point has these names. Also says that CACHEDIR.TAG itself stays.
chosen()
{
	name=$1
	printf 'policy %s {\n%s\n}\n' "$name" "$2" >"$T/$name.conf"
	shift 2
	expect 0 twinkeep init -q --home "$T/home-$name" --passphrase-file "$PASS" --dataset "d=$src" --site "v=dir:$T/vault-$name" \
		--policy "$T/$name.conf"
	expect 0 twinkeep backup --home "$T/home-$name"
	expect 0 twinkeep restore d --home "$T/home-$name" --passphrase-file "$PASS" --strip --target "$T/back-$name"
	# shellcheck disable=SC2048
	printf '%s\n' $* | sort >"$T/want"
	(cd "$T/back-$name" && find . ! -type d | sed 's|^\./||') | sort >"$T/out"
	cmp -s "$T/want" "$T/out" || fail "policy $name: $(diff "$T/want" "$T/out")"
}
chosen all 'one_file_system = false
cachedir_tag = false
nodump = false' keep/a.c keep/a.o keep/b.tmp keep/cache/c keep/important.o build/x/y cached/CACHEDIR.TAG cached/data cached/deeper/data \
	not-dumped top.tmp "$crossing"
chosen strict 'one_file_system = true
cachedir_tag = true
nodump = true
exclude = { "*.tmp", "cache/" }' keep/a.c keep/a.o keep/important.o build/x/y cached/CACHEDIR.TAG $dumped $staying
chosen patterns "
cachedir_tag = false
exclude = { \"*.o\", \"!important.o\", \"$src/build/**\", \"cached/d*\" }" keep/a.c keep/b.tmp keep/cache/c keep/important.o cached/CACHEDIR.TAG \
	not-dumped top.tmp $staying
[ -d "$T/back-patterns/build" ] && [ -d "$T/back-strict/mounted" ] || fail "an empty directory is missing"
echo ok
