#!/usr/bin/env python3
"""bench/data.py WHAT PATH [ARGUMENTS]: makes and changes the data of the benchmarks; the same seed gives the same bytes.

  records DIR COUNT           small files with words and numbers
  image FILE MIB              like a machine's disk: files that compress, a quarter that does not
  edits FILE COUNT SEED       small overwrites at random places
  pages FILE COUNT SEED       COUNT random blocks of 4 KiB overwritten
  inserts FILE COUNT SEED     small insertions at random places (a new file under the old name)
  insert FILE MIB             MIB of random bytes put in at a third of the file
  swap FILE                   its halves change places
  append FILE MIB SEED        lines of a log
  dump FILE MIB               rows of a population register as SQL, one INSERT a line
  changed-dump OLD NEW PERCENT SEED   OLD with so many of its rows changed
  tree-edit DIR PERCENT SEED  a line at the end of so many of the files
"""
import os
import random
import subprocess
import sys

MIB = 1 << 20


def words(rng, count):
    return [bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 9))) for _ in range(count)]


def records(top, count):
    rng = random.Random(1)
    vocabulary = words(rng, 4000)
    per_dir = max(1, count // 300)
    for i in range(count):
        directory = os.path.join(top, "%05d" % (i // per_dir))
        if i % per_dir == 0:
            os.makedirs(directory, exist_ok=True)
        body = b"id=%d\nhash=%032x\n" % (i, rng.getrandbits(128)) + b" ".join(rng.choices(vocabulary, k=rng.randint(10, 200)))
        with open(os.path.join(directory, "r%07d.txt" % i), "wb") as out:
            out.write(body)


def image(path, mib):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tar = subprocess.Popen(["tar", "-C", "/usr", "-cf", "-", "lib", "share", "bin"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    rng = random.Random(2)
    with open(path, "wb") as out:
        for i in range(mib):
            block = rng.randbytes(MIB) if i % 4 == 3 else tar.stdout.read(MIB)
            out.write(block.ljust(MIB, b"\0"))
    tar.kill()
    tar.wait()


def edits(path, count, seed):
    rng = random.Random(seed)
    size = os.path.getsize(path)
    with open(path, "r+b") as out:
        for _ in range(count):
            out.seek(rng.randrange(size - 64))
            out.write(rng.randbytes(rng.randint(8, 64)))


def pages(path, count, seed):
    rng = random.Random(seed)
    blocks = os.path.getsize(path) // 4096
    with open(path, "r+b") as out:
        for _ in range(count):
            out.seek(rng.randrange(blocks) * 4096)
            out.write(rng.randbytes(4096))


def splice(path, cuts):
    """cuts: (offset, bytes to put in), ascending."""
    size = os.path.getsize(path)
    with open(path, "rb") as src, open(path + ".new", "wb") as dst:
        at = 0
        for cut, extra in cuts + [(size, b"")]:
            while at < cut:
                block = src.read(min(cut - at, MIB))
                dst.write(block)
                at += len(block)
            dst.write(extra)
    os.replace(path + ".new", path)


def inserts(path, count, seed):
    rng = random.Random(seed)
    size = os.path.getsize(path)
    splice(path, [(at, rng.randbytes(rng.randint(1, 1000))) for at in sorted(rng.randrange(size) for _ in range(count))])


def insert(path, mib):
    splice(path, [(os.path.getsize(path) // 3, random.Random(3).randbytes(mib * MIB))])


def swap(path):
    half = os.path.getsize(path) // 2 + 12345
    with open(path, "rb") as src, open(path + ".new", "wb") as dst:
        for begin, end in ((half, os.path.getsize(path)), (0, half)):
            src.seek(begin)
            while begin < end:
                block = src.read(min(end - begin, MIB))
                dst.write(block)
                begin += len(block)
    os.replace(path + ".new", path)


def append(path, mib, seed):
    rng = random.Random(seed)
    vocabulary = words(rng, 2000)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as out:
        done = 0
        while done < mib * MIB:
            block = b"".join(b"2026-11-%02d %08x %s\n" % (rng.randint(1, 30), rng.getrandbits(32), b" ".join(rng.choices(vocabulary, k=8))) for _ in range(4096))
            done += out.write(block)


def row(rng, number):
    return b"INSERT INTO person VALUES (%d,'%016x','%s','%s street %d',%d,'%032x');\n" % (
        number, rng.getrandbits(64), rng.choice(NAMES), rng.choice(NAMES), rng.randint(1, 400), rng.randint(1920, 2026), rng.getrandbits(128))


NAMES = words(random.Random(4), 3000)


def dump(path, mib):
    rng = random.Random(5)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    number = done = 0
    with open(path, "wb", MIB) as out:
        while done < mib * MIB:
            done += out.write(row(rng, number))
            number += 1


def changed_dump(old, new, percent, seed):
    rng = random.Random(seed)
    with open(old, "rb") as src, open(new, "wb", MIB) as dst:
        for number, line in enumerate(src):
            dst.write(row(rng, number) if rng.random() * 100 < percent else line)


def tree_edit(top, percent, seed):
    rng = random.Random(seed)
    for directory, _, names in os.walk(top):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if rng.random() * 100 < percent and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "ab") as out:
                    out.write(b"one more line\n")


def main():
    actions = {"records": records, "image": image, "edits": edits, "pages": pages, "inserts": inserts, "insert": insert, "swap": swap, "append": append,
               "dump": dump, "changed-dump": changed_dump, "tree-edit": tree_edit}
    if len(sys.argv) < 3 or sys.argv[1] not in actions:
        sys.exit(__doc__)
    actions[sys.argv[1]](*(int(a) if a.isdigit() else a for a in sys.argv[2:]))


main()
