import { fromHex, NarsesError, toHex } from "@narses/core";
import * as ed from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { backends, generateSeed, signingKeyFromSeed, VERIFYING_KEYS_CACHED_MAX, verifyingKey, type Backend } from "../src/index.ts";
import { nativeBackends } from "../src/native.node.ts";
import { noble } from "../src/noble.ts";
import { startsWithSmallOrderPoint } from "../src/rule.ts";
import { bytesOf, concat, EDGE_CASES, EDGE_KEYS, EDGE_NONCES, flipped, type EdgeCase } from "./edge-cases.ts";
import { RFC8032 } from "./vectors/rfc8032.ts";
import { SPECCHECK } from "./vectors/speccheck.ts";

const all = backends();
const L = ed.Point.CURVE().n;

type Verdict = "accepted" | "rejected" | "key refused";

function judge(backend: Backend, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Verdict {
  try {
    return backend.verifyingKey(publicKey).verify(message, signature) ? "accepted" : "rejected";
  } catch (error) {
    if (error instanceof NarsesError && error.code === "KEY_INVALID") return "key refused";
    throw error;
  }
}

/** One verdict per backend, by name: failures show who disagrees. */
const verdicts = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Record<string, Verdict> =>
  Object.fromEntries(all.map((backend) => [backend.name, judge(backend, publicKey, message, signature)]));

const unanimous = (verdict: Verdict): Record<string, Verdict> => Object.fromEntries(all.map(({ name }) => [name, verdict]));

beforeAll(() => {
  ed.hashes.sha512 = sha512;
});

describe("backends", () => {
  it("has OpenSSL and noble in Node, noble last", () => {
    const names = all.map(({ name }) => name);
    expect(names).toContain("node:crypto");
    expect(names.at(-1)).toBe("noble");
    expect(names).toEqual([...new Set(names)]);
  });

  it("uses the first as the default, and decides once", () => {
    const seed = generateSeed();
    expect(backends()).toBe(all);
    const publicKey = signingKeyFromSeed(seed).publicKey;
    expect(verifyingKey(publicKey)).toBe(all[0]?.verifyingKey(publicKey));
  });
});

describe.each(all)("$name", (backend) => {
  it.each(RFC8032)("RFC 8032 §7.1 $name", ({ seed, publicKey, message, signature }) => {
    const key = backend.signingKeyFromSeed(fromHex(seed));
    expect(toHex(key.publicKey)).toBe(publicKey);
    expect(toHex(key.sign(fromHex(message)))).toBe(signature);
    expect(backend.verifyingKey(fromHex(publicKey)).verify(fromHex(message), fromHex(signature))).toBe(true);
  });

  it("gives plain Uint8Arrays, not Buffers", () => {
    const key = backend.signingKeyFromSeed(generateSeed());
    for (const bytes of [key.publicKey, key.sign(Buffer.from("m")), backend.verifyingKey(key.publicKey).bytes]) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
    }
  });

  it("refuses a seed that has not 32 bytes", () => {
    expect(() => backend.signingKeyFromSeed(new Uint8Array(31))).toThrow(RangeError);
    expect(() => backend.signingKeyFromSeed(new Uint8Array(64))).toThrow(RangeError);
  });

  it("reads messages and signatures that are views into larger buffers", () => {
    const key = backend.signingKeyFromSeed(generateSeed());
    const message = Buffer.from("a message inside a frame");
    const frame = concat(new Uint8Array(5), message, key.sign(message), new Uint8Array(3));
    const inner = frame.subarray(5, 5 + message.length);
    const signature = frame.subarray(5 + message.length, 5 + message.length + 64);
    expect(backend.verifyingKey(key.publicKey).verify(inner, signature)).toBe(true);
    expect(toHex(key.sign(inner))).toBe(toHex(signature));
  });

  it("is not affected by writes into the arrays it was given or gave", () => {
    const seed = generateSeed();
    const key = backend.signingKeyFromSeed(seed);
    const message = Buffer.from("m");
    const expected = toHex(key.sign(message));
    const publicKey = Uint8Array.from(key.publicKey);
    const verifying = backend.verifyingKey(publicKey);
    for (const bytes of [seed, key.publicKey, publicKey, verifying.bytes]) bytes.fill(7);
    expect(toHex(key.sign(message))).toBe(expected);
    expect(verifying.verify(message, fromHex(expected))).toBe(true);
  });

  it("checks a key once and keeps it, within a bound", () => {
    const { publicKey } = backend.signingKeyFromSeed(generateSeed());
    expect(backend.verifyingKey(Buffer.from(publicKey))).toBe(backend.verifyingKey(publicKey));
    expect(VERIFYING_KEYS_CACHED_MAX).toBeLessThanOrEqual(1 << 16);
  });
});

