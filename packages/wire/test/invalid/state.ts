/** What no correct replica sends, in the frames of state transfer: one row per rule. */
import { seqNum } from "@narses/core";
import { describe, expect, test } from "vitest";
import { codec } from "../support/cluster.ts";
import { frames, patch } from "../support/samples.ts";

type Case = readonly [what: string, frame: Uint8Array, code: string, detail: RegExp];
const ABOVE_2_53 = [0x00, 0x20, 0, 0, 0, 0, 0, 0] as const;

function refuses(...[, frame, code, detail]: Case): void {
  expect(codec.decodePeer(frame)).toMatchObject({ ok: false, rejection: { code, detail: expect.stringMatching(detail) as string } });
}
const sample = (name: string): Uint8Array => frames.find((f) => f.name === name)?.bytes ?? new Uint8Array();

describe("state transfer", () => {
  const nodes = sample("fetch-state nodes");
  const pages = sample("fetch-state pages");
  const chunk = sample("state-pages");
  const large = (count: number, length: number): Uint8Array => codec.encodePeer({
    type: "state-pages", seq: seqNum(8), pages: Array.from({ length: count }, (_, bucket) => ({ bucket, size: length, offset: 0, bytes: new Uint8Array(length) })),
  });
  const of = (page: Partial<{ bucket: number; size: number; offset: number; bytes: Uint8Array }>): Uint8Array =>
    codec.encodePeer({ type: "state-pages", seq: seqNum(8), pages: [{ bucket: 1, size: 4, offset: 0, bytes: new Uint8Array(4), ...page }] });
  const ask = (kind: "nodes" | "pages", indexes: readonly number[], offset = 0): Uint8Array =>
    codec.encodePeer({ type: "fetch-state", seq: seqNum(8), part: kind === "nodes" ? { kind, level: 1, indexes } : { kind, indexes, offset } });
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  test.each<Case>([
    ["seq 0", patch(nodes, 6, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /fetch-state seq .*: 0, at least 1/],
    ["kind 3", patch(nodes, 14, 3), "FRAME_MALFORMED", /fetch-state kind at byte 14: 3, must be below 3/],
    ["level 0", patch(nodes, 15, 0), "FRAME_MALFORMED", /fetch-state level .*: 0, must be from 1 to 5/],
    ["level 6", patch(nodes, 15, 6), "FRAME_MALFORMED", /fetch-state level .*: 6/],
    ["no node", ask("nodes", []), "FRAME_MALFORMED", /fetch-state nodes count .*: 0, at least 1/],
    ["257 nodes", ask("nodes", upTo(257)), "FRAME_TOO_LARGE", /fetch-state nodes count .*: 257, at most 256/],
    ["513 pages", ask("pages", upTo(513)), "FRAME_TOO_LARGE", /fetch-state at byte 0: \d+ bytes/],
    ["a node twice", ask("nodes", [4, 4]), "FRAME_MALFORMED", /fetch-state nodes .*: 4 after 4, must ascend/],
    ["nodes out of order", ask("nodes", [4, 3]), "FRAME_MALFORMED", /3 after 4/],
    ["a node outside any tree", ask("nodes", [2 ** 20]), "FRAME_MALFORMED", /1048576, must be below 1048576/],
    ["an offset and two pages", ask("pages", [1, 2], 5), "FRAME_MALFORMED", /2 with an offset, must be 1/],
    ["an offset beyond any page", patch(pages, 15, 1, 0, 0, 0), "FRAME_MALFORMED", /fetch-state offset .*: 16777216/],
    ["0 bits", patch(sample("state-header"), 182, 0), "FRAME_MALFORMED", /state-header bits .*: 0/],
    ["21 bits", patch(sample("state-header"), 182, 21), "FRAME_MALFORMED", /state-header bits .*: 21/],
    ["a node without children", patch(sample("state-nodes"), 21, 0), "FRAME_MALFORMED", /state-nodes children .*: 0, must be from 1 to 16/],
    ["a node of 17 children", patch(sample("state-nodes"), 21, 17), "FRAME_MALFORMED", /state-nodes children .*: 17/],
    ["more nodes than bytes", patch(sample("state-nodes"), 15, 0, 9), "FRAME_MALFORMED", /state-nodes count .*: 9 need 333 bytes/],
    ["no page", codec.encodePeer({ type: "state-pages", seq: seqNum(8), pages: [] }), "FRAME_MALFORMED", /state-pages count .*: 0, at least 1/],
    ["pages out of order", patch(chunk, 16, 0, 0, 0, 10), "FRAME_MALFORMED", /state-pages bucket .*: 9 after 10/],
    ["a page of 16 MiB + 1", of({ size: (16 << 20) + 1 }), "FRAME_MALFORMED", /state-pages size .*: 16777217, at most 16777216/],
    ["an offset beyond the page", of({ offset: 5, bytes: new Uint8Array() }), "FRAME_MALFORMED", /state-pages offset .*: 5 of a page of 4 bytes/],
    ["more bytes than the page has", of({ offset: 1 }), "FRAME_MALFORMED", /state-pages length .*: 4 at 1 of a page of 4 bytes/],
    ["nothing of a page", of({ bytes: new Uint8Array() }), "FRAME_MALFORMED", /state-pages length .*: 0 at 0/],
    ["a part that neither ends the page nor fills a chunk", of({ size: 16 << 20, bytes: new Uint8Array(1) }), "FRAME_MALFORMED", /state-pages length .*: 1 at 0 of a page of 16777216 bytes/],
    ["a part that is not alone", codec.encodePeer({
      type: "state-pages", seq: seqNum(8), pages: [0, 1].map((bucket) => ({ bucket, size: 2 << 20, offset: 0, bytes: new Uint8Array(bucket === 0 ? 1 << 20 : 0) })),
    }), "FRAME_MALFORMED", /a part must be alone/],
    ["a chunk above 1 MiB", large(2, (1 << 19) + 1), "FRAME_TOO_LARGE", /state-pages bytes .*: 1048578, at most 1048576/],
    ["a page that claims 4 GiB", patch(chunk, 28, 255, 255, 255, 255), "FRAME_MALFORMED", /state-pages/],
    ["an oldest of 2^53", patch(sample("state-gone"), 14, ...ABOVE_2_53), "FRAME_MALFORMED", /state-gone oldest/],
    ["fetch-block of genesis", patch(sample("fetch-block"), 6, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /fetch-block seq .*: 0, at least 1/],
    ["fetch-block of 2^53", patch(sample("fetch-block"), 6, ...ABOVE_2_53), "FRAME_MALFORMED", /fetch-block seq/],
    ["a part of block 2^53", patch(sample("block-part"), 6, ...ABOVE_2_53), "FRAME_MALFORMED", /block-part seq/],
    ["an offset beyond any block", patch(sample("fetch-block"), 14, 2, 0, 0, 0), "FRAME_MALFORMED", /fetch-block offset .*: 33554432, must be below/],
    ["a part of genesis", patch(sample("block-part"), 6, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /block-part seq .*: 0, at least 1/],
    ["a block above 32 MiB", patch(sample("block-part"), 14, 2, 0, 0, 1), "FRAME_MALFORMED", /block-part size .*: 33554433, at most/],
    ["a part behind the end of its block", patch(sample("block-part"), 18, 0, 0, 0, 5), "FRAME_MALFORMED", /block-part offset .*: 5 of a block of 5 bytes/],
    ["a part shorter than it says", sample("block-part").subarray(0, -1), "FRAME_MALFORMED", /block-part bytes .*: 2 at 2 of a block of 5 bytes, must be 3/],
    ["a part longer than it says", patch(sample("block-part"), 18, 0, 0, 0, 3), "FRAME_MALFORMED", /block-part bytes .*: 3 at 3 of a block of 5 bytes, must be 2/],
    ["bytes of a block that is not here", patch(sample("block-part"), 14, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /block-part bytes .*: 3 at 0 of a block of 0 bytes, must be 0/],
    ["state-gone at genesis", patch(sample("state-gone"), 6, 0, 0, 0, 0, 0, 0, 0, 0), "FRAME_MALFORMED", /state-gone seq .*: 0, at least 1/],
  ])("with %s", refuses);

  test("a full chunk, and the parts of the largest page, are accepted", () => {
    expect(codec.decodePeer(large(2, 1 << 19))).toMatchObject({ ok: true });
    expect(codec.decodePeer(of({ size: 16 << 20, offset: 15 << 20, bytes: new Uint8Array(1 << 20) }))).toMatchObject({ ok: true });
    expect(codec.decodePeer(ask("pages", upTo(512)))).toMatchObject({ ok: true });
  });
});
