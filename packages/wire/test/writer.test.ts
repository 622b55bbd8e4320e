/** The writer grows, at every boundary, and is used again. */
import { InvariantViolation, toHex } from "@narses/core";
import { expect, test } from "vitest";
import { Writer } from "../src/writer.ts";

function fields(w: Writer): Uint8Array {
  w.begin();
  w.u8(0xff);
  w.u16(0xfffe);
  w.u32(0xffff_fffd);
  w.u64(Number.MAX_SAFE_INTEGER);
  w.flag(true);
  w.raw(Uint8Array.of(1, 2, 3));
  w.digest("0123456789abcdef".repeat(4));
  w.u64(2 ** 32);
  return w.finish();
}

const EXPECTED = `fffffefffffffd001fffffffffffff01010203${"0123456789abcdef".repeat(4)}0000000100000000`;

test("any initial size gives the same bytes, twice", () => {
  for (let initialBytes = 0; initialBytes <= EXPECTED.length / 2 + 1; initialBytes++) {
    const w = new Writer(initialBytes);
    expect(toHex(fields(w)), `initial size ${initialBytes}`).toBe(EXPECTED);
    expect(toHex(fields(w)), `initial size ${initialBytes}, second use`).toBe(EXPECTED);
  }
});

test("what it gives back is not overwritten by the next value, also after a large one", () => {
  const w = new Writer(16);
  const first = fields(w);
  w.begin().raw(new Uint8Array(2 << 20).fill(7));
  expect(w.finish()).toHaveLength(2 << 20);
  fields(w);
  expect(toHex(first)).toBe(EXPECTED);
});

test("a value abandoned half way leaves nothing behind", () => {
  const w = new Writer(16);
  w.begin().u8(1);
  expect(() => w.u64(-1)).toThrow(InvariantViolation);
  expect(toHex(fields(w))).toBe(EXPECTED);
});

test.each<readonly [string, (w: Writer) => void]>([
  ["u8", (w) => w.u8(256)], ["u8", (w) => w.u8(-1)], ["u8", (w) => w.u8(1.5)], ["u16", (w) => w.u16(65_536)], ["u32", (w) => w.u32(2 ** 32)],
  ["u32", (w) => w.u32(NaN)], ["u64", (w) => w.u64(2 ** 53)], ["a hash of 32 bytes", (w) => w.fixed("a hash", new Uint8Array(31), 32)],
])("%s out of range is an invariant violation", (what, write) => {
  expect(() => write(new Writer(16).begin())).toThrow(`as ${what}`);
  expect(() => write(new Writer(16).begin())).toThrow(InvariantViolation);
});
