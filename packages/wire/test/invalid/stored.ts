/** What a replica's own disk gives back after damage, and encoded results: one row per rule. */
import { NarsesError, REJECTION_CODES } from "@narses/core";
import { describe, expect, test } from "vitest";
import { decodeResult, encodePayload } from "../../src/index.ts";
import { codec } from "../support/cluster.ts";
import { join } from "../support/mutate.ts";
import { block, commitCertificate, patch, stored } from "../support/samples.ts";

const ABOVE_2_53 = [0x00, 0x20, 0, 0, 0, 0, 0, 0] as const;
const ZERO_64 = [0, 0, 0, 0, 0, 0, 0, 0] as const;
const HEADER = 6;
const sample = (name: string): Uint8Array => stored.find((s) => s.name === name)?.bytes ?? new Uint8Array();

type Row = readonly [what: string, bytes: Uint8Array, detail: RegExp];

function refusedAs(decode: () => unknown, detail: RegExp): void {
  let caught: unknown;
  try {
    decode();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(NarsesError);
  expect(caught).toMatchObject({ code: "DATA_CORRUPT", message: expect.stringMatching(detail) as string, data: { offset: expect.any(Number) as number } });
}

describe("vote log record", () => {
  const prePrepared = sample("record pre-prepared");
  const committed = sample("record committed");
  /** The batch, whose presence the byte before it tells, ends the record. */
  const commitFlag = committed.length - (block.batch?.bytes.length ?? 0) - 1;
  /** Behind view, seq and digest. */
  const flags = HEADER + 8 + 8 + 32;
  test.each<Row>([
    ["pre-prepared with a view of 2^53", patch(prePrepared, HEADER, ...ABOVE_2_53), /record view at byte 6/],
    ["pre-prepared with a seq of 2^53", patch(prePrepared, HEADER + 8, ...ABOVE_2_53), /record seq at byte 14/],
    ["pre-prepared at genesis", patch(prePrepared, HEADER + 8, ...ZERO_64), /record seq .*: 0, at least 1/],
    ["pre-prepared with signed 2", patch(prePrepared, flags, 2), /record signed .*: 2, must be 0 or 1/],
    ["pre-prepared with batch 2", patch(prePrepared, flags + 1, 2), /record batch .*: 2, must be 0 or 1/],
    ["pre-prepared that denies its batch", patch(prePrepared, flags + 1, 0), /bytes after its end/],
    ["pre-prepared that denies its envelope", patch(prePrepared, flags, 0), /./],
    ["committed with batch 2", patch(committed, commitFlag, 2), /record batch .*: 2, must be 0 or 1/],
    ["committed that denies its batch", patch(committed, commitFlag, 0), /bytes after its end/],
    ["view-left with a view of 2^53", patch(sample("record view-left"), HEADER, ...ABOVE_2_53), /record view/],
    ["view-left for view 0", patch(sample("record view-left"), HEADER, ...ZERO_64), /record view .*: 0, at least 1/],
    ["new-view with a view of 2^53", patch(sample("record new-view"), HEADER, ...ABOVE_2_53), /record view/],
    ["new-view of view 0", patch(sample("record new-view"), HEADER, ...ZERO_64), /record view .*: 0, at least 1/],
    ["vouched with a seq of 2^53", patch(sample("record vouched"), HEADER, ...ABOVE_2_53), /record seq/],
    ["vouched for genesis", patch(sample("record vouched"), HEADER, ...ZERO_64), /record seq .*: 0, at least 1/],
    ["amnesia with view known 2", patch(sample("record amnesia"), HEADER, 2), /record view known .*: 2/],
    ["amnesia with a view of 2^53", patch(sample("record amnesia"), HEADER + 1, ...ABOVE_2_53), /record view/],
    ["amnesia with floor known 2", patch(sample("record amnesia"), HEADER + 9, 2), /record floor known .*: 2/],
    ["amnesia with a floor view of 2^53", patch(sample("record amnesia"), HEADER + 10, ...ABOVE_2_53), /record floor view/],
    ["amnesia with a floor at genesis", patch(sample("record amnesia"), HEADER + 18, ...ZERO_64), /record floor seq .*: 0, at least 1/],
    ["stable without proof", patch(sample("record stable").subarray(0, HEADER + 42), HEADER + 40, 0, 0), /stable proof count .*: 0 at seq 8/],
  ])("%s", (_what, bytes, detail) => refusedAs(() => codec.decodeRecord(bytes), detail));
});

describe("block", () => {
  const bytes = codec.encodeBlock(block);
  const certificateFlag = HEADER + 176;
  const certified = codec.encodeBlock({ ...block, certificate: commitCertificate }).length - codec.encodeBlock({ ...block, certificate: undefined }).length;
  const count = certificateFlag + 1 + certified;
  test.each<Row>([
    ["with a header seq of 2^53", patch(bytes, HEADER, ...ABOVE_2_53), /header seq/],
    ["with certificate 2", patch(bytes, certificateFlag, 2), /block certificate at byte 182: 2, must be 0 or 1/],
    ["that denies its certificate", patch(bytes, certificateFlag, 0), /./],
    ["with more lists of results than bytes", patch(bytes.subarray(0, count + 2), count, 1, 0), /block results count .*: 256 need 512 bytes, 0 left/],
    ["with a list of 17 results", patch(bytes, count + 2, 0, 17), /results count .*: 17, at most 16/],
  ])("%s", (_what, damaged, detail) => refusedAs(() => codec.decodeBlock(damaged), detail));
});

describe("result", () => {
  const of = (status: number, value: unknown): Uint8Array => join(Uint8Array.of(status), encodePayload(value));
  test.each<Row>([
    ["nothing", new Uint8Array(), /result status at byte 0: needs 1 bytes/],
    ["status 0", of(0, null), /result status at byte 0: 0, must be 1 to 3/],
    ["status 4", of(4, null), /result status at byte 0: 4/],
    ["ok without a value", Uint8Array.of(1), /needs 1 bytes, 0 left/],
    ["bytes after the value", join(of(1, null), Uint8Array.of(0xc0)), /1 bytes after its end/],
    ["rejected with a bare string", of(2, "X"), /must be an array of 3/],
    ["rejected with a map", of(2, { code: "X", message: "m" }), /must be an array of 3/],
    ["rejected of two fields", of(2, ["X", "m"]), /must be an array of 3/],
    ["not executed of three fields", of(3, ["X", "m", {}]), /must be an array of 2/],
    ["a code that is a number", of(2, [1, "m", {}]), /code and message must be strings/],
    ["a message that is null", of(3, ["X", null]), /code and message must be strings/],
    ["data that is a list", of(2, ["X", "m", []]), /data must be a map/],
    ["data that is bytes", of(2, ["X", "m", new Uint8Array(1)]), /data must be a map/],
    ["data that is null", of(2, ["X", "m", null]), /data must be a map/],
  ])("%s", (_what, bytes, detail) => {
    const decoded = decodeResult(bytes);
    expect(decoded).toMatchObject({ ok: false, rejection: { detail: expect.stringMatching(detail) as string } });
    if (!decoded.ok) expect(REJECTION_CODES[decoded.rejection.code]).toBeDefined();
  });
});
