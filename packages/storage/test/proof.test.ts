import { digest } from "@narses/core";
import { describe, expect, test } from "vitest";
import { memoryStateStore, verifyProof, type StateProof } from "../src/index.ts";
import { hasher, utf8 } from "./helpers.ts";

async function example(bucketBits: number): Promise<{ root: ReturnType<typeof digest>; proof: StateProof; absent: StateProof }> {
  const state = await memoryStateStore({ hasher, bucketBits });
  for (let i = 0; i < 200; i++) state.put(`key ${i}`, utf8(`value ${i}`));
  return { root: state.root(), proof: state.prove("key 5"), absent: state.prove("no such key") };
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 1);

describe("proofs", () => {
  for (const bits of [4, 6, 8, 11]) {
    test(`of presence and of absence verify, with ${bits} bits`, async () => {
      const { root, proof, absent } = await example(bits);
      expect(verifyProof(hasher, root, "key 5", proof)).toEqual({ ok: true, value: utf8("value 5") });
      expect(verifyProof(hasher, root, "no such key", absent)).toEqual({ ok: true, value: undefined });
    });
  }

  test("no single changed byte passes", async () => {
    const { root, proof } = await example(6);
    for (let at = 0; at < proof.page.length; at++) {
      expect(verifyProof(hasher, root, "key 5", { ...proof, page: flipped(proof.page, at) }).ok).toBe(false);
    }
    proof.siblings.forEach((level, l) => {
      for (let at = 0; at < level.length; at++) {
        const siblings = proof.siblings.map((s, i) => (i === l ? flipped(s, at) : s));
        expect(verifyProof(hasher, root, "key 5", { ...proof, siblings }).ok).toBe(false);
      }
    });
    expect(verifyProof(hasher, digest("0".repeat(64)), "key 5", proof).ok).toBe(false);
  });

  test("a proof for one key says nothing about a key of another page", async () => {
    const { root, proof } = await example(11);
    expect(verifyProof(hasher, root, "key 6", proof).ok).toBe(false);
  });

  test("shapes that no tree has are refused, whatever they contain", async () => {
    const { root, proof } = await example(8);
    const { bits, page, siblings } = proof;
    const shapes: StateProof[] = [
      ...[7, 3, 21, 8.5, Number.NaN].map((other) => ({ bits: other, page, siblings })),
      ...[siblings.slice(1), [...siblings, new Uint8Array(480)], siblings.map((s) => s.slice(32))].map((other) => ({ bits, page, siblings: other })),
      ...[new Uint8Array(0), page.slice(0, 5), Uint8Array.of(...page, 0)].map((other) => ({ bits, page: other, siblings })),
      { bits, page: Uint8Array.of(...page.slice(0, 4), 255, 255, 255, 255, ...page.slice(8)), siblings },
    ];
    for (const shape of shapes) expect(verifyProof(hasher, root, "key 5", shape).ok).toBe(false);
    expect(() => verifyProof(hasher, root, "", proof)).toThrow(RangeError);
  });

  test("a page that is not canonical is refused even if it hashes to the root", async () => {
    const state = await memoryStateStore({ hasher, bucketBits: 4 });
    state.put("key", utf8("1"));
    const { siblings } = state.prove("key");
    const bucket = (hasher.sha256(utf8("key"))[0] ?? 0) >>> 5;
    const entry = [0, 3, 0, 0, 0, 1, ...utf8("key"), ...utf8("1")];
    const page = Uint8Array.from([0, 0, 0, bucket, 0, 0, 0, 2, ...entry, ...entry]);
    const leaf = hasher.sha256(page);
    const others = siblings[0] ?? new Uint8Array(0);
    const top = hasher.sha256(others.subarray(0, bucket * 32), leaf, others.subarray(bucket * 32));
    const root = digest(Buffer.from(hasher.sha256(utf8("narses/state-root/1"), Uint8Array.of(4), top)).toString("hex"));
    const verdict = verifyProof(hasher, root, "key", { bits: 4, page, siblings });
    expect(verdict).toEqual({ ok: false, reason: `the page is not a canonical page of bucket ${bucket}` });
  });
});
