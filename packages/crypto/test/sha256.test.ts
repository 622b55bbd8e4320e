import { createHash } from "node:crypto";
import { toHex } from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { deriveReplicaSeeds, generateSeed, hasher, SEED_BYTES, sha256 } from "../src/index.ts";
import * as browserKeyFile from "../src/key-file.browser.ts";
import * as nodeKeyFile from "../src/key-file.node.ts";
import * as browser from "../src/native.browser.ts";
import * as node from "../src/native.node.ts";
import { concat } from "./edge-cases.ts";

const reference = (...parts: readonly Uint8Array[]): string => createHash("sha256").update(concat(...parts)).digest("hex");

describe.each([
  ["Node", node.sha256],
  ["browser", browser.sha256],
])("sha256 in %s", (_, hash) => {
  it("is SHA-256 of the concatenation, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 6 }), (parts) => {
        expect(toHex(hash(...parts))).toBe(reference(...parts));
      }),
    );
  });

  it("is right on both sides of the 16 KiB where Node changes its method", () => {
    for (const length of [16_383, 16_384, 16_385, 100_000]) {
      const bytes = new Uint8Array(length).map((_unused, i) => i * 7);
      expect(toHex(hash(bytes))).toBe(reference(bytes));
      expect(toHex(hash(bytes.subarray(0, 9), bytes.subarray(9)))).toBe(reference(bytes));
    }
  });

  it("gives a plain Uint8Array of its own", () => {
    const [first, second] = [hash(Uint8Array.of(1)), hash(Uint8Array.of(1), Uint8Array.of(2))];
    expect(Object.getPrototypeOf(first)).toBe(Uint8Array.prototype);
    const before = toHex(first);
    second.fill(0);
    hash(Uint8Array.of(3), Uint8Array.of(4));
    expect(toHex(first)).toBe(before);
    expect(first.buffer.byteLength).toBe(32);
  });
});

describe("the modules behind a condition", () => {
  it("export the same names in Node and in a browser", () => {
    expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
    expect(Object.keys(browserKeyFile).sort()).toEqual(Object.keys(nodeKeyFile).sort());
  });
  it("hasher is sha256", () => {
    expect(toHex(hasher.sha256(Buffer.from("a"), Buffer.from("bc")))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(toHex(sha256())).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  });
});

describe("seeds", () => {
  it("are random", () => {
    expect(generateSeed()).toHaveLength(SEED_BYTES);
    expect(toHex(generateSeed())).not.toBe(toHex(generateSeed()));
  });
  it("of a replica give two keys, each under its tag", () => {
    const seed = new Uint8Array(32).fill(9);
    const { signing, network } = deriveReplicaSeeds(seed);
    expect(toHex(signing)).toBe(reference(Buffer.from("narses/signing-key"), seed));
    expect(toHex(network)).toBe(reference(Buffer.from("narses/network-key"), seed));
    expect(() => deriveReplicaSeeds(new Uint8Array(33))).toThrow(RangeError);
  });
});
