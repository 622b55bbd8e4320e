/**
 * Damaged frames by the ten thousand, from a seed: no decoder throws (those of stored values throw NarsesError alone),
 * none takes long, and what is accepted encodes to the very bytes that were read.
 *
 * NARSES_FUZZ_SEED and NARSES_FUZZ_CASES choose another run; a failure names its seed and case.
 */
import { NarsesError, type Batch, type Bundle, type PeerMessage, type StateMessage } from "@narses/core";
import { describe, expect, test } from "vitest";
import { decodePayload, decodeResult, type Decoded } from "../src/index.ts";
import { codec } from "./support/cluster.ts";
import { join, mutate, Random } from "./support/mutate.ts";
import { rebuildBatch, rebuildBundle, rebuildClient, rebuildPeer } from "./support/rebuild.ts";
import { batch, bundle, emptyBatch, frames, stored } from "./support/samples.ts";

const SEED = Number(process.env["NARSES_FUZZ_SEED"] ?? 1_985);
const CASES = Number(process.env["NARSES_FUZZ_CASES"] ?? 20_000);
/** CPU time all decoders together may take for one frame of a few KB; a pause of the collector fits in. */
const SLOW_MICROSECONDS = 250_000;

interface Target {
  readonly name: string;
  readonly decode: (bytes: Uint8Array) => Decoded<unknown>;
  /** The value's bytes, built again from its fields; absent where several encodings are allowed. */
  readonly encode?: (value: never) => Uint8Array;
}

const read =
  (decode: (bytes: Uint8Array) => unknown): Target["decode"] =>
  (bytes) => {
    try {
      return { ok: true, value: decode(bytes) };
    } catch (error) {
      if (!(error instanceof NarsesError) || !["DATA_CORRUPT", "DATA_VERSION"].includes(error.code)) throw error;
      return { ok: false, rejection: { code: "FRAME_MALFORMED", detail: error.message } };
    }
  };

const targets: readonly Target[] = [
  { name: "decodePeer", decode: codec.decodePeer, encode: (m: PeerMessage | StateMessage) => codec.encodePeer(rebuildPeer(m)) },
  { name: "decodeClient", decode: codec.decodeClient, encode: (m: Parameters<typeof rebuildClient>[0]) => codec.encodeClient(rebuildClient(m)) },
  { name: "decodeToClient", decode: codec.decodeToClient, encode: codec.encodeToClient },
  { name: "decodeBundle", decode: codec.decodeBundle, encode: (b: Bundle) => rebuildBundle(b).bytes },
  { name: "decodeBatch", decode: codec.decodeBatch, encode: (b: Batch) => rebuildBatch(b).bytes },
  { name: "decodeReceipt", decode: codec.decodeReceipt, encode: codec.encodeReceipt },
  { name: "decodeEvidence", decode: codec.decodeEvidence, encode: codec.encodeEvidence },
  { name: "decodeRecord", decode: read(codec.decodeRecord), encode: codec.encodeRecord },
  { name: "decodeBlock", decode: read(codec.decodeBlock), encode: codec.encodeBlock },
  { name: "decodePayload", decode: decodePayload },
  { name: "decodeResult", decode: decodeResult },
];

const corpus: readonly Uint8Array[] = [...frames.map((f) => f.bytes), ...stored.map((s) => s.bytes), batch.bytes, emptyBatch.bytes, bundle(3).bytes];

/** How many decoders accepted the bytes. */
function decodeAll(bytes: Uint8Array, where: string): number {
  let accepted = 0;
  const start = process.cpuUsage();
  for (const { name, decode, encode } of targets) {
    const decoded = decode(bytes);
    if (!decoded.ok) {
      if (decoded.rejection.detail.length > 300) throw new TypeError(`${name}: a detail of ${decoded.rejection.detail.length} characters, ${where}`);
      continue;
    }
    accepted += 1;
    const again = encode?.(decoded.value as never);
    if (again !== undefined && Buffer.compare(again, bytes) !== 0) throw new TypeError(`${name} accepts two encodings of one value, ${where}`);
  }
  const { user } = process.cpuUsage(start);
  if (user > SLOW_MICROSECONDS) throw new TypeError(`${user} µs for ${bytes.length} bytes, ${where}`);
  return accepted;
}

describe("damaged frames", () => {
  test(`${CASES} of them`, () => {
    const r = new Random(SEED);
    let accepted = 0;
    for (let i = 0; i < CASES; i++) {
      const bytes = mutate(r, r.pick(corpus), r.pick(corpus));
      const where = `seed ${SEED}, case ${i}: ${Buffer.from(bytes.subarray(0, 64)).toString("hex")}…`;
      try {
        accepted += decodeAll(bytes, where);
      } catch (error) {
        throw new TypeError(`${error instanceof Error ? error.stack : String(error)}\n${where}`, { cause: error });
      }
    }
    // some damage hits free bytes (digests, signatures, numbers) and leaves a valid value; most must not
    expect(accepted).toBeGreaterThan(CASES / 50);
    expect(accepted).toBeLessThan(CASES);
  });

  test("random bytes behind every tag", () => {
    const r = new Random(SEED + 1);
    for (let tag = 0; tag < 256; tag++) {
      for (let i = 0; i < 8; i++) decodeAll(join(Uint8Array.of(1, tag, 0, 0, 0, 7), r.bytes(r.next(400))), `seed ${SEED + 1}, tag ${tag}`);
    }
  });

  test("memory follows the length of the input, not what it announces", () => {
    const r = new Random(SEED + 2);
    const announced = corpus.map((bytes) => {
      const copy = bytes.slice();
      for (let at = 6; at < copy.length; at += 9) copy.fill(0xff, at, at + 4);
      return copy;
    });
    for (const bytes of announced) decodeAll(bytes, "warm-up");
    const before = process.memoryUsage();
    for (let i = 0; i < 3_000; i++) {
      const sound = r.pick(corpus).subarray(0, 6 + r.next(60));
      decodeAll(join(sound, r.pick(announced).subarray(sound.length)), `seed ${SEED + 2}, case ${i}`);
    }
    const after = process.memoryUsage();
    expect(after.heapTotal - before.heapTotal).toBeLessThan(150 << 20);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(100 << 20);
  });
});
