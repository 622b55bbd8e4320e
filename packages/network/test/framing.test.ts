/** Frames through bytes and back, whatever the pieces; bounds of reader, queue, handshake and muxer inspection. */
import { bytesEqual, digest, toHex } from "@narses/core";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import fc from "fast-check";
import type { MessageStream, SecuredConnection, Stream, StreamMessageEvent } from "@libp2p/interface";
import { describe, expect, it } from "vitest";
import { FrameReader } from "../src/frame-reader.ts";
import { joined, MuxInspector } from "../src/guard.ts";
import { decodeHello, encodeHello, helloMismatch, HELLO_BYTES_MAX, type Hello } from "../src/hello.ts";
import { identityFromSeed, SEED_BYTES } from "../src/identity.ts";
import { Budget } from "../src/limits.ts";
import { deferWindowUpdates } from "../src/window.ts";
import { WRITE_BYTES_MAX, WriteQueue } from "../src/write-queue.ts";
import { framed, helloFrom } from "./real.ts";

type Uint8ArrayList = Exclude<StreamMessageEvent["data"], Uint8Array>;

const size = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(1_023, 1_024, 1_025, 65_503, 65_507, 65_508, 150_000));
const sizes = fc.array(size, { maxLength: 8 });

describe("queue and reader", () => {
  it("give back every frame, in order, in chunks of at most WRITE_BYTES_MAX, for any cuts of the stream", () => {
    fc.assert(fc.property(sizes, fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 }), (lengths, cuts) => {
      const budget = new Budget(1 << 30);
      const queue = new WriteQueue(1 << 30, budget);
      const frames = lengths.map((length, n) => new Uint8Array(length).fill(n + 1));
      for (const frame of frames) expect(queue.push(frame)).toBe(true);
      const total = frames.reduce((sum, frame) => sum + 4 + frame.length, 0);
      expect([queue.bytes, queue.length, budget.used]).toEqual([total, frames.length, total]);
      const chunks: Uint8Array[] = [];
      for (let chunk = queue.take(); chunk !== undefined; chunk = queue.take()) chunks.push(chunk);
      expect(chunks.map((chunk) => chunk.length)).toEqual([
        ...Array<number>(Math.floor(total / WRITE_BYTES_MAX)).fill(WRITE_BYTES_MAX),
        ...(total % WRITE_BYTES_MAX > 0 ? [total % WRITE_BYTES_MAX] : []),
      ]);
      expect([queue.bytes, queue.length, budget.used]).toEqual([0, 0, 0]);

      const bytes = Buffer.concat(chunks);
      const partial = new Budget(1 << 30);
      const reader = new FrameReader(1 << 20, partial);
      const read: Uint8Array[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const cut = cuts[i % cuts.length] ?? 1;
        expect(reader.push(bytes.subarray(at, at + cut), 0, (frame) => void read.push(frame))).toBeUndefined();
        at += cut;
      }
      expect(read.length).toBe(frames.length);
      expect(read.every((frame, n) => bytesEqual(frame, frames[n] ?? expect.fail()))).toBe(true);
      expect(read.every((frame) => frame.buffer.byteLength === frame.length)).toBe(true);
      expect([reader.partial, partial.used]).toEqual([false, 0]);
    }), { numRuns: 60 });
  });

  it("queue: refuses what would exceed its bound or the shared one, and takes again after that left", () => {
    const budget = new Budget(300);
    const [one, two] = [new WriteQueue(208, budget), new WriteQueue(1_000, budget)];
    expect([one.push(new Uint8Array(100)), one.push(new Uint8Array(100)), one.push(new Uint8Array(0))]).toEqual([true, true, false]);
    expect([two.push(new Uint8Array(89)), two.push(new Uint8Array(88)), two.push(new Uint8Array(0))]).toEqual([false, true, false]);
    one.clear();
    expect([one.bytes, budget.used]).toEqual([0, 92]);
    expect(two.push(new Uint8Array(200))).toBe(true);
    two.take();
    expect(budget.used).toBe(0);
  });

  it("queue: stays in order over thousands of frames taken while others come", () => {
    const queue = new WriteQueue(1 << 24);
    const reader = new FrameReader(100);
    const read: number[] = [];
    const note = (frame: Uint8Array): void => void read.push(((frame[0] ?? 0) << 8) | (frame[1] ?? 0));
    let pushed = 0;
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 300; i++) queue.push(new Uint8Array([pushed >> 8, pushed++ & 0xff, ...new Uint8Array(round % 7)]));
      if (round % 3 > 0) reader.push(queue.take() ?? new Uint8Array(0), 0, note);
    }
    for (let chunk = queue.take(); chunk !== undefined; chunk = queue.take()) reader.push(chunk, 0, note);
    expect(read).toEqual(Array.from({ length: pushed }, (_, n) => n));
  });

  it("reader: holds memory in proportion to what came, not to what was announced", () => {
    const budget = new Budget(1 << 30);
    const reader = new FrameReader(1 << 28, budget);
    const ignore = (): void => undefined;
    reader.push(new Uint8Array([0x10, 0, 0, 0]), 0, ignore);
    expect(budget.used).toBe(0);
    let received = 0;
    for (const piece of [1, 10, 5_000, 70_000, 1, 300_000]) {
      reader.push(new Uint8Array(piece), 0, ignore);
      received += piece;
      expect(budget.used).toBeGreaterThanOrEqual(received);
      expect(budget.used).toBeLessThanOrEqual(Math.max(1_024, 2 * received));
    }
    reader.stop();
    expect([budget.used, reader.partial]).toEqual([0, false]);
  });

  it("reader: refuses a length above the cap as soon as it is announced, and reads nothing after", () => {
    const reader = new FrameReader(10);
    const read: number[] = [];
    const onFrame = (frame: Uint8Array): void => void read.push(frame.length);
    const bytes = new Uint8Array([...framed(new Uint8Array(10)), 0, 0, 0, 11]);
    expect(reader.push(bytes, 0, onFrame)).toMatch(/announced a frame of 11 bytes, the cap is 10/);
    expect(reader.push(framed(new Uint8Array(3)), 0, onFrame)).toBeUndefined();
    expect(read).toEqual([10]);
    expect(new FrameReader(0x7fff_ffff).push(new Uint8Array([0xff, 0xff, 0xff, 0xff]), 0, onFrame)).toMatch(/4294967295/);
  });

  it("reader: stops in the middle of a chunk when a frame's handler says so", () => {
    const reader = new FrameReader(10);
    let count = 0;
    reader.push(new Uint8Array([...framed(new Uint8Array(1)), ...framed(new Uint8Array(2))]), 0, () => {
      count += 1;
      reader.stop();
    });
    expect(count).toBe(1);
  });

  it("reader: counts the deadline from a frame's first byte, longer for a longer frame", () => {
    const reader = new FrameReader(1 << 20);
    expect(reader.deadlineMs(1_000)).toBe(Number.POSITIVE_INFINITY);
    reader.push(new Uint8Array([0]), 500, () => undefined);
    expect(reader.deadlineMs(1_000)).toBe(1_500);
    reader.push(new Uint8Array([2, 0, 0, 9]), 900, () => undefined);
    expect(reader.deadlineMs(1_000)).toBe(3_500); // 128 KiB: two seconds more
    reader.push(new Uint8Array((2 << 16) - 1), 1_000, () => undefined);
    expect(reader.partial).toBe(false);
    reader.push(new Uint8Array([0, 0]), 2_000, () => undefined);
    expect(reader.deadlineMs(1_000)).toBe(3_000);
  });
});

