import { createHash } from "node:crypto";
import { fromHex, toHex } from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { merklePath, merkleRoot, merkleTree, merkleVerify } from "../src/index.ts";
import { concat, flipped } from "./edge-cases.ts";

const hash = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(createHash("sha256").update(concat(...parts)).digest());

/** RFC 6962 §2.1 and §2.1.1, word by word. */
const split = (n: number): number => 2 ** Math.floor(Math.log2(n - 1));
function specRoot(d: readonly Uint8Array[]): Uint8Array {
  if (d.length === 0) return hash();
  if (d.length === 1) return hash(Uint8Array.of(0), ...d);
  const k = split(d.length);
  return hash(Uint8Array.of(1), specRoot(d.slice(0, k)), specRoot(d.slice(k)));
}
function specPath(m: number, d: readonly Uint8Array[]): Uint8Array[] {
  if (d.length <= 1) return [];
  const k = split(d.length);
  return m < k ? [...specPath(m, d.slice(0, k)), specRoot(d.slice(k))] : [...specPath(m - k, d.slice(k)), specRoot(d.slice(0, k))];
}

const distinct = (n: number): Uint8Array[] => Array.from({ length: n }, (_, i) => Buffer.from(`leaf ${i}`));
const trees = fc.integer({ min: 1, max: 70 }).chain((n) => fc.tuple(fc.constant(distinct(n)), fc.integer({ min: 0, max: n - 1 })));

describe("the tree", () => {
  // The example tree of the certificate-transparency reference implementation.
  const leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map(fromHex);
  const roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];
  it.each(roots.map((root, n) => ({ n, root })))("of $n leaves has the published root", ({ n, root }) => {
    expect(toHex(merkleRoot(leaves.slice(0, n)))).toBe(root);
  });

  it("is the one of RFC 6962 for every size up to 70, paths too", () => {
    for (let n = 0; n <= 70; n++) {
      const d = distinct(n);
      const tree = merkleTree(d);
      expect(toHex(tree.root)).toBe(toHex(specRoot(d)));
      for (let i = 0; i < n; i++) expect(tree.path(i).map(toHex)).toEqual(specPath(i, d).map(toHex));
    }
  });

  it("has no path for an index outside of it", () => {
    for (const index of [-1, 3, 0.5, Number.NaN]) expect(() => merklePath(distinct(3), index)).toThrow(RangeError);
    expect(() => merklePath([], 0)).toThrow(RangeError);
  });
});

describe("merkleVerify", () => {
  it("accepts every leaf of every tree up to 70", () => {
    for (let n = 1; n <= 70; n++) {
      const d = distinct(n);
      const { root, path } = merkleTree(d);
      d.forEach((leaf, i) => expect(merkleVerify(leaf, i, n, path(i), root)).toBe(true));
    }
  });

  it("rejects another leaf, another index, an altered, shortened or lengthened path, another root", () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.nat(255), ([d, index], pick, bit) => {
        const { root, path } = merkleTree(d);
        const proof = path(index);
        const leaf = d[index] ?? new Uint8Array();
        const accepts = (changes: { leaf?: Uint8Array; index?: number; path?: Uint8Array[]; root?: Uint8Array }): boolean =>
          merkleVerify(changes.leaf ?? leaf, changes.index ?? index, d.length, changes.path ?? proof, changes.root ?? root);
        expect(accepts({})).toBe(true);
        expect(accepts({ leaf: concat(leaf, Uint8Array.of(0)) })).toBe(false);
        expect(accepts({ root: flipped(root, bit) })).toBe(false);
        for (let other = 0; other < d.length; other++) if (other !== index) expect(accepts({ index: other })).toBe(false);
        expect(accepts({ path: [...proof, root] })).toBe(false);
        if (proof.length > 0) {
          const at = pick % proof.length;
          expect(accepts({ path: proof.slice(1) })).toBe(false);
          expect(accepts({ path: proof.slice(0, -1) })).toBe(false);
          expect(accepts({ path: proof.map((sibling, i) => (i === at ? flipped(sibling, bit) : sibling)) })).toBe(false);
        }
      }),
    );
  });

  it("rejects another count, unless the way from leaf to root is the same in both trees", () => {
    /** For each level with a sibling, which side it is on. */
    const shape = (index: number, count: number): string => {
      let way = "";
      for (; count > 1; index = Math.floor(index / 2), count = Math.ceil(count / 2)) {
        if (index % 2 === 1) way += "L";
        else if (index + 1 < count) way += "R";
      }
      return way;
    };
    fc.assert(
      fc.property(trees, fc.integer({ min: 0, max: 140 }), ([d, index], count) => {
        const { root, path } = merkleTree(d);
        const expected = index < count && shape(index, count) === shape(index, d.length);
        expect(merkleVerify(d[index] ?? new Uint8Array(), index, count, path(index), root)).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("rejects an inner node presented as a leaf, with or without its prefix, at every place and count", () => {
    for (const n of [2, 3, 4, 5, 8, 13]) {
      const d = distinct(n);
      const { root, path } = merkleTree(d);
      const left = hash(Uint8Array.of(0), Buffer.from("leaf 0"));
      const right = hash(Uint8Array.of(0), Buffer.from("leaf 1"));
      for (const forged of [concat(left, right), concat(Uint8Array.of(1), left, right), concat(Uint8Array.of(0), left, right)]) {
        for (let count = 1; count <= n + 1; count++) {
          for (let index = 0; index < count; index++) expect(merkleVerify(forged, index, count, path(0).slice(1), root)).toBe(false);
        }
      }
      // Nor is the tree over its own inner nodes the same tree.
      expect(toHex(merkleRoot([concat(left, right), ...d.slice(2)]))).not.toBe(toHex(root));
    }
  });

  it("does not take a tree with its last leaf repeated for the tree without (CVE-2012-2459)", () => {
    const d = distinct(3);
    expect(toHex(merkleRoot([...d, d[2] ?? new Uint8Array()]))).not.toBe(toHex(merkleRoot(d)));
  });

  it("gives false, never an error, for whatever a stranger sends", () => {
    const [leaf, root] = [Uint8Array.of(1), merkleRoot([Uint8Array.of(1)])];
    expect(merkleVerify(leaf, 0, 1, [], root)).toBe(true);
    for (const [index, count] of [[0, 0], [1, 1], [-1, 1], [0.5, 1], [0, 1.5], [Number.NaN, 1], [0, Number.POSITIVE_INFINITY], [2 ** 53, 2 ** 53 + 2]] as const) {
      expect(merkleVerify(leaf, index, count, [], root)).toBe(false);
    }
    expect(merkleVerify(leaf, 0, 1, [], root.subarray(1))).toBe(false);
    expect(merkleVerify(leaf, 0, 2, [root.subarray(1)], root)).toBe(false);
    expect(merkleVerify(leaf, 0, 1, Array.from({ length: 100_000 }, () => root), root)).toBe(false);
    expect(merkleVerify(leaf, 0, Number.MAX_SAFE_INTEGER, Array.from({ length: 53 }, () => root), root)).toBe(false);
  });
});
