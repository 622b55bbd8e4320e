/** Learning decided slots from others: what is carried proves itself. */
import { describe, expect, test } from "vitest";
import { NULL_DIGEST } from "@narses/core";
import { batchOf, bench, codes, committedOf, configOf, digestOf, executeOf, persistCommitted, prePrepare, stableOf, types } from "./helpers.ts";

const a = batchOf("a");
const certificate = committedOf(3, 1, a.digest, [0, 2, 3]);

describe("decisions", () => {
  test("a commit certificate of any view with its payload decides: durable with the payload, executed", () => {
    expect(bench(configOf(1)).from(3, { type: "decision", certificate, batch: a })).toEqual([persistCommitted(certificate, a), executeOf(certificate, a, false)]);
  });

  test("the payload is not stored twice when the proposal holds it", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    expect(b.from(3, { type: "decision", certificate, batch: a })).toEqual([persistCommitted(certificate), executeOf(certificate, a, false)]);
  });

  test("a null batch has no payload", () => {
    const empty = committedOf(1, 1, NULL_DIGEST, [0, 1, 3]);
    expect(bench(configOf(1)).from(3, { type: "decision", certificate: empty, batch: undefined })).toEqual([persistCommitted(empty), executeOf(empty, undefined, false)]);
  });

  test("an invalid certificate is misbehaviour and leaves nothing behind", () => {
    const b = bench(configOf(1));
    expect(codes(b.from(3, { type: "decision", certificate: { ...certificate, commits: certificate.commits.slice(1) }, batch: a }))).toEqual(["CERTIFICATE_INVALID"]);
    expect(b.status().openSlots).toBe(0);
  });

  test("too far ahead it is refused", () => {
    expect(codes(bench(configOf(1)).from(3, { type: "decision", certificate: committedOf(0, 9, a.digest, [0, 2, 3]), batch: a }))).toEqual(["SEQ_ABOVE_WINDOW"]);
  });

  test("a primary that goes on in a view that is over is not to blame for what was decided later: it cannot know; in its own view it can", () => {
    const other = batchOf("b");
    const b = bench(configOf(1));
    b.from(3, { type: "decision", certificate, batch: a }); // of view 3
    const effects = b.from(0, prePrepare(0, 1, other));
    expect(codes(effects)).toEqual(["VIEW_OLD"]);
    expect(effects.find(({ type }) => type === "view-left")).toMatchObject({ view: 1, reason: "seq 1 was decided in view 3" });
    const same = bench(configOf(1));
    same.from(3, { type: "decision", certificate: committedOf(0, 1, a.digest, [0, 2, 3]), batch: a });
    expect(codes(same.from(0, prePrepare(0, 1, other)))).toEqual(["EQUIVOCATION"]);
  });

  test("what is handed over already is silence", () => {
    const b = bench(configOf(1));
    b.from(3, { type: "decision", certificate, batch: a });
    expect(b.from(0, { type: "decision", certificate, batch: a })).toEqual([]);
  });

  test("covered by a certified checkpoint, a decision needs no record: it can be fetched again", () => {
    const b = bench(configOf(1));
    b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) });
    expect(types(b.from(3, { type: "decision", certificate, batch: a }))).toEqual(["execute"]);
  });
});

describe("payloads by digest", () => {
  test("a decided slot executes when its payload comes", () => {
    const b = bench(configOf(1));
    b.from(3, { type: "decision", certificate, batch: undefined });
    expect(b.from(2, { type: "batch", batch: a })).toEqual([executeOf(certificate, a, false)]);
    expect(codes(b.from(2, { type: "batch", batch: a }))).toEqual(["UNSOLICITED"]);
  });

  test("another payload is not wanted", () => {
    const b = bench(configOf(1));
    b.from(3, { type: "decision", certificate, batch: undefined });
    expect(codes(b.from(2, { type: "batch", batch: { ...a, digest: digestOf("other") } }))).toEqual(["UNSOLICITED"]);
  });

  test("payloads are served to whoever asks", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    expect(b.from(2, { type: "fetch-batch", digest: a.digest })).toEqual([{ type: "send", to: 2, message: { type: "batch", batch: a } }]);
    expect(b.from(2, { type: "fetch-batch", digest: digestOf("unknown") })).toEqual([]);
  });
});
