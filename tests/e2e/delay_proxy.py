#!/usr/bin/env python3
"""delay_proxy.py [--delay-ms N] [--rate BYTES] [--listen HOST:PORT] HOST:PORT COUNTS

A long link: connections to HOST:PORT whose bytes arrive N ms later in each direction (so a round trip costs 2 N), and all together at no more than BYTES a second in each direction.
Bytes keep their order, and each side is closed when the other was, as late. Prints the address it listens on, then serves until it is killed.

COUNTS is a JSON file, written anew (atomically) when a connection begins or ends, and ten times a second while there is one: "open" and "connections"; "up_bytes" from clients and "down_bytes" to them;
"waits": how often a client sent something after it had an answer, and while nothing at all was under way on the link. Before that a round trip had passed which nothing else filled.
"""
import argparse
import asyncio
import collections
import json
import os

# A connection holds no more than this under way, in each direction: 8 times what 100 Mbit/s and 100 ms need.
HELD_MAX = 10 << 20
# How long bytes queue for the rate before the link's end is made to wait.
QUEUE_S = 0.05


class Line:
    """One direction of the link: says when bytes that were sent now have arrived."""

    def __init__(self, delay_s, rate):
        self.delay_s, self.rate, self.free_at = delay_s, rate, 0.0

    def arrival(self, now, count):
        if not self.rate:
            return now + self.delay_s
        self.free_at = max(self.free_at, now) + count / self.rate
        return self.free_at + self.delay_s

    def backlog_s(self, now):
        return self.free_at - now if self.rate else 0


class End(asyncio.Protocol):
    """One end of a connection: what it receives goes, later, to the other end."""

    def __init__(self, link, line, is_client):
        self.link, self.line, self.is_client = link, line, is_client
        self.loop = asyncio.get_running_loop()
        self.transport = self.peer = self.timer = None
        self.under_way = collections.deque()
        self.held = 0
        self.peer_full = self.gone = self.answered = self.told_end = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.is_client:
            self.link.counts["up_bytes"] += len(data)
            if self.answered and not self.link.under_way:
                self.link.counts["waits"] += 1
            self.answered = False
        else:
            self.link.counts["down_bytes"] += len(data)
        self.send_on(data)

    def eof_received(self):
        self.send_on(None)
        return True

    def connection_lost(self, exc):
        self.gone = True
        # What was sent before still arrives; then the peer learns of the end.
        self.send_on(exc or False)

    def send_on(self, item):
        now = self.loop.time()
        size = len(item) if isinstance(item, bytes) else 0
        self.held += size
        self.under_way.append((self.line.arrival(now, size), item))
        self.link.under_way += 1
        if size and (self.held > HELD_MAX or self.line.backlog_s(now) > QUEUE_S):
            self.transport.pause_reading()
        self.arm()

    def arm(self):
        if self.under_way and not self.timer and not self.peer_full:
            self.timer = self.loop.call_at(self.under_way[0][0], self.deliver)

    def deliver(self):
        self.timer = None
        now = self.loop.time()
        while self.under_way and self.under_way[0][0] <= now and not self.peer_full:
            item = self.under_way.popleft()[1]
            self.link.under_way -= 1
            if isinstance(item, bytes):
                self.held -= len(item)
                if not self.peer.gone:
                    self.peer.transport.write(item)
                self.peer.answered = True
            elif not self.peer.gone:
                self.end_peer(item)
        if not self.gone and self.held <= HELD_MAX and self.line.backlog_s(now) <= QUEUE_S:
            self.transport.resume_reading()
        elif not self.gone and not self.under_way:
            self.loop.call_later(QUEUE_S / 4, self.deliver)
        self.arm()
        if self.gone and not self.under_way:
            self.link.end_gone(self)

    def end_peer(self, item):
        if item is None and not self.peer.told_end:
            self.told_end = True
            try:
                self.peer.transport.write_eof()
            except OSError:
                # Gone meanwhile, which its own end tells soon.
                pass
        elif item is None:
            self.peer.transport.close()
            self.transport.close()
        elif item is False:
            self.peer.transport.close()
        else:
            self.peer.transport.abort()

    # Of what was written to this end: the other one's bytes wait.
    def pause_writing(self):
        self.peer.peer_full = True

    def resume_writing(self):
        self.peer.peer_full = False
        self.peer.arm()


class Link:
    def __init__(self, options):
        host, port = options.to.rsplit(":", 1)
        self.options, self.to = options, (host.strip("[]"), int(port))
        rate = options.rate
        self.up, self.down = Line(options.delay_ms / 1000, rate), Line(options.delay_ms / 1000, rate)
        self.counts = {"open": 0, "connections": 0, "up_bytes": 0, "down_bytes": 0, "waits": 0}
        self.under_way = 0
        self.ended = set()

    def tell(self):
        path = self.options.counts
        with open(path + ".new", "w") as out:
            json.dump(self.counts, out)
        os.rename(path + ".new", path)

    async def accepted(self, client):
        """A connection takes a round trip to be made."""
        self.counts["open"] += 1
        self.counts["connections"] += 1
        self.tell()
        try:
            _, server = await asyncio.get_running_loop().create_connection(lambda: End(self, self.down, False), *self.to)
        except OSError:
            client.transport.abort()
            self.counts["open"] -= 1
            self.tell()
            return
        client.peer, server.peer = server, client
        await asyncio.sleep(2 * self.options.delay_ms / 1000)
        client.transport.resume_reading()

    def end_gone(self, end):
        self.ended.add(end)
        if end.peer in self.ended:
            self.ended -= {end, end.peer}
            self.counts["open"] -= 1
            self.tell()


class Client(End):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()
        self.begin = asyncio.ensure_future(self.link.accepted(self))

    def connection_lost(self, exc):
        if self.peer:
            super().connection_lost(exc)


async def tell_on(link):
    while True:
        await asyncio.sleep(0.1)
        if link.counts["open"]:
            link.tell()


async def serve(options):
    link = Link(options)
    host, port = options.listen.rsplit(":", 1)
    server = await asyncio.get_running_loop().create_server(lambda: Client(link, link.up, True), host.strip("[]"), int(port))
    link.tell()
    print("%s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    telling = asyncio.ensure_future(tell_on(link))
    await server.serve_forever()
    telling.cancel()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("to")
    parser.add_argument("counts")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