describe("the rule", () => {
  // Accepted by others: ZIP 215 takes 0–5 and 9–11, OpenSSL of Node 20 takes 0–3 and 11, libsodium 3.
  it.each(SPECCHECK.map((vector, index) => ({ ...vector, index })))("Taming the many EdDSAs, case $name", ({ index, message, publicKey, signature }) => {
    expect(verdicts(fromHex(publicKey), fromHex(message), fromHex(signature))).toEqual(unanimous(index === 6 || index === 7 ? "rejected" : "key refused"));
    expect(ed.verify(fromHex(signature), fromHex(message), fromHex(publicKey), { zip215: true })).toBe(index < 6 || index > 8);
  });

  it("has the edge cases it claims to have: all hold under ZIP 215", () => {
    expect(EDGE_KEYS).toHaveLength(22);
    expect(EDGE_NONCES.filter(({ kind }) => kind === "small")).toHaveLength(14);
    expect(EDGE_CASES.length).toBeGreaterThan(750);
    const count = (wanted: (edge: EdgeCase) => boolean): number => EDGE_CASES.filter(wanted).length;
    expect(count(({ cofactorless }) => cofactorless)).toBeGreaterThan(300);
    expect(count(({ cofactorless }) => !cofactorless)).toBeGreaterThan(300);
    // Every seventh: noble needs 1 ms for each.
    const held = EDGE_CASES.filter((_, i) => i % 7 === 0).filter((e) => !ed.verify(e.signature, e.message, e.key.encoding, { zip215: true }));
    expect(held.map(({ label }) => label)).toEqual([]);
  });

  it.each(EDGE_KEYS)("key $label ($kind): one verdict for every nonce", (key) => {
    const cases = EDGE_CASES.filter((edge) => edge.key === key);
    expect(cases.length).toBeGreaterThan(21);
    for (const backend of all) {
      if (key.kind !== "honest") {
        expect(() => backend.verifyingKey(key.encoding)).toThrow(expect.objectContaining({ name: "NarsesError", code: "KEY_INVALID" }) as Error);
        continue;
      }
      for (const { label, nonce, message, signature } of cases) {
        expect([label, judge(backend, key.encoding, message, signature)]).toEqual([label, nonce.kind === "honest" ? "accepted" : "rejected"]);
      }
    }
  });

  it("without the key check, all backends still decide the equation alike: byte by byte, no cofactor", () => {
    for (const raw of [...nativeBackends(), noble]) {
      const mixed = EDGE_CASES.filter((edge) => edge.key.kind === "mixed" && !startsWithSmallOrderPoint(edge.signature));
      expect(mixed.length).toBeGreaterThan(90);
      const sample = raw === noble ? mixed.filter((_, i) => i % 3 === 0) : mixed;
      const wrong = sample.filter(({ key, message, signature, cofactorless }) => {
        const verify = raw.verifier({ bytes: key.encoding });
        return verify(message, signature) !== cofactorless;
      });
      expect([raw.name, wrong.map(({ label }) => label)]).toEqual([raw.name, []]);
    }
  });
});

