/** Peers that lie, stall or flood (fault catalogue 50, 70, 75–78): bounded, dropped, logged, and the others do not notice. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Connection, Stream } from "@libp2p/interface";
import { encodeHello, decodeHello } from "../src/hello.ts";
import { CLIENT_PROTOCOL, REPLICA_PROTOCOL } from "../src/index.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { clusterOf, freePorts, seedOf } from "./cluster.ts";
import { id, numbered } from "./frames.ts";
import { closed, fixture, framed, framedHello, helloFrom, received, strangerSeed } from "./real.ts";

const net = fixture();

const uncaught: unknown[] = [];
const note = (problem: unknown): void => void uncaught.push(problem);
beforeEach(() => {
  uncaught.length = 0;
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
});
afterEach(() => {
  process.off("unhandledRejection", note);
  process.off("uncaughtException", note);
  expect(uncaught).toEqual([]);
});

function muxHeader(type: number, flags: number, stream: number, length: number): Uint8Array {
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint8(1, type);
  view.setUint16(2, flags);
  view.setUint32(4, stream);
  view.setUint32(8, length);
  return header;
}

/** Writes below the streams, straight into the encrypted connection. */
function muxSend(connection: Connection, bytes: Uint8Array): void {
  const muxer = Reflect.get(connection, "muxer") as { send(bytes: Uint8Array): boolean };
  muxer.send(bytes);
}

