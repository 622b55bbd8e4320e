/** Peers that do not read, and too many clients: queues and counts stay within their limits (fault catalogue 50, 70, 75). */
import type { Stream } from "@libp2p/interface";
import { describe, expect, it } from "vitest";
import { FrameReader } from "../src/frame-reader.ts";
import { CLIENT_PROTOCOL, REPLICA_PROTOCOL } from "../src/index.ts";
import { clusterOf, freePorts, seedOf } from "./cluster.ts";
import { id, numbered, numberOf } from "./frames.ts";
import { Watch } from "./probe.ts";
import { closed, fixture, framed, framedHello, strangerSeed, type RawPeer } from "./real.ts";

const net = fixture();
const KIB = 1 << 10;

/** Reads frames off a raw stream; pings are dropped. */
class RawReader extends Watch {
  readonly frames: Uint8Array[] = [];

  constructor(stream: Stream) {
    super();
    const reader = new FrameReader(64 << 20);
    stream.addEventListener("message", ({ data }) => {
      reader.push(data.subarray(), 0, (frame) => frame.length > 0 && this.frames.push(frame));
      this.changed();
    });
  }
}

/** Sends numbered frames of 16 KiB until one is refused; returns how many were taken. */
function fill(send: (frame: Uint8Array) => boolean, from = 0): number {
  let n = from;
  while (send(numbered(n, 16 * KIB))) n += 1;
  return n - from;
}

async function rawClient(cluster: Awaited<ReturnType<typeof clusterOf>>, n: number): Promise<RawPeer & { reader: RawReader }> {
  const peer = await net.raw(cluster, 0, strangerSeed(n), CLIENT_PROTOCOL);
  const reader = new RawReader(peer.stream);
  peer.stream.send(framedHello("client"));
  await reader.until("the handshake", () => reader.frames.length === 1);
  return { ...peer, reader };
}

describe("a peer that does not read", () => {
  it("costs its queue and no more: new frames are dropped and counted, the others arrive once it reads", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const watch = new Watch();
    let peer: { stream: Stream; reader: RawReader } | undefined;
    await net.rawReplica(cluster, 1, REPLICA_PROTOCOL, (stream) => {
      peer = { stream, reader: new RawReader(stream) };
      stream.send(framedHello("replica", 1));
      watch.changed();
    });
    const queueBytes = 512 * KIB;
    const { transport, probe } = await net.replica(cluster, 0, { limits: { replicaFrameBytesMax: 64 * KIB, replicaQueueBytesMax: queueBytes } });
    await watch.until("a stream", () => peer !== undefined);
    const { stream, reader } = peer ?? expect.fail();
    await reader.until("the handshake", () => reader.frames.length === 1);
    const state = (): NonNullable<ReturnType<typeof transport.peers>[0]> => transport.peers()[0] ?? expect.fail();
    const back = await net.raw(cluster, 0, seedOf(1), REPLICA_PROTOCOL);
    back.stream.send(framedHello("replica", 1));
    await probe.untilConnected(id(1));
    stream.pause();

    // what yamux's window takes leaves the queue; go on until nothing more is taken for a while
    let taken = 0;
    let before = -1;
    while (state().bytesSent !== before) {
      before = state().bytesSent;
      taken += fill((frame) => transport.send(id(1), frame), taken);
      expect(state().queuedBytes).toBeLessThanOrEqual(queueBytes);
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    const { dropped } = state();
    expect(dropped).toBeGreaterThan(0);
    expect(state().queuedBytes).toBeGreaterThan(queueBytes - 17 * KIB);
    expect(taken * 16 * KIB).toBeLessThan(queueBytes + 1_024 * KIB); // the window and one chunk, not all we wanted to send

    stream.resume();
    await reader.until(`${taken} frames`, () => reader.frames.length === taken + 1);
    expect(reader.frames.slice(1).map(numberOf)).toEqual(Array.from({ length: taken }, (_, n) => n));
    expect(state()).toMatchObject({ queuedBytes: 0, dropped, framesSent: taken });
  });

  it("but opens its window by a few bytes again and again costs no more than one that does not: what it has not taken stays in the queue", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { probe, transport } = await net.replica(cluster, 0);
    const peer = await rawClient(cluster, 1);
    peer.stream.send(framed(numbered(1)));
    await probe.until("a frame", () => probe.clientFrames.length === 1);
    const client = probe.clientFrames[0]?.client ?? expect.fail();
    peer.stream.pause();
    const frames = 2_048 / 16;
    for (let n = 0; n < frames; n++) expect(client.send(numbered(n, 16 * KIB))).toBe(true);
    const muxer = Reflect.get(peer.connection, "muxer") as { send(bytes: Uint8Array): boolean; ping(): Promise<number> };
    const answered = async (): Promise<void> => {
      await muxer.ping(); // it has read everything up to here
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    await answered();
    const { queuedBytes } = transport.clients();
    expect(queuedBytes).toBeGreaterThan(1_024 * KIB); // a window and a chunk are gone
    const window = peer.stream as unknown as { readonly streamId: number; recvWindowCapacity: number };
    for (let i = 0; i < 12; i++) {
      window.recvWindowCapacity += 13;
      muxer.send(Uint8Array.of(0, 1, 0, 0, 0, 0, 0, window.streamId, 0, 0, 0, 13));
      await answered();
    }
    expect(queuedBytes - transport.clients().queuedBytes).toBeLessThan(128 * KIB);
    peer.stream.resume();
    await peer.reader.until("all of it", () => peer.reader.frames.length === 1 + frames);
    expect(peer.reader.frames.slice(1).map(numberOf)).toEqual(Array.from({ length: frames }, (_, n) => n));
  });

  it("as a client is bounded alone and together with other clients, and is dropped when it takes nothing at all", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const limits = { clientQueueBytesMax: 256 * KIB, clientQueueBytesTotalMax: 400 * KIB, pingMs: 250, silenceMs: 1_500 };
    const { transport, probe, log } = await net.replica(cluster, 0, { limits });
    const peers = [await rawClient(cluster, 1), await rawClient(cluster, 2)];
    const pings = setInterval(() => peers.forEach(({ stream }) => stream.status === "open" && stream.send(new Uint8Array(4))), 100);
    for (const { stream } of peers) stream.send(framed(numbered(1)));
    await probe.until("two frames", () => probe.clientFrames.length === 2);
    const gone = peers.map(({ connection }) => closed(connection));
    for (const { stream } of peers) stream.pause();
    const [one, two] = probe.clientFrames.map(({ client }) => client);
    // in one turn, so nothing leaves the queues
    expect(fill((frame) => one?.send(frame) ?? false)).toBe(15); // 16 × (16 KiB + 4) would be above 256 KiB
    expect(fill((frame) => two?.send(frame) ?? false)).toBe(9); // 24 × (16 KiB + 4) are all that fit in 400 KiB
    expect(transport.clients().queuedBytes).toBe(24 * (16 * KIB + 4));
    // they ping, so they are alive, but a window's worth later they take nothing
    const more = setInterval(() => [one, two].forEach((client) => void client?.send(numbered(0, 64 * KIB))), 20);
    await Promise.all(gone);
    clearInterval(more);
    clearInterval(pings);
    await log.untilLine(/client .* left: took no data for 1500 ms/);
    await probe.until("both ends", () => probe.gone.length === 2);
    expect(transport.clients()).toMatchObject({ connections: 0, queuedBytes: 0 });
  });
});

