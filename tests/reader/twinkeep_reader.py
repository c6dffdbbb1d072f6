#!/usr/bin/env python3
"""An independent reader of twinkeep vaults, written from docs/FORMAT.md alone.

Opens a vault directory with a passphrase or a machine key file, checks signatures of all records, lists points, and restores one while it checks
every blob digest, content digest and portable digest up to the tree digest. It shares no code with the engine: where the two disagree, one of them, or the
format's description, is wrong. Needs Python 3.8, python3-cryptography, and for zstd one of python3-zstandard, libzstd, the zstd command.
"""
import argparse
import collections
import ctypes
import ctypes.util
import hashlib
import hmac
import os
import re
import stat
import struct
import subprocess
import sys

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

DATA_MAX, META_MAX, RECORD_MAX, PATH_MAX = 1 << 20, 8 << 20, 1 << 20, 1 << 20
LEAF_BYTES = 32768
ZEROS = bytes(32)
DATA, LEAF, NODE, BASE, OVERLAY, SEGNODE, CONTENTS = range(1, 8)
REGULAR, DIRECTORY, SYMLINK, FIFO, CHARDEV, BLOCKDEV = range(1, 7)


class Damaged(Exception):
    """Bytes are not what the format says."""


class WrongKey(Exception):
    """A commitment does not match: another passphrase or key."""


def need(condition, text):
    if not condition:
        raise Damaged(text)


# --- numbers and bytes -------------------------------------------------------------------------------------------


