#!/usr/bin/env python3
"""odd_tree.py make DIR | deep DIR | list DIR

make: DIR becomes a tree with every odd thing that a file system can hold; what this machine refuses is said on
      standard error, one line each, and left out.
deep: DIR becomes a tree whose paths are longer than PATH_MAX, and one of a thousand levels.
list: one line for each object below DIR: type, mode, owner, mtime (ns), size, device, link target, hardlink group, flags,
      extended attributes, digest of the content. Equal lists are equal trees. Sockets are left out.
"""
import fcntl
import hashlib
import os
import socket
import stat
import struct
import subprocess
import sys

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
IMMUTABLE, APPEND, NODUMP, NOATIME, DIRSYNC = 0x10, 0x20, 0x40, 0x80, 0x10000
FLAGS = IMMUTABLE | APPEND | NODUMP | NOATIME | DIRSYNC | 0x8
SECOND = 10**9


def attempt(what, action):
    try:
        action()
    except (OSError, subprocess.CalledProcessError, FileNotFoundError) as error:
        print(f"not here: {what}: {error}", file=sys.stderr)


def write(path, content=b""):
    with open(path, "wb") as file:
        file.write(content)


def tool(*words):
    return lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def get_flags(name):
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        return struct.unpack("I", fcntl.ioctl(fd, GETFLAGS, b"\0" * 8)[:4])[0]
    finally:
        os.close(fd)


def set_flags(name, flags):
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        old = struct.unpack("I", fcntl.ioctl(fd, GETFLAGS, b"\0" * 8)[:4])[0]
        fcntl.ioctl(fd, SETFLAGS, struct.pack("Q", old & ~FLAGS | flags))
    finally:
        os.close(fd)


def make_modes():
    os.mkdir("modes")
    for mode in (0o0, 0o400, 0o644, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777):
        write(f"modes/file-{mode:04o}", b"mode %o\n" % mode)
        os.chmod(f"modes/file-{mode:04o}", mode)
    for mode in (0o1777, 0o2770, 0o3755, 0o700, 0o555):
        os.mkdir(f"modes/dir-{mode:04o}")
        write(f"modes/dir-{mode:04o}/inside", b"x")
        os.chmod(f"modes/dir-{mode:04o}", mode)
    write("modes/owned", b"somebody's\n")
    attempt("chown", lambda: os.chown("modes/owned", 65534, 65534))
    write("modes/owned-by-nobody-known", b"no name\n")
    attempt("chown", lambda: os.chown("modes/owned-by-nobody-known", 123456, 654321))
    # A set-id bit goes when the owner changes: it must be put back after that.
    write("modes/setuid-of-another", b"#!/bin/true\n")
    attempt("chown", lambda: os.chown("modes/setuid-of-another", 65534, 65534))
    os.chmod("modes/setuid-of-another", 0o6755)
    os.symlink("owned", "modes/link-of-another")
    attempt("chown", lambda: os.chown("modes/link-of-another", 65534, 65534, follow_symlinks=False))


def make_special():
    os.mkdir("special")
    os.mkfifo("special/fifo", 0o622)
    os.mkdir("special/sockets")
    bound = socket.socket(socket.AF_UNIX)
    attempt("socket", lambda: bound.bind("special/sockets/a.sock"))
    for name, kind, major, minor in (("null", stat.S_IFCHR, 1, 3), ("block", stat.S_IFBLK, 7, 200), ("big", stat.S_IFCHR, 300, 70000)):
        attempt("mknod", lambda: os.mknod(f"special/{name}", 0o640 | kind, os.makedev(major, minor)))


def make_sparse():
    os.mkdir("sparse")
    with open("sparse/all-hole", "wb") as file:
        file.truncate(8 << 20)
    with open("sparse/islands", "wb") as file:
        for at in (0, 5 << 20, (64 << 20) - 4000, (66 << 20) + 123):
            file.seek(at)
            file.write(os.urandom(9000))
        file.truncate(68 << 20)
    with open("sparse/tail", "wb") as file:
        file.seek(3 << 20)
        file.write(b"tail")
    # Zeros that are written are no hole, and read the same.
    write("sparse/zeros", bytes(1 << 20))