describe("clients", () => {
  it("share the memory for unfinished frames: who needs more is dropped", async () => {
    const cluster = await clusterOf(await freePorts(1));
    const { probe, log } = await net.replica(cluster, 0, { limits: { clientPartialBytesTotalMax: 300 * KIB } });
    const patient = await rawClient(cluster, 1);
    const greedy = await rawClient(cluster, 2);
    const gone = closed(greedy.connection);
    const frame = framed(numbered(7, 150 * KIB));
    patient.stream.send(frame.subarray(0, 100 * KIB));
    const half = new Uint8Array(400 * KIB);
    half.set([0, 0x10, 0, 0]); // 1 MiB
    greedy.stream.send(half);
    await gone;
    await log.untilLine(/client .* left: needs more memory for unfinished frames than the 307200 bytes all clients share/);
    patient.stream.send(frame.subarray(100 * KIB));
    await probe.until("the patient one's frame", () => probe.clientFrames.length === 1);
    expect(probe.clientFrames[0]?.frame.length).toBe(150 * KIB);
  });

  it("beyond the limit are refused, and let in when one leaves; replicas are not counted", async () => {
    const cluster = await clusterOf(await freePorts(2));
    const { probe, log, transport } = await net.replica(cluster, 0, { limits: { clientConnectionsMax: 2 } });
    const first = await net.client(cluster);
    const second = await net.client(cluster);
    await Promise.all([first.probe.untilConnected(id(0)), second.probe.untilConnected(id(0))]);
    const third = await net.client(cluster);
    await log.untilLine(/refused client .*: all 2 client connections are taken/);
    await net.replica(cluster, 1);
    await probe.untilConnected(id(1));
    expect(third.probe.connected.has(id(0))).toBe(false);
    expect(transport.clients()).toMatchObject({ connections: 2 });
    await first.transport.stop();
    await third.probe.untilConnected(id(0));
  });
});