class Cursor:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, count):
        need(count <= len(self.data) - self.at, f"{self.what}: cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def _fixed(self, count):
        return int.from_bytes(self.take(count), "little")

    def u8(self):
        return self._fixed(1)

    def u16(self):
        return self._fixed(2)

    def u32(self):
        return self._fixed(4)

    def u64(self):
        return self._fixed(8)

    def uv(self, limit=2 ** 64 - 1):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        need(byte != 0 or shift == 0, f"{self.what}: a number is not in its shortest form")
        need(value <= limit, f"{self.what}: a number is over its limit")
        return value

    def sv(self):
        value = self.uv()
        return (value >> 1) ^ -(value & 1)

    def bytes(self, limit=META_MAX):
        return self.take(self.uv(limit))

    def end(self):
        need(self.at == len(self.data), f"{self.what}: bytes left over")


def uv(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sv(value):
    return uv(value << 1 if value >= 0 else (-value << 1) - 1)


def with_length(data):
    return uv(len(data)) + data


# --- suites ------------------------------------------------------------------------------------------------------

AEADS = {1: AESGCM, 2: ChaCha20Poly1305}
TAG = 16


def check_suite(suite):
    need(suite in AEADS, f"suite {suite} is not known to this reader")
    return suite


def H(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def hkdf(secret, salt, info, length):
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
        counter += 1
    return out[:length]


def open_sealed(suite, key, nonce, sealed, aad, what):
    need(len(sealed) >= TAG, f"{what}: shorter than its tag")
    try:
        return AEADS[suite](key).decrypt(nonce, bytes(sealed), bytes(aad))
    except InvalidTag:
        raise Damaged(f"{what}: its tag is wrong") from None


def open_envelope(suite, secret, salt, commitment, info, sealed, aad, what):
    okm = hkdf(secret, salt, info, 64)
    if not hmac.compare_digest(okm[32:64], commitment):
        raise WrongKey(what)
    return open_sealed(suite, okm[:32], bytes(12), sealed, aad, what)


def check_signature(public, signature, message, what):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Damaged(f"{what}: its signature is wrong") from None


# --- codecs ------------------------------------------------------------------------------------------------------


def unlz4(data, plain_bytes):
    """One LZ4 block."""
    out, at = bytearray(), 0

    def more(length):
        nonlocal at
        if length == 15:
            while True:
                byte = data[at]
                at += 1
                length += byte
                if byte != 255:
                    break
        return length

    try:
        while True:
            token = data[at]
            at += 1
            literals = more(token >> 4)
            need(literals <= len(data) - at, "lz4: cut short")
            out += data[at:at + literals]
            at += literals
            if at == len(data):
                break
            offset = data[at] | data[at + 1] << 8
            at += 2
            length = more(token & 15) + 4
            need(0 < offset <= len(out) and len(out) + length <= plain_bytes, "lz4: a match leaves the block")
            for _ in range(length):
                out.append(out[-offset])
    except IndexError:
        raise Damaged("lz4: cut short") from None
    return bytes(out)


def zstd_function():
    """zstandard, else libzstd, else the command."""
    try:
        import zstandard
        return lambda data, size: zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except ImportError:
        pass
    name = ctypes.util.find_library("zstd")
    if name:
        lib = ctypes.CDLL(name)
        lib.ZSTD_decompress.restype = ctypes.c_size_t
        lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

        def by_library(data, size):
            room = ctypes.create_string_buffer(size)
            need(lib.ZSTD_decompress(room, size, data, len(data)) == size, "zstd: a damaged frame")
            return room.raw

        return by_library
    return lambda data, size: subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout


UNZSTD = zstd_function()


def decode(codec, data, plain_bytes):
    if codec == 0:
        plain = data
    elif codec == 1:
        plain = UNZSTD(data, plain_bytes)
    elif codec == 2:
        plain = unlz4(data, plain_bytes)
    else:
        raise Damaged(f"codec {codec} is not known")
    need(codec == 0 or len(data) < plain_bytes, "a coded blob is not shorter than the plain one")
    need(len(plain) == plain_bytes, "a blob has another length than its footer says")
    return plain


# --- keys --------------------------------------------------------------------------------------------------------


class Keyring:
    def __init__(self, plain):
        cur = Cursor(plain, "keyring")
        need(cur.u8() == 1, "keyring: unknown version")
        self.source = cur.take(16)
        self.suite = check_suite(cur.u8())
        cur.take(32 + 32 + 32)
        self.domains = {}
        for _ in range(cur.uv()):
            domain = cur.take(16)
            cur.take(32 + 32)
            self.domains[domain] = {cur.u32(): cur.take(32) for _ in range(cur.uv())}
        cur.end()

    def data_key(self, domain, key_epoch):
        try:
            return self.domains[domain][key_epoch]
        except KeyError:
            raise WrongKey(f"no data key of key epoch {key_epoch} for domain {domain.hex()}") from None


def open_slot(data, passphrase, machine_key):
    cur = Cursor(data, "key slot")
    need(cur.take(8) == b"TWKSLOT1" and cur.u16() == 1, "key slot: unknown version")
    suite = check_suite(cur.u8())
    need(cur.u64() == 0, "key slot: unknown critical feature")
    kind, _slot_id, source = cur.u8(), cur.take(16), cur.take(16)
    log2n, r, p = cur.u8(), cur.u32(), cur.u32()
    salt, commitment = cur.take(32), cur.take(32)
    cur.bytes(63)
    aad = data[:cur.at]
    sealed = cur.bytes()
    cur.end()
    if kind == 2 and passphrase is not None:
        need(15 <= log2n <= 20 and r == 8 and 1 <= p <= 4, "key slot: scrypt parameters out of bounds")
        secret = hashlib.scrypt(passphrase, salt=salt, n=1 << log2n, r=r, p=p, dklen=32, maxmem=(2 << 30) - 2)
    elif kind == 1 and machine_key is not None:
        secret = machine_key
    else:
        raise WrongKey("a slot of the other kind")
    okm = hkdf(secret, salt, b"twinkeep slot" + source + bytes([kind, suite]), 96)
    if not hmac.compare_digest(okm[32:64], commitment):
        raise WrongKey("key slot")
    return Keyring(open_sealed(suite, okm[:32], bytes(12), sealed, aad, "key slot"))


# --- packs -------------------------------------------------------------------------------------------------------

Blob = collections.namedtuple("Blob", "type codec plain sealed digest offset refs")


def read_container(path):
    """The packs of a container by name: (offset, length). Either of its two tables will do."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - 16))
        end = Cursor(file.read(16), path)
        for at_end in (False, True):
            try:
                if at_end:
                    count, zero = end.u32(), end.u32()
                    need(zero == 0 and end.take(8) == b"TWKCEND1" and 1 <= count <= 16384, f"{path}: damaged end")
                    start = size - 16 - (16 + 48 * count + 32)
                else:
                    start = 0
                file.seek(start)
                return read_container_table(file, path, size)
            except Damaged:
                if at_end:
                    return {}


def read_container_table(file, path, size):
    head = file.read(16)
    cur = Cursor(head, path)
    need(cur.take(8) == b"TWKCONT1" and cur.u16() == 1 and cur.u16() == 0, f"{path}: no table")
    count = cur.u32()
    need(1 <= count <= 16384, f"{path}: too many packs")
    rows, digest = file.read(48 * count), file.read(32)
    need(hashlib.sha256(head + rows).digest() == digest, f"{path}: damaged table")
    cur, packs = Cursor(rows, path), {}
    for _ in range(count):
        name, offset, length = cur.take(32), cur.u64(), cur.u64()
        need(offset + length <= size, f"{path}: a pack outside")
        packs[name] = (offset, length)
    cur.end()
    return packs


ARCHIVED = ("points", "receipts")


def read_containers(folder):
    """What is in all containers of a folder, by name: (path, offset, length); the newest counts."""
    rows = {}
    if os.path.isdir(folder):
        for container in sorted(name for name in os.listdir(folder) if re.fullmatch("[0-9a-f]{16}", name)):
            path = os.path.join(folder, container)
            rows.update({name: (path, *place) for name, place in read_container(path).items()})
    return rows


class PackFile:
    """The bytes of a pack, wherever it lies."""

    def __init__(self, path, offset=0, length=None):
        self.file, self.start = open(path, "rb"), offset
        self.size = os.fstat(self.file.fileno()).st_size if length is None else length
        self.seek(0)

    def seek(self, at):
        self.at = at
        self.file.seek(self.start + at)

    def read(self, length):
        data = self.file.read(max(0, min(length, self.size - self.at)))
        self.at += len(data)
        return data


class Pack:
    def __init__(self, file, name, ring):
        self.name = name
        self.what = f"pack {name.hex()[:16]}"
        self.file = file
        size = file.size
        need(128 + 56 <= size <= 1 << 30, f"{self.what}: impossible length")
        self.header = self.file.read(128)
        self.footer_digest = None
        self._read_header(ring)
        self._read_footer(size)

    def _read_header(self, ring):
        cur = Cursor(self.header, self.what)
        need(cur.take(8) == b"TWKPACK1" and cur.u16() == 1, f"{self.what}: unknown version")
        self.suite = check_suite(cur.u8())
        kind, key_epoch = cur.u8(), cur.u32()
        need(kind in (1, 2, 3), f"{self.what}: unknown pack type")
        need(cur.take(32) == self.name, f"{self.what}: its header has another name")
        domain, incarnation, commitment = cur.take(16), cur.take(16), cur.take(32)
        need(cur.u64() == 0, f"{self.what}: unknown critical feature")
        info = b"twinkeep pack" + domain + incarnation + bytes([kind, self.suite])
        okm = hkdf(ring.data_key(domain, key_epoch), self.name, info, 64)
        if not hmac.compare_digest(okm[32:], commitment):
            raise WrongKey(self.what)
        self.key = okm[:32]

    def _read_footer(self, size):
        self.file.seek(size - 56)
        tail = Cursor(self.file.read(56), self.what)
        offset, length, zero, digest = tail.u64(), tail.u32(), tail.u32(), tail.take(32)
        need(tail.take(8) == b"TWKPEND1" and zero == 0 and offset + length + 56 == size and offset >= 128, f"{self.what}: damaged trailer")
        self.file.seek(offset)
        footer = self.file.read(length)
        need(H(footer) == digest, f"{self.what}: damaged footer")
        self.footer_digest = digest
        cur = Cursor(footer, f"{self.what}: footer")
        count, table = cur.u32(), [self.name]
        need(count <= 65535, f"{self.what}: too many blobs")
        table += [cur.take(32) for _ in range(cur.u32())]
        need(len(set(table)) == len(table), f"{self.what}: a pack is twice in the table")
        self.blobs, at = [], 128
        for number in range(count):
            self.blobs.append(self._read_row(cur, number, at, table))
            at += self.blobs[-1].sealed
        need(at == offset, f"{self.what}: blobs do not fill it")
        need(cur.take(32) == H(self.header), f"{self.what}: damaged header")
        cur.end()

    def _read_row(self, cur, number, at, table):
        kind, codec, plain, sealed, digest = cur.u8(), cur.u8(), cur.u32(), cur.u32(), cur.take(32)
        need(1 <= kind <= 7 and codec <= 2, f"{self.what}: unknown blob type or codec")
        need(plain <= (DATA_MAX if kind == DATA else META_MAX), f"{self.what}: a blob is too large")
        rows = []
        for _ in range(cur.uv()):
            rows.append((cur.uv(len(table) - 1), cur.uv(65534)))
        need(rows == sorted(set(rows)), f"{self.what}: references are not sorted")
        need(not rows or kind not in (DATA, CONTENTS), f"{self.what}: a data blob with references")
        need(all(index or blob < number for index, blob in rows), f"{self.what}: a reference to a later blob")
        return Blob(kind, codec, plain, sealed, digest, at, {(table[index], blob) for index, blob in rows})

    def read(self, number, kind):
        what = f"{self.what}: blob {number}"
        need(number < len(self.blobs), f"{what}: is not there")
        row = self.blobs[number]
        need(row.type == kind, f"{what}: of type {row.type}, not {kind}")
        self.file.seek(row.offset)
        sealed = self.file.read(row.sealed)
        need(H(sealed) == row.digest, f"{what}: its digest is wrong")
        aad = self.header + struct.pack("<IBBII", number, row.type, row.codec, row.plain, row.sealed)
        return decode(row.codec, open_sealed(self.suite, self.key, struct.pack("<I8x", number), sealed, aad, what), row.plain)


# --- records -----------------------------------------------------------------------------------------------------


def record_head(cur, magic):
    need(cur.take(8) == magic and cur.u16() == 1, f"{cur.what}: unknown version")
    suite = check_suite(cur.u8())
    need(cur.u64() == 0, f"{cur.what}: unknown critical feature")
    return suite


def record_tail(cur, text):
    """Public key and signature over all before the signature."""
    public = cur.bytes(64)
    signed = cur.data[:cur.at]
    signature = cur.bytes(128)
    cur.end()
    check_signature(public, signature, text + signed, cur.what)
    return public


class Genesis:
    def __init__(self, data):
        cur = Cursor(data, "genesis")
        record_head(cur, b"TWKGENES")
        self.domain, self.source = cur.take(16), cur.take(16)
        self.source_name, self.operator_key, self.writer_key = cur.bytes(255), cur.bytes(64), cur.bytes(64)
        self.incarnation, self.created = cur.take(16), cur.sv()
        need(record_tail(cur, b"twinkeep genesis") == self.operator_key, "genesis: not signed by its operator key")


class Grant:
    def __init__(self, data):
        cur = Cursor(data, "grant")
        record_head(cur, b"TWKGRANT")
        self.domain, self.epoch, self.writer_key = cur.take(16), cur.u64(), cur.bytes(64)
        self.incarnation, self.parent, self.created = cur.take(16), cur.take(32), cur.sv()
        self.signer_key = record_tail(cur, b"twinkeep grant")
        self.digest = H(data)


class Vote:
    def __init__(self, data):
        cur = Cursor(data, "vote")
        record_head(cur, b"TWKVOTE1")
        self.domain, self.epoch, self.grant = cur.take(16), cur.u64(), cur.take(32)
        self.site, self.incarnation, self.counter = cur.take(16), cur.take(16), cur.u64()
        self.head, self.time = (cur.u64(), cur.u64(), cur.take(32)), cur.sv()
        self.site_key = record_tail(cur, b"twinkeep vote")


class Receipt:
    def __init__(self, data):
        cur = Cursor(data, "receipt")
        record_head(cur, b"TWKRCPT1")
        self.domain, self.epoch, self.sequence, self.point = cur.take(16), cur.u64(), cur.u64(), cur.take(32)
        self.site, self.site_name, self.incarnation = cur.take(16), cur.bytes(255), cur.take(16)
        self.counter, self.promised, self.time = cur.u64(), cur.u64(), cur.sv()
        self.site_key = record_tail(cur, b"twinkeep receipt")


def read_marks(data):
    """The votes and receipts of a list of marks."""
    cur = Cursor(data, "list of marks")
    need(cur.take(8) == b"TWKMARKS" and cur.take(2) == b"\1\0", "list of marks: another magic or version")
    records = [cur.bytes(2048) for _ in range(cur.uv(64))]
    for _ in range(cur.uv(64)):
        cur.take(16)
    cur.end()
    return [Vote(record) if record.startswith(b"TWKVOTE1") else Receipt(record) for record in records]


class Point:
    def __init__(self, data):
        self.id = H(data)
        cur = Cursor(data, f"point {self.id.hex()[:16]}")
        self.suite = record_head(cur, b"TWKPOINT")
        cur.u64()
        self.domain, self.dataset, self.incarnation = cur.take(16), cur.take(16), cur.take(16)
        self.epoch, self.grant, self.sequence, self.parent = cur.u64(), cur.take(32), cur.u64(), cur.take(32)
        self.key_epoch = cur.u32()
        self.root = (cur.take(32), cur.u32())
        self.packs = [(cur.take(32), cur.take(32), cur.u64()) for _ in range(cur.uv(len(data)))]
        self.opening = self._read_opening(cur.bytes())
        self.aad = data[:cur.at]
        self.sealed = cur.bytes()
        self.writer_key = record_tail(cur, b"twinkeep point")
        self.name = f"{self.epoch:08x}-{self.sequence:016x}-{self.id.hex()[:32]}"

    @staticmethod
    def _read_opening(data):
        if not data:
            return None
        cur = Cursor(data, "epoch opening")
        grant = Grant(cur.bytes())
        votes = [Vote(cur.bytes()) for _ in range(cur.uv(64))]
        least = cur.uv(64)
        sites = [((cur.take(16), cur.take(32)), cur.u8()) for _ in range(cur.uv(64))]
        cur.end()
        need(all(vote.grant == grant.digest and vote.epoch == grant.epoch for vote in votes), "epoch opening: a vote for another grant")
        voters = {(vote.site, vote.site_key) for vote in votes}
        counts = dict(sites)
        need(len(voters) == len(votes) and all(voter in counts and any(voter[1]) for voter in voters), "epoch opening: a vote of no site of the set")
        need(2 * len(votes) > len(sites) and sum(counts[voter] for voter in voters) >= least, "epoch opening: too few votes")
        return grant

    def open_body(self, ring):
        salt, commitment, sealed = self.sealed[:32], self.sealed[32:64], self.sealed[64:]
        info = b"twinkeep point body" + self.domain + bytes([self.suite])
        plain = open_envelope(self.suite, ring.data_key(self.domain, self.key_epoch), salt, commitment, info, sealed, self.aad, "point body")
        cur = Cursor(plain, "point body")
        need(cur.u8() == 1, "point body: unknown version")
        self.dataset_name, self.source_name = cur.bytes(255), cur.bytes(255)
        self.scan_start, self.scan_end = cur.sv(), cur.sv()
        self.tree, self.segment_bytes = cur.take(32), cur.u32()
        names = "entries files total_bytes new changed removed unreadable inconsistent literal_bytes stored_bytes"
        for name in names.split():
            setattr(self, name, cur.uv())
        self.roots = [cur.bytes(PATH_MAX) for _ in range(cur.uv(len(plain)))]
        for _ in range(cur.uv(len(plain))):
            cur.uv()
            cur.bytes()
        cur.end()
        need(self.segment_bytes > 0, "point body: segments of no bytes")


# --- the vault ---------------------------------------------------------------------------------------------------


def files_below(path):
    for folder, _dirs, names in sorted(os.walk(path)):
        for name in sorted(names):
            yield os.path.join(folder, name)


def read_file(path, limit=RECORD_MAX):
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    need(len(data) <= limit, f"{path}: too long")
    return data


class Vault:
    def __init__(self, path):
        self.path = path
        need(read_file(os.path.join(path, "VAULT")).startswith(b"twinkeep vault 1\n"), "this is no vault of version 1")
        self.ring = None
        self.open_packs = {}
        self.merged = self.read_merged()
        self.cache = collections.OrderedDict()

    def unlock(self, passphrase, machine_key):
        slots = [path for path in files_below(os.path.join(self.path, "sources")) if os.path.basename(os.path.dirname(path)) == "slots"]
        need(slots, "the vault holds no key slots")
        for slot in slots:
            try:
                self.ring = open_slot(read_file(slot), passphrase, machine_key)
                return
            except WrongKey:
                continue
        raise WrongKey("no slot opens with this passphrase or key")

    def domains(self):
        folder = os.path.join(self.path, "domains")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def records(self, domain, folder, kind):
        for name, path, data in self.record_bytes(domain, folder):
            try:
                yield name, kind(data)
            except Damaged as fault:
                raise Damaged(f"{path}: {fault}") from None

    def record_bytes(self, domain, folder):
        """Files first, then what the newest container in archive/ has beside them."""
        seen = set()
        for path in files_below(os.path.join(self.path, "domains", domain, folder)):
            seen.add(os.path.basename(path))
            yield os.path.basename(path), path, read_file(path)
        if folder not in ARCHIVED:
            return
        for key, (path, offset, length) in read_containers(os.path.join(self.path, "domains", domain, "archive")).items():
            point, (sequence, epoch, kind) = key[:16], struct.unpack(">QII", key[16:])
            name = f"{epoch:08x}-{sequence:016x}-{point.hex()}"
            if kind == ARCHIVED.index(folder) and name not in seen:
                yield name, path, PackFile(path, offset, length).read(length)

    def pack(self, name):
        if name not in self.open_packs:
            self.open_packs[name] = Pack(self.pack_file(name), name, self.ring)
        return self.open_packs[name]

    def pack_file(self, name):
        small, own = (os.path.join(self.path, "packs", folder, name.hex()) for folder in ("small", name.hex()[:2]))
        if os.path.exists(small):
            return PackFile(small)
        if name in self.merged:
            return PackFile(*self.merged[name])
        need(os.path.exists(own), f"pack {name.hex()} is missing")
        return PackFile(own)

    def read_merged(self):
        """Where the packs in containers lie: the newest container counts, and none for a name in `gone`."""
        folder = os.path.join(self.path, "packs", "merged")
        merged = read_containers(folder)
        gone_path = os.path.join(folder, "gone")
        if os.path.exists(gone_path):
            with open(gone_path, "rb") as file:
                gone = file.read()
            for at in range(0, len(gone) - 31, 32):
                merged.pop(gone[at:at + 32], None)
        return merged

    def blob(self, ref, kind):
        if ref in self.cache:
            self.cache.move_to_end(ref)
        else:
            self.cache[ref] = self.pack(ref[0]).read(ref[1], kind)
            if len(self.cache) > 64:
                self.cache.popitem(last=False)
        return self.cache[ref]

    def check_references(self, ref, found):
        """The references in the clear are the ones that the plain blob has."""
        need(self.pack(ref[0]).blobs[ref[1]].refs == found, f"pack {ref[0].hex()[:16]}: blob {ref[1]}: other references sealed than in the clear")

    def trusted_points(self, domain):
        """The domain's points, after every record and who signed it was checked."""
        genesis = Genesis(read_file(os.path.join(self.path, "domains", domain, "genesis")))
        need(genesis.domain.hex() == domain, "genesis: of another domain")
        grants = {}
        for name, grant in self.records(domain, "grants", Grant):
            need(name == f"{grant.epoch:08x}-{grant.digest.hex()[:32]}", f"grant {name}: another name than its content")
            grants[grant.digest] = grant
        points = list(self.records(domain, "points", Point))
        for _name, point in points:
            if point.opening:
                grants[point.opening.digest] = point.opening
        for grant in grants.values():
            before = grants.get(grant.parent)
            may_sign = [genesis.operator_key] + ([before.writer_key] if before and grant.parent != ZEROS else [])
            need(grant.domain == genesis.domain and grant.signer_key in may_sign, "grant: its signer has no right")
        for name, point in points:
            need(name == point.name and point.domain == genesis.domain, f"point {name}: another name than its content")
            grant = grants.get(point.grant)
            need(grant and grant.epoch == point.epoch and grant.writer_key == point.writer_key, f"point {name}: its writer has no grant")
        for name, vote in self.records(domain, "votes", Vote):
            need(name == f"{vote.epoch:08x}" and vote.domain == genesis.domain, f"vote {name}: another name than its content")
        told = os.path.join(self.path, "marks", domain)
        need(not os.path.exists(told) or all(mark.domain == genesis.domain for mark in read_marks(read_file(told))), "marks: of another domain")
        receipts = set()
        for name, receipt in self.records(domain, "receipts", Receipt):
            need(receipt.domain == genesis.domain, f"receipt {name}: of another domain")
            receipts.add(receipt.point)
        return [(point, point.id in receipts) for _name, point in points]


# --- extents -----------------------------------------------------------------------------------------------------

Extent = collections.namedtuple("Extent", "ref offset length")  # ref None: a hole


def read_table(cur, own):
    return [own] + [cur.take(32) for _ in range(cur.uv(len(cur.data) // 32))]


def read_ref(cur, table):
    index = cur.uv(len(table) - 1)
    return table[index], cur.uv(65534)


def read_extents(cur, table):
    out, pack, blob, end, first = [], table[0], 0, 0, True
    for _ in range(cur.uv(len(cur.data))):
        head = cur.uv(2 ** 34 - 1)
        length, code = head >> 2, head & 3
        need(length > 0, f"{cur.what}: an empty extent")
        if code == 3:
            out.append(Extent(None, 0, length))
            continue
        need(code != 1 or not first, f"{cur.what}: the next blob of none")
        if code == 1:
            blob, end = blob + 1, 0
        elif code == 2:
            (pack, blob), end = read_ref(cur, table), cur.uv(DATA_MAX)
        need(end + length <= DATA_MAX, f"{cur.what}: an extent leaves its blob")
        out.append(Extent((pack, blob), end, length))
        end, first = end + length, False
    return out


def cut(extents, start, end):
    """The part [start, end) of a list."""
    out, at = [], 0
    for ref, offset, length in extents:
        low, high = max(start, at), min(end, at + length)
        if low < high:
            out.append(Extent(ref, offset + low - at if ref else 0, high - low))
        at += length
    return out


def total(extents):
    return sum(extent.length for extent in extents)


def places(extents):
    return {extent.ref for extent in extents if extent.ref}


# --- pages -------------------------------------------------------------------------------------------------------


class Entry:
    content, extents, segments, size, target, device, group = ZEROS, [], None, 0, b"", (0, 0), 0


def check_path(path):
    need(len(path) <= PATH_MAX and b"\0" not in path, "a path is too long or has a NUL")
    need(path == b"" or not set(path.split(b"/")) & {b"", b".", b".."}, "a path has an empty or dot component")


def order(path):
    return path.replace(b"/", b"\0")  # no path has a NUL, so '/' comes below every other byte


def path_hash(path):
    return int.from_bytes(H(b"twinkeep page", path)[:8], "little")


def read_optional(cur, entry, flags):
    """What the flags announce; returns its bytes, which the portable form has too."""
    start = cur.at
    if flags & 2:
        entry.group = cur.u64()
        need(entry.group, "hardlink group 0")
    if flags & 4:
        entry.inode_flags = cur.uv(2 ** 32 - 1)
    entry.xattrs = [(cur.bytes(), cur.bytes()) for _ in range(cur.uv(len(cur.data)) if flags & 8 else 0)]
    names = [name for name, _value in entry.xattrs]
    need(names == sorted(set(names)) and all(name and b"\0" not in name for name in names), "extended attributes are not sorted")
    tags = [(cur.uv(), cur.bytes())[0] for _ in range(cur.uv(len(cur.data)) if flags & 16 else 0)]
    need(tags == sorted(set(tags)), "extensions are not sorted")
    return cur.data[start:cur.at]


def read_content(cur, entry, flags, table):
    """By type; returns the bytes that the portable form has too."""
    start = end = cur.at
    if entry.type == REGULAR:
        entry.size, entry.content = cur.uv(), cur.take(32)
        end = cur.at
        if entry.size and flags & 32:
            entry.segments = read_ref(cur, table)
        elif entry.size:
            entry.extents = read_extents(cur, table)
            need(total(entry.extents) == entry.size, "extents do not make up a file's size")
    elif entry.type == SYMLINK:
        entry.target = cur.bytes(PATH_MAX)
        end = cur.at
    elif entry.type in (CHARDEV, BLOCKDEV):
        entry.device = (cur.uv(2 ** 32 - 1), cur.uv(2 ** 32 - 1))
        end = cur.at
    return cur.data[start:end]


def read_entry(cur, before, names, table):
    entry = Entry()
    shared = cur.uv(len(before))
    entry.path = before[:shared] + cur.bytes(PATH_MAX)
    check_path(entry.path)
    start = cur.at
    entry.type = cur.u8()
    need(REGULAR <= entry.type <= BLOCKDEV, "unknown entry type")
    entry.mode, entry.uid, entry.gid = cur.uv(0o7777), cur.uv(2 ** 32 - 1), cur.uv(2 ** 32 - 1)
    head = cur.data[start:cur.at]
    entry.uname, entry.gname = names[cur.uv(len(names) - 1)], names[cur.uv(len(names) - 1)]
    entry.mtime = cur.sv() * 10 ** 9 + cur.uv(10 ** 9 - 1)
    seconds, nanos = divmod(entry.mtime, 10 ** 9)
    flags = cur.uv(63)
    need(not flags & 32 or entry.type == REGULAR, "a segment tree without a regular file")
    optional = read_optional(cur, entry, flags)
    content = read_content(cur, entry, flags, table)
    entry.portable = b"".join([with_length(entry.path), head, with_length(entry.uname), with_length(entry.gname), sv(seconds), uv(nanos),
                               uv(flags & ~32), optional, content])
    return entry


def read_leaf(vault, ref):
    """(entries, portable digest)"""
    cur = Cursor(vault.blob(ref, LEAF), "leaf page")
    need(cur.u8() == 1, "leaf page: unknown version")
    table = read_table(cur, ref[0])
    names = [b""] + [cur.bytes() for _ in range(cur.uv(len(cur.data)))]
    entries, path, found = [], b"", set()
    for number in range(cur.uv(1024)):
        entry = read_entry(cur, path, names, table)
        need(number == 0 or order(path) < order(entry.path), "leaf page: paths do not ascend")
        need(number == 0 or path_hash(entry.path) % 64, "leaf page: an entry that should begin a page of its own")
        path = entry.path
        entries.append(entry)
        found |= places(entry.extents) | ({entry.segments} if entry.segments else set())
    cur.end()
    vault.check_references(ref, found)
    return entries, H(b"leaf", *(entry.portable for entry in entries))


Child = collections.namedtuple("Child", "path ref digest entries content")


def read_node(vault, ref):
    cur = Cursor(vault.blob(ref, NODE), "node page")
    need(cur.u8() == 1, "node page: unknown version")
    level, table = cur.u8(), read_table(cur, ref[0])
    need(1 <= level <= 32, "node page: impossible level")
    children = [Child(cur.bytes(PATH_MAX), read_ref(cur, table), cur.take(32), cur.uv(), cur.uv()) for _ in range(cur.uv(1024))]
    cur.end()
    need(children, "node page: without children")
    for before, child in zip(children, children[1:]):
        need(order(before.path) < order(child.path), "node page: paths do not ascend")
        need(level > 10 or path_hash(child.path) >> 6 * level & 63, "node page: a child that should begin a node of its own")
    vault.check_references(ref, {child.ref for child in children})
    return level, children, H(b"node", bytes([level]), *(child.digest for child in children))


def walk(vault, ref, is_leaf, want=None):
    """All entries below a page; raises Damaged unless its portable digest is the wanted one."""
    if is_leaf:
        entries, digest = read_leaf(vault, ref)
        need(digest == want.digest, "leaf page: its portable digest is wrong")
        need(want.entries in (None, len(entries)), "leaf page: it has other entries than its parent says")
        need(want.path is None or not entries or entries[0].path == want.path, "leaf page: it begins with another path")
        yield from entries
        return
    level, children, digest = read_node(vault, ref)
    need(digest == want.digest, "node page: its portable digest is wrong")
    need(want.entries in (None, sum(child.entries for child in children)), "node page: it has other entries than its parent says")
    for child in children:
        yield from walk(vault, child.ref, level == 1, child)


# --- contents ----------------------------------------------------------------------------------------------------


def read_map(vault, ref, kind):
    cur = Cursor(vault.blob(ref, kind), "segment map")
    need(cur.u8() == 1, "segment map: unknown version")
    return cur, read_table(cur, ref[0])


def resolve(vault, base, overlays, length):
    cur, table = read_map(vault, base, BASE)
    extents = read_extents(cur, table)
    cur.end()
    vault.check_references(base, places(extents))
    for overlay in overlays:
        cur, table = read_map(vault, overlay, OVERLAY)
        at, found, out = 0, set(), []
        for _ in range(cur.uv(len(cur.data))):
            start = at + cur.uv()
            need(start <= max(total(extents), at), "segment map: a part of the segment is nowhere")
            run = read_extents(cur, table)
            need(run, "segment map: an empty run")
            found |= places(run)
            out += cut(extents, at, start) + run
            at = start + total(run)
        cur.end()
        vault.check_references(overlay, found)
        extents = out + cut(extents, at, max(total(extents), at))
    need(total(extents) >= length, "segment map: it is shorter than the segment")
    return cut(extents, 0, length)


def segments_below(vault, ref, want_level=None):
    """(digest, length, base, overlays) of each segment in order"""
    cur = Cursor(vault.blob(ref, SEGNODE), "segment tree")
    need(cur.u8() == 1, "segment tree: unknown version")
    level, table = cur.u8(), read_table(cur, ref[0])
    need(level < 8 and want_level in (None, level), "segment tree: impossible level")
    out, found = [], set()
    count = cur.uv(256)
    need(count, "segment tree: a node without children")
    for _ in range(count):
        if level == 0:
            digest, length, base = cur.take(32), cur.uv(2 ** 32 - 1), read_ref(cur, table)
            overlays = [read_ref(cur, table) for _ in range(cur.uv(3))]
            out.append((digest, length, base, overlays))
            found |= {base, *overlays}
        else:
            child, below = read_ref(cur, table), cur.uv()
            rows = segments_below(vault, child, level - 1)
            need(len(rows) == below, "segment tree: a node has other segments than its parent says")
            out += rows
            found.add(child)
    cur.end()
    vault.check_references(ref, found)
    return out


def segment_digest(pieces):
    """Over the 32 KiB leaves of the pieces."""
    digest, rest = hashlib.sha256(b"\1"), b""
    for piece in pieces:
        rest += piece
        while len(rest) >= LEAF_BYTES:
            digest.update(H(rest[:LEAF_BYTES]))
            rest = rest[LEAF_BYTES:]
    if rest:
        digest.update(H(rest))
    return digest.digest()


def pieces_of(vault, extents, write):
    """The bytes of a list, in pieces, each also handed to write (None: a hole)."""
    for ref, offset, length in extents:
        if ref is None:
            write(None, length)
            while length:
                yield bytes(min(length, DATA_MAX))
                length -= min(length, DATA_MAX)
            continue
        data = vault.blob(ref, DATA)
        need(offset + length <= len(data), "an extent leaves its blob")
        write(data[offset:offset + length], length)
        yield data[offset:offset + length]


def restore_content(vault, entry, segment_bytes, write):
    parts = []
    if entry.segments:
        for digest, length, base, overlays in segments_below(vault, entry.segments):
            parts.append((digest, resolve(vault, base, overlays, length), length))
        lengths = [length for _digest, _extents, length in parts]
        need(all(length == segment_bytes for length in lengths[:-1]) and 0 < lengths[-1] <= segment_bytes and sum(lengths) == entry.size,
             "segments do not make up a file's size")
    elif entry.size:
        need(entry.size <= segment_bytes, "a file of many segments without a segment tree")
        parts.append((None, entry.extents, entry.size))
    digests = []
    for digest, extents, _length in parts:
        digests.append(segment_digest(pieces_of(vault, extents, write)))
        need(digest in (None, digests[-1]), "a segment's digest is wrong")
    need(H(b"\2", struct.pack("<Q", entry.size), *digests) == entry.content, "a file's content digest is wrong")


# --- restoring ---------------------------------------------------------------------------------------------------


class Restorer:
    def __init__(self, vault, point, target):
        self.vault, self.point, self.target = vault, point, os.fsencode(target)
        self.links, self.folders, self.symlinks, self.refused = {}, [], set(), []

    def place(self, path):
        """Where an entry goes; nothing is ever made through a restored symlink."""
        at = path
        while b"/" in at:
            at = at.rpartition(b"/")[0]
            need(at not in self.symlinks, "an entry below a symlink")
        return os.path.join(self.target, path) if path else self.target

    def entry(self, entry):
        place = self.place(entry.path)
        os.makedirs(os.path.dirname(place) or b".", exist_ok=True)
        if entry.group and entry.group in self.links:
            os.link(self.links[entry.group], place, follow_symlinks=False)
            return
        if entry.type == REGULAR:
            self.regular(entry, place)
        elif entry.type == DIRECTORY:
            os.makedirs(place, exist_ok=True)
            self.folders.append((place, entry))
        elif entry.type == SYMLINK:
            os.symlink(entry.target, place)
            self.symlinks.add(entry.path)
        elif not self.special(entry, place):
            return
        if entry.group:
            self.links[entry.group] = place
        if entry.type != DIRECTORY:
            self.metadata(place, entry)

    def regular(self, entry, place):
        with open(place, "xb") as file:
            def write(data, length):
                if data is None:
                    file.seek(length, os.SEEK_CUR)
                else:
                    file.write(data)

            restore_content(self.vault, entry, self.point.segment_bytes, write)
            file.truncate(entry.size)

    def special(self, entry, place):
        kinds = {FIFO: stat.S_IFIFO, CHARDEV: stat.S_IFCHR, BLOCKDEV: stat.S_IFBLK}
        return self.attempt(entry, "node", lambda: os.mknod(place, kinds[entry.type] | 0o600, os.makedev(*entry.device)))

    def attempt(self, entry, what, act):
        try:
            act()
            return True
        except OSError as fault:
            self.refused.append(f"{os.fsdecode(entry.path)}: {what}: {fault.strerror}")
            return False

    def metadata(self, place, entry):
        if os.geteuid() == 0:
            self.attempt(entry, "owner", lambda: os.chown(place, entry.uid, entry.gid, follow_symlinks=False))
        if entry.type != SYMLINK:
            self.attempt(entry, "mode", lambda: os.chmod(place, entry.mode))
        for name, value in entry.xattrs:
            self.attempt(entry, os.fsdecode(name), lambda n=name, v=value: os.setxattr(place, n, v, follow_symlinks=False))
        self.attempt(entry, "mtime", lambda: os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False))

    def finish(self):
        for place, entry in reversed(self.folders):
            self.metadata(place, entry)


def read_point(vault, point, target):
    """Walks, checks and, with a target, restores. Returns the number of entries."""
    name, blob = point.root
    for pack, footer, length in point.packs:
        opened = vault.pack(pack)
        need(opened.footer_digest == footer, f"{opened.what}: not the pack that the point names")
        need(opened.file.size == length, f"{opened.what}: not as long as the point says")
    blobs = vault.pack(name).blobs
    need(blob < len(blobs) and blobs[blob].type in (LEAF, NODE), "the root of the point is no page")
    restorer = Restorer(vault, point, target) if target else None
    count = 0
    for entry in walk(vault, point.root, blobs[blob].type == LEAF, Child(None, None, point.tree, None, None)):
        count += 1
        try:
            if restorer:
                restorer.entry(entry)
            elif entry.type == REGULAR:
                restore_content(vault, entry, point.segment_bytes, lambda data, length: None)
        except Damaged as fault:
            raise Damaged(f"{os.fsdecode(entry.path)}: {fault}") from None
    need(count == point.entries, "the point has another number of entries than it says")
    if restorer:
        restorer.finish()
        for line in restorer.refused:
            print(f"not applied: {line}", file=sys.stderr)
    return count


# --- the command -------------------------------------------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(description="Lists, checks and restores points of a twinkeep vault, independently of twinkeep.")
    parser.add_argument("vault")
    parser.add_argument("--passphrase-file", metavar="FILE", help="one line: the passphrase")
    parser.add_argument("--machine-key", metavar="FILE", help="the 32 bytes of a machine's key file")
    parser.add_argument("--list", action="store_true", help="list the points and stop")
    parser.add_argument("--domain", metavar="HEX", default="", help="only domains that begin so")
    parser.add_argument("--point", metavar="PREFIX", help="the point whose id begins so (default: the last)")
    parser.add_argument("--target", metavar="DIR", help="restore into DIR (empty or not there yet); else the point is only checked")
    arguments = parser.parse_args()
    if not arguments.passphrase_file and not arguments.machine_key:
        parser.error("--passphrase-file or --machine-key is needed")
    return arguments


def run(arguments):
    passphrase = read_file(arguments.passphrase_file).rstrip(b"\r\n") if arguments.passphrase_file else None
    vault = Vault(arguments.vault)
    vault.unlock(passphrase, read_file(arguments.machine_key) if arguments.machine_key else None)
    points = []
    for domain in vault.domains():
        if domain.startswith(arguments.domain) and bytes.fromhex(domain) in vault.ring.domains:
            for point, complete in vault.trusted_points(domain):
                point.open_body(vault.ring)
                points.append((point, complete))
    if arguments.list:
        for point, complete in points:
            print(point.id.hex(), point.domain.hex(), point.epoch, point.sequence, os.fsdecode(point.dataset_name), point.entries,
                  point.total_bytes, "complete" if complete else "incomplete")
        return
    chosen = [point for point, complete in points if point.id.hex().startswith(arguments.point or "") and (complete or arguments.point)]
    need(chosen, "no such point")
    need(not arguments.point or len(chosen) == 1, "more than one point begins so")
    point = max(chosen, key=lambda one: (one.epoch, one.sequence))
    if arguments.target:
        os.makedirs(arguments.target, exist_ok=True)
        need(not os.listdir(arguments.target), "the target is not empty")
    count = read_point(vault, point, arguments.target)
    print(f"point {point.id.hex()}: {count} entries, tree digest {point.tree.hex()}: all digests are right")


def main():
    try:
        run(parse_arguments())
    except Damaged as fault:
        print(f"damaged: {fault}", file=sys.stderr)
        return 5
    except WrongKey as fault:
        print(f"wrong key: {fault}", file=sys.stderr)
        return 8
    return 0


if __name__ == "__main__":
    sys.exit(main())