describe("the handshake frame", () => {
  const hellos: fc.Arbitrary<Hello> = fc.record({
    version: fc.constant(1),
    role: fc.constantFrom("replica", "client"),
    clusterId: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => digest(toHex(bytes))),
    epoch: fc.integer({ min: 0, max: 0xffff_ffff }),
    replica: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
    instance: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toHex),
    signatureSuite: fc.stringMatching(/^[a-z0-9-]{0,32}$/),
  });

  it("comes back as it was, and fits", () => {
    fc.assert(fc.property(hellos, (hello) => {
      const bytes = encodeHello(hello);
      expect(bytes.length).toBeLessThanOrEqual(HELLO_BYTES_MAX);
      expect(decodeHello(bytes)).toEqual({ ok: true, hello });
    }));
  });

  it("is refused, never thrown at, when bytes are changed, missing or added", () => {
    fc.assert(fc.property(hellos, fc.nat(200), fc.integer({ min: 1, max: 255 }), (hello, at, change) => {
      const bytes = encodeHello(hello);
      for (let length = 0; length < bytes.length; length++) expect(decodeHello(bytes.subarray(0, length)).ok).toBe(false);
      expect(decodeHello(new Uint8Array([...bytes, 0])).ok).toBe(false);
      const i = at % bytes.length;
      bytes[i] = (bytes[i] ?? 0) ^ change;
      const decoded = decodeHello(bytes);
      if (decoded.ok) expect(decoded.hello).not.toEqual(hello);
      else expect(decoded.rejection.code).toBe("FRAME_MALFORMED");
    }));
  });

  it("names the first field that differs, the most telling one", () => {
    const own = helloFrom("replica", 0);
    const expected = { role: "replica", replica: 2 } as const;
    const problem = (changes: Partial<Hello>): string | undefined => helloMismatch(own, helloFrom("replica", 2, changes), expected)?.detail;
    const foreign = digest("cd".repeat(32));
    expect(problem({})).toBeUndefined();
    expect(problem({ clusterId: foreign })).toMatch(/cluster id is cdcd.*, here abab/);
    expect(problem({ clusterId: foreign, epoch: 4 })).toMatch(/epoch is 4, here 0/);
    expect(problem({ signatureSuite: "other" })).toMatch(/signature suite is other/);
    expect(problem({ replica: 1 })).toMatch(/replica id is 1, here 2/);
    expect(problem({ role: "client" })).toMatch(/role is client/);
  });
});

