/** Damage that every layout must notice: any cut, anything appended, another version, tag or epoch. */
import { NarsesError, REJECTION_CODES } from "@narses/core";
import { describe, expect, test } from "vitest";
import { frames, patch, stored, type Sample } from "../support/samples.ts";
import { join } from "../support/mutate.ts";

const WIRE_CODES = ["FRAME_MALFORMED", "FRAME_TOO_LARGE", "EPOCH_FOREIGN", "BATCH_INVALID", "REQUEST_INVALID"];

function refusal(sample: Sample, bytes: Uint8Array): { readonly code: string; readonly detail: string } {
  const decoded = sample.decode(bytes);
  if (decoded.ok) throw new TypeError(`${sample.name}: accepted ${bytes.length} bytes`);
  expect(WIRE_CODES).toContain(decoded.rejection.code);
  expect(REJECTION_CODES[decoded.rejection.code]).toBeDefined();
  return decoded.rejection;
}

describe.each(frames)("$name", (sample) => {
  const { bytes } = sample;

  test("is accepted undamaged", () => {
    expect(sample.decode(bytes)).toMatchObject({ ok: true });
  });

  test("cut at any byte is refused", () => {
    for (let length = 0; length < (sample.freeFrom ?? bytes.length); length++) refusal(sample, bytes.subarray(0, length));
  });

  test("followed by one byte is refused", () => {
    if (sample.freeFrom === undefined) refusal(sample, join(bytes, Uint8Array.of(0)));
    else expect(sample.decode(join(bytes, Uint8Array.of(0x20)))).toMatchObject({ ok: true });
  });

  test("of another protocol version is refused", () => {
    expect(refusal(sample, patch(bytes, 0, 2)).detail).toMatch(/version 2, this is 1/);
    refusal(sample, patch(bytes, 0, 0));
  });

  test("with a tag that is unused, or of something else, is refused", () => {
    for (const tag of [0, 7, 15, 63, 80, 96, 255]) refusal(sample, patch(bytes, 1, tag));
    for (const other of frames) if (other.bytes[1] !== bytes[1]) refusal(sample, patch(bytes, 1, other.bytes[1] ?? 0));
  });

  test("of another epoch is refused as foreign, not as misbehaviour", () => {
    expect(refusal(sample, patch(bytes, 5, 8))).toMatchObject({ code: "EPOCH_FOREIGN", detail: expect.stringMatching(/epoch 8, this is 7/) as string });
    expect(REJECTION_CODES.EPOCH_FOREIGN).toBe("ignore");
  });

  test("says which field is wrong, and where", () => {
    expect(refusal(sample, bytes.subarray(0, 4)).detail).toMatch(/^[a-z-]+ .*at byte 2: needs 4 bytes, 2 left$/);
  });
});

describe.each(stored)("$name", ({ name, bytes, decode }) => {
  const what = name === "block" ? "block" : "vote log record";
  const failure = (damaged: Uint8Array): NarsesError => {
    try {
      decode(damaged);
    } catch (error) {
      if (error instanceof NarsesError) return error;
      throw error;
    }
    throw new TypeError(`accepted ${damaged.length} bytes`);
  };

  test("cut at any byte, or followed by one, is DATA_CORRUPT with what and offset", () => {
    for (let length = 0; length < bytes.length; length++) {
      const error = failure(bytes.subarray(0, length));
      expect(error.code).toBe("DATA_CORRUPT");
      expect(error.data["what"]).toBe(what);
      expect(error.data["offset"]).toBeTypeOf("number");
    }
    const error = failure(join(bytes, Uint8Array.of(0)));
    expect(error).toMatchObject({ code: "DATA_CORRUPT", message: expect.stringContaining(`${what} of ${bytes.length + 1} bytes`) as string });
  });

  test("of another format version is DATA_VERSION", () => {
    expect(failure(patch(bytes, 0, 2))).toMatchObject({ code: "DATA_VERSION", data: { found: 2, version: 1 } });
  });

  test("with another tag or epoch is DATA_CORRUPT", () => {
    for (const tag of [0, 1, 79, 255]) expect(failure(patch(bytes, 1, tag)).code).toBe("DATA_CORRUPT");
    expect(failure(patch(bytes, 5, 8))).toMatchObject({ code: "DATA_CORRUPT", message: expect.stringMatching(/epoch 8, this is 7/) as string });
  });
});
