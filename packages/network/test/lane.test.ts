/** The short way through libp2p: the same bytes as the long way, in the same order, whatever is in between. */
import { defaultCrypto } from "@chainsafe/libp2p-noise/crypto";
import type { Connection, Stream } from "@libp2p/interface";
import { bytesEqual } from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLIENT_PROTOCOL } from "../src/index.ts";
import { LANE_HEAD_BYTES, LANE_TAIL_BYTES, openLane, type Lane } from "../src/lane.ts";
import { noiseCrypto, sealInPlace, TAG_BYTES } from "../src/noise-crypto.node.ts";
import { NoiseReader } from "../src/noise-reader.ts";
import { deferWindowUpdates } from "../src/window.ts";
import { clusterOf, freePorts } from "./cluster.ts";
import { closed, fixture, strangerSeed } from "./real.ts";
import { Watch } from "./probe.ts";

const net = fixture();

/** One end of a connection between two libp2p nodes; what it received. */
class End extends Watch {
  readonly stream: Stream;
  readonly connection: Connection;
  lane: Lane | undefined;
  received: Uint8Array = new Uint8Array(0);
  short = 0;

  constructor(stream: Stream, connection: Connection) {
    super();
    this.stream = stream;
    this.connection = connection;
    stream.addEventListener("message", ({ data }) => this.#add(data.subarray()));
  }

  /** As a wire does it. */
  open(): void {
    const acknowledge = deferWindowUpdates(this.stream);
    this.lane = openLane(this.stream, (payload) => {
      this.short += 1;
      this.#add(payload);
      acknowledge(payload.length);
    });
  }

  /** By the lane if there is one, and it can. */
  send(payload: Uint8Array): "short" | "long" {
    const room = new Uint8Array(LANE_HEAD_BYTES + payload.length + LANE_TAIL_BYTES);
    room.set(payload, LANE_HEAD_BYTES);
    if (this.lane?.send(room) === true) return "short";
    this.stream.send(payload);
    return "long";
  }

  #add(bytes: Uint8Array): void {
    this.received = new Uint8Array(Buffer.concat([this.received, bytes]));
    this.changed();
  }
}

/** Two ends that have said hello, so that the stream is established on both sides. */
async function pair(): Promise<readonly [End, End]> {
  const cluster = await clusterOf(await freePorts(1));
  const accepted = new Promise<End>((resolve) => {
    void net.rawReplica(cluster, 0, CLIENT_PROTOCOL, (stream, connection) => resolve(new End(stream, connection))).then(async () => {
      const { stream, connection } = await net.raw(cluster, 0, strangerSeed(1), CLIENT_PROTOCOL);
      dialled = new End(stream, connection);
      stream.send(Uint8Array.of(1));
    });
  });
  let dialled: End | undefined;
  const there = await accepted;
  await there.until("hello", () => there.received.length === 1);
  there.stream.send(Uint8Array.of(2));
  const here = dialled ?? expect.fail();
  await here.until("hello", () => here.received.length === 1);
  return [here, there];
}

const bytesOf = (n: number, fill: number): Uint8Array => new Uint8Array(n).map((_, i) => fill + i);
const muxerOf = ({ connection }: End): { send(bytes: Uint8Array): void; ping(): Promise<number> } =>
  Reflect.get(connection, "muxer") as { send(bytes: Uint8Array): void; ping(): Promise<number> };

describe("the lane", () => {
  it("exists with the libp2p, noise and yamux that we ship, and both ways are one stream of bytes", async () => {
    const [here, there] = await pair();
    here.open();
    expect(here.lane, "libp2p is not as it was: everything goes the long way").toBeDefined();
    // The other side has none yet: what is sent here is read there by noise and yamux.
    const sent: Uint8Array[] = [];
    const send = (end: End, payload: Uint8Array): string => {
      if (end === here) sent.push(payload);
      return end.send(payload);
    };
    expect(send(here, bytesOf(100, 1))).toBe("short");
    await there.until("100 bytes", () => there.received.length === 101);
    there.open();
    for (const length of [1, 200, 5_000, 65_507]) send(here, bytesOf(length, length));
    here.stream.send(bytesOf(300, 9));
    sent.push(bytesOf(300, 9));
    send(here, bytesOf(3, 3));
    const all = Buffer.concat(sent);
    await there.until("all of it", () => there.received.length === 1 + all.length);
    expect(bytesEqual(there.received.subarray(1), all)).toBe(true);
    expect(there.short).toBeGreaterThan(0);
    expect(there.send(bytesOf(50, 5))).toBe("short");
    await here.until("the answer", () => here.received.length === 51);
    expect(here.short).toBe(1);
  });

  it("carries more than a window, and waits for the receiver like any stream", async () => {
    const [here, there] = await pair();
    here.open();
    there.open();
    const payload = bytesOf(60_000, 1);
    const ways = new Set<string>();
    for (let i = 0; i < 20; i++) {
      ways.add(here.send(payload)); // 1.2 MB at once: the window has 256 KiB
      if (i % 5 === 4) await there.until(`${i + 1} frames`, () => there.received.length === 1 + (i + 1) * payload.length);
    }
    expect([...ways].sort()).toEqual(["long", "short"]);
    for (let i = 0; i < 20; i++) expect(bytesEqual(there.received.subarray(1 + i * payload.length, 1 + (i + 1) * payload.length), payload)).toBe(true);
    expect(here.send(payload), "a free stream takes the short way again").toBe("short");
  });

  it("leaves other muxer frames to the muxer, also those in pieces", async () => {
    const [here, there] = await pair();
    here.open();
    there.open();
    here.send(bytesOf(10, 1));
    expect(await muxerOf(here).ping()).toBeGreaterThanOrEqual(0);
    // A data frame in two pieces, with a plain one behind: in order.
    const streamId = Reflect.get(here.stream, "streamId") as number;
    muxerOf(here).send(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, streamId, 0, 0, 0));
    muxerOf(here).send(Uint8Array.of(4, 21, 22));
    muxerOf(here).send(Uint8Array.of(23, 24));
    here.send(bytesOf(2, 31));
    await there.until("all of it", () => there.received.length === 17);
    expect([...there.received]).toEqual([1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 22, 23, 24, 31, 32]);
  });

  it("ends the connection when a byte was changed on the way", async () => {
    const [here, there] = await pair();
    here.open();
    there.open();
    here.send(bytesOf(10, 1));
    await there.until("a frame", () => there.received.length === 11);
    const socket = Reflect.get(Reflect.get(here.connection, "maConn") as object, "socket") as { write(bytes: Uint8Array): void };
    const gone = closed(there.connection);
    socket.write(Uint8Array.of(0, 40, ...bytesOf(40, 7)));
    await gone;
    expect(there.received.length).toBe(11);
  });
});

