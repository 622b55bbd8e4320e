/** The package loads, and gives the same bytes, where there is no Buffer and no node: module. */
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { frames, newView } from "./support/samples.ts";

const sources = new URL("../src/", import.meta.url);
const source = (name: string): string => readFileSync(new URL(name, sources), "utf8");

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

test("no source names a node: module, and only host.ts names the host", () => {
  for (const name of readdirSync(sources)) {
    const code = source(name).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    expect(code, name).not.toMatch(/["']node:|\bprocess\.|\brequire\(/);
    if (name !== "host.ts") expect(code, name).not.toMatch(/\bBuffer\b|globalThis|TextEncoder|TextDecoder/);
  }
});

test("without Buffer, encoders give the same bytes and decoders the same values", async () => {
  const withBuffer = frames.map(({ bytes, decode }) => decode(bytes));
  vi.stubGlobal("Buffer", undefined);
  vi.resetModules();
  const samples = await import("./support/samples.ts");
  expect(samples.newView).not.toBe(newView);
  samples.frames.forEach(({ name, bytes, decode }, i) => {
    expect(bytes, name).toStrictEqual(frames[i]?.bytes);
    expect(decode(bytes), name).toStrictEqual(withBuffer[i]);
  });
});