def make_links():
    os.makedirs("links/one")
    os.makedirs("links/two/deeper")
    write("links/one/a", b"hardlinked\n")
    for name in ("links/one/b", "links/two/c", "links/two/deeper/d", "links/0-first"):
        os.link("links/one/a", name)
    write("links/big", os.urandom(3 << 20))
    os.link("links/big", "links/two/big")
    write("links/empty")
    os.link("links/empty", "links/one/empty")
    os.mkfifo("links/fifo")
    os.link("links/fifo", "links/one/fifo")
    os.symlink("links/big", "links/symlink")
    os.link("links/symlink", "links/one/symlink", follow_symlinks=False)
    for number, target in enumerate(("nowhere", "/absolute/nowhere", "/etc/passwd", "..", ".", "../../../../../../..", "one/./../two//c", "one/",
                                     "with\nnewline", b"\xff\xfe not utf-8", "x" * 4095, " ", "self-4")):
        os.symlink(target, f"links/self-{number}" if target == "self-4" else f"links/to-{number}")


def make_names():
    os.mkdir("names")
    for name in (b"\xff\xfe\x80", b"caf\xe9", "café".encode(), "cafe\u0301".encode(), b"new\nline", b"\n", b"tab\there", b" ", b" lead", b"trail ", b"-rf", b"*",
                 b"?", b"[a]", b"back\\slash", b"quote'\"", b"$HOME", b"`id`", b"%s%n", b"\x01\x7f\x1b[31m", b"...", b".hidden", b"..data", b"~", b"a" * 255,
                 b"\xe5\xad\x97" * 85, b"\xfe" * 255, b"con", b"NUL", b"a:b", b"a=b,c", b"#", b"!"):
        write(b"names/" + name, b"named " + name)
    os.mkdir(b"names/" + b"d" * 255)
    write(b"names/" + b"d" * 255 + b"/" + b"f" * 255, b"both long")
    os.mkdir(b"names/\xc3(dir")
    write(b"names/\xc3(dir/\xa0\xa1", b"in it")
    # The order of a walk puts '/' below every other byte.
    for name in ("order", "order!", "order-", "order.d", "order0"):
        os.mkdir(f"names/{name}")
        write(f"names/{name}/x", name.encode())


def make_times():
    os.mkdir("times")
    for number, when in enumerate((0, 1, -1, -SECOND, -86400 * SECOND * 365 * 30 - 1, 1999999999123456789, 1700000000000000001, 1700000000999999999,
                                   (1 << 31) * SECOND, ((1 << 33) + 12345) * SECOND + 7)):
        write(f"times/file-{number}", b"time")
        os.mkdir(f"times/dir-{number}")
        write(f"times/dir-{number}/inside", b"this sets the directory's time")
        os.symlink("x", f"times/link-{number}")
        os.mkfifo(f"times/fifo-{number}")
        for kind in ("file", "dir", "link", "fifo"):
            os.utime(f"times/{kind}-{number}", ns=(when, when), follow_symlinks=False)


def make_attributes():
    os.mkdir("xattrs")
    os.mkdir("xattrs/dir")
    for name in ("file", "dir", "caps", "trusted", "link", "empty-value", "many"):
        if name != "dir":
            write(f"xattrs/{name}", b"attributes\n")
    attempt("user xattrs", lambda: os.setxattr("xattrs/file", "user.text", b"value"))
    attempt("user xattrs", lambda: os.setxattr("xattrs/file", "user.\u6587", b"\x00\x01\xff" * 100))
    attempt("user xattrs", lambda: os.setxattr("xattrs/dir", "user.of.dir", b"v" * 1000))
    attempt("user xattrs", lambda: os.setxattr("xattrs/empty-value", "user.empty", b""))
    for number in range(40):
        attempt("user xattrs", lambda: os.setxattr("xattrs/many", f"user.{number:03d}", b"%d" % number))
    attempt("trusted xattrs", lambda: os.setxattr("xattrs/trusted", "trusted.secret", b"\x00binary"))
    os.symlink("trusted", "xattrs/symlink")
    attempt("trusted xattrs of symlinks", lambda: os.setxattr("xattrs/symlink", "trusted.of.link", b"l", follow_symlinks=False))
    os.chmod("xattrs/caps", 0o755)
    attempt("chown", lambda: os.chown("xattrs/caps", 65534, 65534))
    attempt("capabilities", tool("setcap", "cap_net_raw,cap_net_bind_service+ep", "xattrs/caps"))
    os.mkdir("acls")
    os.mkdir("acls/default")
    write("acls/file", b"acl\n")
    write("acls/masked", b"acl\n")
    attempt("ACLs", tool("setfacl", "-m", "u:65534:rw,u:123456:r,g:65534:x", "acls/file"))
    attempt("ACLs", tool("setfacl", "-m", "u:1:rwx,m::r", "acls/masked"))
    attempt("ACLs", tool("setfacl", "-m", "d:u:65534:rwx,d:g:1:r-x,u:2:x", "acls/default"))
    write("acls/default/inherits", b"by default\n")
    os.mkdir("acls/default/sub")