describe("what libp2p writes", () => {
  it("reaches the socket in one piece", async () => {
    const written: number[] = [];
    const send = (data: Uint8Array | Uint8ArrayList): boolean => written.push(data instanceof Uint8Array ? data.length : -1) > 0;
    const connection = { send } as unknown as MessageStream;
    const pieces = { subarray: () => new Uint8Array(18) } as unknown as Uint8ArrayList;
    const secured = (): SecuredConnection => ({ connection } as unknown as SecuredConnection);
    const encrypter = joined(() => ({
      protocol: "/fake",
      secureInbound: async (inner: MessageStream) => (inner.send(pieces), secured()),
      secureOutbound: async (inner: MessageStream) => (inner.send(new Uint8Array(3)), secured()),
    }))(undefined);
    await encrypter.secureInbound(connection);
    await encrypter.secureOutbound(connection);
    expect(written).toEqual([18, 3]);
  });

  it("is read without an exception where a length is incomplete", async () => {
    const lengthDecoder = (bytes: Uint8Array): number => {
      if (bytes.length < 2) throw new RangeError("too few");
      return ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
    };
    const decoder = { lengthDecoder };
    const secure = async (): Promise<SecuredConnection> => ({ connection: { decoder } } as unknown as SecuredConnection);
    const encrypter = joined(() => ({ protocol: "/fake", secureInbound: secure, secureOutbound: secure }))(undefined);
    await encrypter.secureInbound({ send: () => true } as unknown as MessageStream);
    expect(decoder.lengthDecoder(Uint8Array.of(1, 2))).toBe(258);
    // More than any two bytes can hold behind them: the decoder waits.
    for (const bytes of [Uint8Array.of(), Uint8Array.of(1)]) expect(decoder.lengthDecoder(bytes)).toBe(65_535);
  });

  it("has a window update for each 128 KiB received, not for each frame", () => {
    const target = new EventTarget();
    let updates = 0;
    const stream = Object.assign(target, { sendWindowUpdate: () => void (updates += 1) });
    deferWindowUpdates(stream as unknown as Stream);
    for (let kib = 1; kib <= 512; kib++) {
      target.dispatchEvent(Object.assign(new Event("message"), { data: new Uint8Array(1 << 10) }));
      stream.sendWindowUpdate();
      expect(updates).toBe(Math.floor(kib / 128));
    }
    expect(() => deferWindowUpdates(new EventTarget() as unknown as Stream)).not.toThrow();
  });
});

describe("muxer inspection", () => {
  const header = (type: number, flags: number, length: number): number[] =>
    [0, type, flags >> 8, flags & 0xff, 0, 0, 0, 1, ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 0xff)];

  it("finds the bad header behind any number of good frames, for any cuts", () => {
    fc.assert(fc.property(fc.array(fc.nat(500), { maxLength: 6 }), fc.integer({ min: 1, max: 40 }), (bodies, cut) => {
      const good = bodies.flatMap((length) => [
        ...header(0, 0, length), ...new Array<number>(length).fill(0xff), ...header(1, 0, 0xffff_ffff), ...header(2, 1, 7),
      ]);
      const inspector = new MuxInspector();
      const push = (bytes: number[]): string | undefined => {
        let problem: string | undefined;
        for (let at = 0; at < bytes.length; at += cut) problem ??= inspector.push(new Uint8Array(bytes.slice(at, at + cut)));
        return problem;
      };
      expect(push(good)).toBeUndefined();
      expect(push(header(0, 0, (1 << 20) + 1))).toMatch(/muxer frame of 1048577 bytes/);
    }));
  });

  it("counts streams over the life of a connection", () => {
    const inspector = new MuxInspector();
    for (let i = 0; i < 4; i++) expect(inspector.push(new Uint8Array(header(i % 2, 1, 0)))).toBeUndefined();
    expect(inspector.push(new Uint8Array(header(0, 1, 0)))).toMatch(/more than 4 streams/);
  });
});


describe("the identity of a seed", () => {
  it("is the one that libp2p derives", async () => {
    for (let i = 0; i < 20; i++) {
      const seed = crypto.getRandomValues(new Uint8Array(SEED_BYTES));
      const [own, libp2p] = [await identityFromSeed(seed), await generateKeyPairFromSeed("Ed25519", seed)];
      expect(toHex(own.raw)).toBe(toHex(libp2p.raw));
      expect(own.publicKey.equals(libp2p.publicKey)).toBe(true);
      expect(await libp2p.publicKey.verify(seed, await own.sign(seed))).toBe(true);
    }
    await expect(identityFromSeed(new Uint8Array(31))).rejects.toMatchObject({ code: "KEY_INVALID" });
  });
});