describe("an honest signature, altered", () => {
  const signer = signingKeyFromSeed(fromHex("5d".repeat(32)));
  const message = Buffer.from("pay 5 to bob");
  const signature = signer.sign(message);
  const r = signature.subarray(0, 32);
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`);
  const expectAll = (altered: Uint8Array, verdict: Verdict = "rejected"): void => {
    expect(verdicts(signer.publicKey, message, altered)).toEqual(unanimous(verdict));
  };

  it("is accepted unaltered", () => expectAll(signature, "accepted"));

  it("S + L, S + 2L …: the same S modulo L", () => {
    let multiples = 0;
    for (let wide = s + L; wide < 1n << 256n; wide += L, multiples++) expectAll(concat(r, bytesOf(wide)));
    expect(multiples).toBe(15);
  });

  it("S = 0, 1, L−1, L, L+1, 2^255, 2^256−1", () => {
    for (const other of [0n, 1n, L - 1n, L, L + 1n, 1n << 255n, (1n << 256n) - 1n]) expectAll(concat(r, bytesOf(other)));
  });

  it("S next to L on either side (vectors of BoringSSL)", () => {
    const key = fromHex("100fdf47fb94f1536a4f7c3fda27383fa03375a8f527c537e6f1703c47f94f86");
    const below = verdicts(
      key,
      fromHex("124e583f8b8eca58bb29c271b41d36986bbc45541f8e51f9cb0133eca447601e"),
      fromHex("dac119d6ca87fc59ae611c157048f4d4fc932a149dbe20ec6effd1436abf83ea05c7df0fef06147241259113909bc71bd3c53ba4464ffcad3c0968f2ffffff0f"),
    );
    expect(below).toEqual(unanimous("accepted"));
    const above = verdicts(
      key,
      fromHex("6a0bc2b0057cedfc0fa2e3f7f7d39279b30f454a69dfd1117c758d86b19d85e0"),
      fromHex("0971f86d2c9c78582524a103cb9cf949522ae528f8054dc20107d999be673ff4e25ebf2f2928766b1248bec6e91697775f8446639ede46ad4df4053000000010"),
    );
    expect(above).toEqual(unanimous("rejected"));
  });

  it("any one bit", () => {
    for (let bit = 0; bit < 512; bit++) expectAll(flipped(signature, bit));
  });

  it("any other length", () => {
    for (let length = 0; length < 64; length++) expectAll(signature.subarray(0, length));
    expectAll(concat(signature, Uint8Array.of(0)));
    expectAll(concat(signature, signature));
  });

  it("under any key one bit away", () => {
    for (let bit = 0; bit < 256; bit += 5) {
      const publicKey = flipped(signer.publicKey, bit);
      const [first, ...rest] = Object.values(verdicts(publicKey, message, signature));
      expect(first).not.toBe("accepted");
      expect(rest.filter((verdict) => verdict !== first)).toEqual([]);
    }
  });
});

describe("public keys that are refused", () => {
  const refused: readonly (readonly [name: string, publicKey: Uint8Array, reason: RegExp])[] = [
    ["31 bytes", new Uint8Array(31).fill(1), /31 bytes/],
    ["33 bytes", concat(signingKeyFromSeed(new Uint8Array(32)).publicKey, Uint8Array.of(0)), /33 bytes/],
    ["no bytes", new Uint8Array(0), /0 bytes/],
    ["y = 2: not on the curve", bytesOf(2n), /on the curve/],
    ["y = p + 3: the point with y = 3, not canonical", bytesOf((1n << 255n) - 16n), /canonical/],
    ["y = 2^255 − 1", bytesOf((1n << 255n) - 1n), /canonical/],
  ];
  it.each(refused)("%s", (_, publicKey, reason) => {
    for (const backend of all) {
      expect(() => backend.verifyingKey(publicKey)).toThrow(reason);
      // Again: a refusal is not cached as a pass.
      expect(() => backend.verifyingKey(publicKey)).toThrow(expect.objectContaining({ code: "KEY_INVALID" }) as Error);
    }
  });
  it("has a non-canonical case whose canonical twin is on the curve", () => {
    expect(() => ed.Point.fromBytes(bytesOf((1n << 255n) - 16n), true)).not.toThrow();
  });
});

describe("properties", () => {
  const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const messages = fc.uint8Array({ maxLength: 300 });

  it("all backends derive the same key and sign to the same bytes, and all accept them", () => {
    fc.assert(
      fc.property(seeds, messages, (seed, message) => {
        const made = all.map((backend) => {
          const key = backend.signingKeyFromSeed(seed);
          return { publicKey: key.publicKey, signature: key.sign(message) };
        });
        expect(new Set(made.map(({ publicKey, signature }) => toHex(publicKey) + toHex(signature))).size).toBe(1);
        for (const { publicKey, signature } of made.slice(0, 1)) expect(verdicts(publicKey, message, signature)).toEqual(unanimous("accepted"));
      }),
      { numRuns: 60 },
    );
  });

  it("no signature is good for another message or another key", () => {
    fc.assert(
      fc.property(seeds, seeds, messages, messages, (seed, otherSeed, message, otherMessage) => {
        fc.pre(toHex(seed) !== toHex(otherSeed) && toHex(message) !== toHex(otherMessage));
        const key = signingKeyFromSeed(seed);
        const signature = key.sign(message);
        expect(verdicts(key.publicKey, otherMessage, signature)).toEqual(unanimous("rejected"));
        expect(verdicts(signingKeyFromSeed(otherSeed).publicKey, message, signature)).toEqual(unanimous("rejected"));
      }),
      { numRuns: 40 },
    );
  });

  it("random bytes get one verdict, and never an exception but the key's", () => {
    fc.assert(
      fc.property(seeds, messages, fc.uint8Array({ maxLength: 70 }), (publicKey, message, signature) => {
        const [first, ...rest] = Object.values(verdicts(publicKey, message, signature));
        expect(first).not.toBe("accepted");
        expect(rest.filter((verdict) => verdict !== first)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});