def make_flags():
    os.mkdir("flags")
    os.mkdir("flags/immutable-dir")
    write("flags/immutable-dir/inside", b"cannot go\n")
    os.mkdir("flags/append-dir")
    os.mkdir("flags/nodump-dir")
    for name in ("immutable", "append", "nodump", "noatime", "all"):
        write(f"flags/{name}", name.encode())
    write("flags/immutable-linked", b"linked\n")
    os.link("flags/immutable-linked", "flags/immutable-linked-too")
    for name, flags in (("nodump", NODUMP), ("noatime", NOATIME), ("nodump-dir", NODUMP), ("append", APPEND), ("all", IMMUTABLE | APPEND | NODUMP),
                        ("immutable", IMMUTABLE), ("immutable-linked", IMMUTABLE), ("append-dir", APPEND | DIRSYNC)):
        os.utime(f"flags/{name}", ns=(1600000000 * SECOND + 5,) * 2)
        attempt("file flags", lambda: set_flags(f"flags/{name}", flags))
    os.utime("flags/immutable-dir", ns=(1500000000 * SECOND + 6,) * 2)
    attempt("file flags", lambda: set_flags("flags/immutable-dir", IMMUTABLE))


def make_sizes():
    os.mkdir("sizes")
    for size in (0, 1, 63, 64, 2047, 2048, 4096, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_001):
        write(f"sizes/random-{size}", os.urandom(size))
        write(f"sizes/text-{size}", (b"the same line again\n" * (size // 20 + 1))[:size])
    os.makedirs("sizes/empty/empty/empty")


def make(root):
    os.makedirs(root, exist_ok=True)
    os.umask(0o022)
    os.chdir(root)
    for part in (make_modes, make_special, make_sparse, make_links, make_names, make_attributes, make_flags, make_sizes):
        part()
    os.mkdir("wide")
    for number in range(20000):
        os.close(os.open(f"wide/{number * 7919 % 20011:05d}-a-name-of-some-length", os.O_CREAT | os.O_WRONLY, 0o600))
    make_times()
    os.utime(".", ns=(123456789 * SECOND + 987654321,) * 2)


def deep(root):
    os.makedirs(root, exist_ok=True)
    os.chdir(root)
    for level in range(1000):
        os.mkdir("d")
        os.chdir("d")
    write("bottom", b"of a thousand levels\n")
    os.chdir(root)
    for level in range(20):
        os.mkdir("n" * 250 + str(level))
        os.chdir("n" * 250 + str(level))
        write("here", b"level %d\n" % level)
        os.utime("here", ns=(level * SECOND + 1,) * 2)
    os.symlink("here", "link")
    os.link("here", "hard")
    attempt("user xattrs", lambda: os.setxattr("here", "user.deep", b"down"))


def describe(name, st, groups, path):
    kind = stat.S_IFMT(st.st_mode)
    fields = [oct(kind), oct(stat.S_IMODE(st.st_mode)), st.st_uid, st.st_gid, st.st_mtime_ns]
    if kind != stat.S_IFDIR:
        fields.append(st.st_size)
        if st.st_nlink > 1:
            fields.append(("group", groups.setdefault((st.st_dev, st.st_ino), path)))
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        fields.append(st.st_rdev)
    if kind == stat.S_IFLNK:
        fields.append(os.readlink(name))
    try:
        fields.append([(key, os.getxattr(name, key, follow_symlinks=False)) for key in sorted(os.listxattr(name, follow_symlinks=False))])
    except OSError as error:
        fields.append(error.strerror)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        try:
            fields.append(hex(get_flags(name) & FLAGS))
        except OSError as error:
            fields.append(error.strerror)
    if kind == stat.S_IFREG:
        with open(name, "rb") as file:
            fields.append(hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest())
    return fields


def walk(path, groups, out):
    """The current directory; never more than one path component at a time."""
    for name in sorted(os.listdir(b".")):
        st = os.lstat(name)
        if stat.S_ISSOCK(st.st_mode):
            continue
        inner = path + b"/" + name
        print(inner, *describe(name, st, groups, inner), file=out)
        if stat.S_ISDIR(st.st_mode):
            os.chdir(name)
            walk(inner, groups, out)
            os.chdir("..")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "deep", "list"):
        sys.exit(__doc__)
    verb, root = sys.argv[1], os.path.abspath(sys.argv[2])
    sys.setrecursionlimit(100000)
    if verb == "make":
        make(root)
    elif verb == "deep":
        deep(root)
    else:
        print(b".", *describe(root, os.lstat(root), {}, b"."))
        os.chdir(root)
        walk(b".", {}, sys.stdout)


main()