describe("noise handshakes", () => {
  it("derive the same keys as with what noise brings, and refuse a point of small order", () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(fc.property(key, key, fc.constantFrom(0, 32), (a, b, ikm) => {
      expect(noiseCrypto.getHKDF(a, b.subarray(0, ikm)).map((part) => [...part])).toEqual(defaultCrypto.getHKDF(a, b.subarray(0, ikm)).map((part) => [...part]));
      const [own, theirs] = [noiseCrypto.generateX25519KeyPairFromSeed(a), defaultCrypto.generateX25519KeyPairFromSeed(b)];
      expect(bytesEqual(own.publicKey, defaultCrypto.generateX25519KeyPairFromSeed(a).publicKey)).toBe(true);
      const shared = noiseCrypto.generateX25519SharedKey(own.privateKey, theirs.publicKey);
      expect(bytesEqual(shared, new Uint8Array(defaultCrypto.generateX25519SharedKey(theirs.privateKey, own.publicKey)))).toBe(true);
    }), { numRuns: 20 });
    const { privateKey, publicKey } = noiseCrypto.generateX25519KeyPair();
    expect([privateKey.length, publicKey.length]).toEqual([32, 32]);
    expect(() => noiseCrypto.generateX25519SharedKey(privateKey, new Uint8Array(32))).toThrow();
  });
});

describe("noise messages", () => {
  it("are read whole and in order, for any cuts of the stream", () => {
    const message = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(255, 256, 65_535)).map((length) => new Uint8Array(length).fill(length));
    fc.assert(fc.property(fc.array(message, { maxLength: 6 }), fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 12 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.flatMap((bytes) => [Uint8Array.of(bytes.length >>> 8, bytes.length & 0xff), bytes]));
      const reader = new NoiseReader();
      const read: Uint8Array[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const cut = cuts[i % cuts.length] ?? 1;
        reader.push(stream.subarray(at, at + cut), (bytes) => void read.push(new Uint8Array(bytes)));
        at += cut;
      }
      const expected = messages.filter((bytes) => bytes.length > 0);
      expect(read.length).toBe(expected.length);
      expect(read.every((bytes, i) => bytesEqual(bytes, expected[i] ?? expect.fail()))).toBe(true);
    }), { numRuns: 80 });
  });

  it("are the same by libsodium and by what noise brings, and sealed in place", () => {
    const own = noiseCrypto;
    const sizes = fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.constantFrom(65_519));
    fc.assert(fc.property(sizes, fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.uint8Array({ maxLength: 32 }), (length, key, nonce, ad) => {
      const plain = bytesOf(length, key[0] ?? 0);
      const theirs = defaultCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, key).subarray();
      expect(bytesEqual(own.chaCha20Poly1305Encrypt(plain, nonce, ad, key).subarray(), theirs)).toBe(true);
      for (const cipher of [own, defaultCrypto]) {
        const room = new Uint8Array(length + TAG_BYTES);
        room.set(plain);
        sealInPlace((bytes) => cipher.chaCha20Poly1305Encrypt(bytes, nonce, ad, key), room, length);
        expect(bytesEqual(room, theirs)).toBe(true);
      }
      expect(bytesEqual(own.chaCha20Poly1305Decrypt(theirs, nonce, ad, key).subarray(), plain)).toBe(true);
      const forged = new Uint8Array(theirs);
      forged[length] = (forged[length] ?? 0) ^ 1;
      expect(() => own.chaCha20Poly1305Decrypt(forged, nonce, ad, key)).toThrow();
    }), { numRuns: 40 });
  });
});
