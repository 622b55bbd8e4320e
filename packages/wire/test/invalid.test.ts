/**
 * Tables of what no correct replica or client sends, and what no disk gives back undamaged: one row per rule and value. The
 * last test finds any check of any decoder that no row meets.
 */
import { expect, test } from "vitest";
import { TAG } from "../src/index.ts";
import { checksInSource, sourceLine, watchChecks } from "./support/checks.ts";
import { frames, stored } from "./support/samples.ts";

const met = watchChecks();
await import("./invalid/damage.ts");
await import("./invalid/frames.ts");
await import("./invalid/state.ts");
await import("./invalid/signed.ts");
await import("./invalid/payload.ts");
await import("./invalid/stored.ts");

/** Checks that no bytes can fail, by the text of their line. */
const UNREACHABLE: readonly (readonly [line: RegExp, way: string])[] = [
  [/r\.bytes\.length > bytesMax\) r\.fail\(what/, "judged"], // checkSize itself: counted where it is called
  [/r\.count\("block results count"/, "above its limit"], // a u16 holds no more
  [/r\.count\("refused detail", r\.remaining,/, "more than the bytes left"], // it counts the bytes left
  [/r\.fail\("payload", `msgpackr: /, "judged"], // the scan before refuses whatever msgpackr would not read
];
const reachable = (check: string): boolean => !UNREACHABLE.some(([line, way]) => check.endsWith(` ${way}`) && line.test(sourceLine(check)));

test("every check of every decoder is met by a row above", () => {
  const missing = checksInSource().filter((check) => !met.has(check) && reachable(check));
  expect(checksInSource().length).toBeGreaterThan(120);
  expect(missing.map((check) => `${check}: ${sourceLine(check)}`)).toEqual([]);
});

test("every type tag has a valid sample, which the tables damage", () => {
  /** Only ever inside another value. */
  const inner: readonly number[] = [TAG.PRE_PREPARE, TAG.OUTCOME];
  const sampled = new Set([...frames, ...stored].map(({ bytes }) => bytes[1]));
  expect(Object.entries(TAG).filter(([, tag]) => !sampled.has(tag) && !inner.includes(tag))).toEqual([]);
});