describe("a hostile peer", () => {
  it("that announces a frame above the cap is dropped, nothing is allocated, and the replica lives", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const { transport, log, probe } = await net.replica(cluster, 0);
    const member = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    const gone = closed(member.connection);
    const hello = received(member.stream, 4);
    member.stream.send(framedHello("replica", 1));
    await hello;
    const before = process.memoryUsage().arrayBuffers;
    member.stream.send(new Uint8Array([0x7f, 0xff, 0xff, 0xff, 1, 2, 3]));
    await gone;
    await log.untilLine(/replica 1 closed its connection: announced a frame of 2147483647 bytes, the cap is 33554432/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 << 20);

    const client = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
    client.stream.send(framedHello("client"));
    client.stream.send(framed(numbered(5)));
    await probe.until("a client's frame", () => probe.clientFrames.length === 1);
    const clientGone = closed(client.connection);
    client.stream.send(new Uint8Array([0x00, 0x80, 0x00, 0x01])); // 8 MiB + 1
    await clientGone;
    await log.untilLine(/client .* left: announced a frame of 8388609 bytes, the cap is 8388608/);
    await probe.until("the client's end", () => probe.gone.length === 1);

    await net.replica(cluster, 1);
    await probe.untilConnected(id(1));
    expect(transport.peers()[0]?.connected).toBe(true);
  });

  it("that sends a byte now and then is dropped when its frame is overdue; a silent one too", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { log } = await net.replica(cluster, 0, { limits: { frameMs: 750, handshakeMs: 1_500, pingMs: 300, silenceMs: 1_500 } });
    const slow = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
    const slowGone = closed(slow.connection);
    slow.stream.send(framedHello("client"));
    // four zero bytes are a ping: a header that promises one byte more than ever comes, before any of them
    slow.stream.send(new Uint8Array([0, 0, 0x10, 0]));
    const drip = setInterval(() => slow.stream.status === "open" && slow.stream.send(new Uint8Array([0])), 100);
    const quiet = await net.raw(cluster, 0, strangerSeed(2), CLIENT_PROTOCOL);
    const quietGone = closed(quiet.connection);
    quiet.stream.send(framedHello("client"));
    const mute = await net.raw(cluster, 0, strangerSeed(3), CLIENT_PROTOCOL);
    const muteGone = closed(mute.connection);
    const idle = await net.dial(cluster, 0, strangerSeed(4));
    const idleGone = closed(idle.connection);
    await Promise.all([slowGone, quietGone, muteGone, idleGone]);
    clearInterval(drip);
    await log.untilLine(/client .* left: a frame was still incomplete after 750 ms/);
    await log.untilLine(/client .* left: silent for 1\.5 s/);
    await log.untilLine(/refused client .*: no complete handshake within 1500 ms/);
    await log.untilLine(/refused .*: opened no stream within 3000 ms/);
  });

  it("that opens stream after stream, or announces a huge muxer frame, is dropped before its bytes are buffered", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { log, transport } = await net.replica(cluster, 0);
    const many = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
    const manyGone = closed(many.connection);
    for (let stream = 3; stream <= 9; stream += 2) muxSend(many.connection, muxHeader(1, 1, stream, 0));
    await manyGone;
    await log.untilLine(/refused a connection that opened more than 4 streams on one connection/);

    const huge = await net.raw(cluster, 0, strangerSeed(2), CLIENT_PROTOCOL);
    const hugeGone = closed(huge.connection);
    muxSend(huge.connection, muxHeader(0, 0, 1, 0xffff_fff0));
    await hugeGone;
    await log.untilLine(/refused a connection that announced a muxer frame of 4294967280 bytes, the cap is 1048576/);
    expect(transport.clients().connections).toBe(0);
  });

  it("that breaks the muxer's rules on a connection in use ends that connection only", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { transport, probe } = await net.replica(cluster, 0);
    const beyondWindow = new Uint8Array(12 + 300_000); // yamux grants 256 KiB
    beyondWindow.set(muxHeader(0, 0, 1, 300_000));
    const unknownType = [muxHeader(9, 0, 1, 0), muxHeader(9, 0, 0, 0)];
    const unknownVersion = new Uint8Array(12).fill(1);
    const [unaskedPong, goAway] = [muxHeader(2, 2, 0, 77), muxHeader(3, 0, 0, 1)];
    for (const bytes of [...unknownType, unknownVersion, unaskedPong, goAway, beyondWindow]) {
      const peer = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
      const gone = closed(peer.connection);
      peer.stream.send(framedHello("client"));
      peer.stream.send(framed(numbered(1)));
      await probe.until("a frame", () => probe.clientFrames.length > probe.gone.length);
      muxSend(peer.connection, bytes);
      await gone;
      await probe.until("the client's end", () => probe.clientFrames.length === probe.gone.length);
    }
    expect(transport.clients().connections).toBe(0);
  });

  it("that is a member may hold a few connections: the newest replaces the one it sent on, the oldest gives way", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const { probe, log } = await net.replica(cluster, 0);
    const first = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    first.stream.send(framedHello("replica", 1));
    first.stream.send(framed(numbered(1)));
    await probe.until("a frame", () => probe.frames.length === 1);
    const second = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    const replaced = closed(first.connection);
    second.stream.send(framedHello("replica", 1, { instance: "22".repeat(16) }));
    await replaced;
    await log.untilLine(/replica 1 closed its connection: replaced by a newer connection/);
    second.stream.send(framed(numbered(2)));
    await probe.until("a frame", () => probe.frames.length === 2);

    const evicted = closed(second.connection);
    for (let i = 0; i < 4; i++) await net.dial(cluster, 0, seedOf(1));
    await evicted;
    await log.untilLine(/refused .*: replica 1 holds more than 4 connections/);
    expect(probe.transitions).toEqual([]); // nobody listens at replica 1's address: it was never usable
  });

  it("that runs twice with one key is told, once, by the random numbers of its processes (row 85); a restart is not", async () => {
    const cluster = await clusterOf(await freePorts(4));
    const { log } = await net.replica(cluster, 0);
    const show = async (instance: string): Promise<void> => {
      const { stream } = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
      const answered = received(stream, 4);
      stream.send(framedHello("replica", 1, { instance: instance.repeat(16) }));
      await answered;
    };
    for (const instance of ["11", "22", "33", "44"]) await show(instance); // restarts
    const told = (): number => log.lines.filter((line) => /two live processes use the key of replica 1/.test(line)).length;
    expect(told()).toBe(0);
    for (let i = 0; i < 3; i++) for (const instance of ["aa", "bb"]) await show(instance);
    expect(told()).toBe(1);
  });

  it("that sends messages on the connection we send on is dropped", async () => {
    const cluster = await clusterOf(await freePorts(2));
    let stream: Stream | undefined;
    await net.rawReplica(cluster, 1, REPLICA_PROTOCOL, (opened) => {
      stream = opened;
      opened.send(framedHello("replica", 1));
    });
    const { log, probe } = await net.replica(cluster, 0);
    const peer = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    peer.stream.send(framedHello("replica", 1));
    await probe.untilConnected(id(1));
    stream?.send(framed(numbered(1)));
    await probe.until("the loss", () => !probe.connected.has(id(1)));
    expect(probe.frames).toEqual([]);
    await log.untilLine(/cannot reach replica 1: announced a frame of 8 bytes, the cap is 0/);
  });

  it("that opens a stream on the connection we opened to it is dropped", async () => {
    const cluster = await clusterOf(await freePorts(2));
    await net.rawReplica(cluster, 1, REPLICA_PROTOCOL, (stream, connection) => {
      stream.send(framedHello("replica", 1));
      connection.newStream(REPLICA_PROTOCOL).catch(() => undefined);
    });
    const { log, probe } = await net.replica(cluster, 0);
    await log.untilLine(/refused .*: opened a second stream, or one on a connection of ours/);
    expect(probe.transitions).toEqual([]);
  });

  it("that floods muxer pings and reads no answer is dropped with a bounded backlog", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { log } = await net.replica(cluster, 0);
    const { connection } = await net.dial(cluster, 0, strangerSeed(1));
    const gone = closed(connection);
    const maConn = Reflect.get(connection, "maConn") as object;
    (Reflect.get(maConn, "socket") as { pause(): void }).pause();
    const pings = new Uint8Array(12 * 4_000);
    for (let at = 0; at < pings.length; at += 12) pings.set(muxHeader(2, 1, 0, at), at);
    const flood = setInterval(() => {
      try {
        for (let i = 0; i < 4; i++) muxSend(connection, pings);
      } catch {
        clearInterval(flood);
      }
    }, 1);
    await log.untilLine(/refused a connection that does not read: \d+ bytes of replies wait/);
    clearInterval(flood);
    connection.abort(new Error("done"));
    await gone;
  });

  it("that speaks no libp2p at all, or hangs up at any point, harms nobody", async () => {
    const [port = 0] = await freePorts(1);
    const cluster = await clusterOf([port]);
    const { probe } = await net.replica(cluster, 0);
    const openings = [
      "GET / HTTP/1.1\r\n\r\n",
      "\x13/multistream/1.0.0\n",
      "\x13/multistream/1.0.0\n\x07/noise\n",
      "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20" + "a".repeat(32),
      "\x13/multistream/1.0.0\n\x07/noise\n\xff\xff",
      "\xff".repeat(70_000),
      "",
    ];
    for (const opening of openings) {
      for (const end of ["end", "resetAndDestroy"] as const) {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => undefined);
        await once(socket, "connect");
        socket.write(Buffer.from(opening, "latin1"), () => socket[end]());
        socket.resume();
        await once(socket, "close");
      }
    }
    const client = await net.client(cluster);
    await client.probe.untilConnected(id(0));
    client.transport.send(id(0), numbered(1));
    await probe.until("a frame", () => probe.clientFrames.length === 1);
  });

  it("garbage and half a handshake are refused by name", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { log } = await net.replica(cluster, 0);
    const cases: [Uint8Array, RegExp][] = [
      [framed(new Uint8Array(40)), /refused client .*: handshake: magic number/],
      [framed(encodeHello(helloFrom("client")).subarray(0, 50)), /refused client .*: handshake: 50 bytes are too few/],
      [framed(new Uint8Array(129)), /refused client .*: announced a frame of 129 bytes, the cap is 128/],
      [framedHello("client", undefined, { version: 2 }), /refused client .*: handshake: protocol version is 2, here 1/],
      [framedHello("client", undefined, { signatureSuite: "rsa" }), /refused client .*: handshake: signature suite is rsa, here ed25519-strict/],
      [framedHello("client", undefined, { epoch: 9 }), /refused client .*: handshake: epoch is 9, here 0/],
      [framedHello("client", 3), /refused client .*: handshake: replica id is 3, here absent/],
      [framedHello("replica", 0), /refused client .*: handshake: role is replica, here client/],
    ];
    for (const [bytes, line] of cases) {
      const peer = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
      const gone = closed(peer.connection);
      peer.stream.send(bytes);
      await gone;
      await log.untilLine(line);
    }
  });

  it("a refused peer is told what this side holds", async () => {
    const cluster = await clusterOf(await freePorts(4));
    await net.replica(cluster, 0);
    const peer = await net.raw(cluster, 0, seedOf(2), REPLICA_PROTOCOL);
    const answer = received(peer.stream, 4 + encodeHello(helloFrom("replica", 0)).length);
    peer.stream.send(framedHello("replica", 3)); // the key is replica 2's
    const decoded = decodeHello((await answer).subarray(4));
    expect(decoded.ok && decoded.hello).toMatchObject({ role: "replica", replica: 0, epoch: 0 });
  });
});
