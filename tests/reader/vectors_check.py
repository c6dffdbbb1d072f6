#!/usr/bin/env python3
"""The independent reader reads the test vectors of the format (tests/golden/vectors.txt), which the engine's tests write byte for byte."""
import os
import sys
import tempfile

import twinkeep_reader as reader

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def filled(byte, count):
    return bytes([byte]) * count


def main():
    with open(os.path.join(TOP, "tests/golden/vectors.txt"), encoding="ascii") as file:
        rows = dict(line.split() for line in file if line.strip() and not line.startswith("#"))
    vector = {name: bytes.fromhex(text) for name, text in rows.items() if all(c in "0123456789abcdef" for c in text)}

    assert reader.H(b"\2", bytes(8)) == vector["content-digest-empty"]
    one = reader.segment_digest([b"twin", b"keep"])
    assert reader.H(b"\2", (8).to_bytes(8, "little"), one) == vector["content-digest-twinkeep"]

    ring = reader.open_slot(vector["slot-machine"], None, filled(0x0C, 32))
    assert ring.source == filled(1, 16) and ring.data_key(filled(5, 16), 1) == filled(8, 32)
    again = reader.open_slot(vector["slot-passphrase"], b"correct horse battery staple", None)
    assert again.domains == ring.domains
    for wrong in (lambda: reader.open_slot(vector["slot-machine"], None, filled(0x0D, 32)),
                  lambda: reader.open_slot(vector["slot-passphrase"], b"correct horse", None)):
        try:
            wrong()
        except reader.WrongKey:
            continue
        raise AssertionError("a wrong secret opened a slot")

    genesis, grant = reader.Genesis(vector["genesis"]), reader.Grant(vector["grant"])
    assert genesis.domain == grant.domain == filled(5, 16) and grant.signer_key == genesis.operator_key
    reader.Vote(vector["vote"])
    reader.Receipt(vector["receipt"])
    assert [type(mark).__name__ for mark in reader.read_marks(vector["marks"])] == ["Vote", "Receipt"]
    point = reader.Point(vector["point"])
    assert point.id == vector["point-id"]
    point.open_body(ring)

    for suite in ("aes", "chacha"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(vector[f"pack-{suite}"])
            file.flush()
            pack = reader.Pack(reader.PackFile(file.name), filled(9, 32), ring)
            assert pack.read(0, reader.DATA) == b"twinkeep"

    for name, kind in (("genesis", reader.Genesis), ("grant", reader.Grant), ("vote", reader.Vote), ("receipt", reader.Receipt),
                       ("point", reader.Point)):
        for at in range(0, len(vector[name]), 3):
            damaged = bytearray(vector[name])
            damaged[at] ^= 0x10
            try:
                kind(bytes(damaged))
            except reader.Damaged:
                continue
            raise AssertionError(f"{name}: a change at byte {at} was not seen")
    print("all vectors read")


sys.exit(main())
