/** The client must load in a browser: no Node module, no Buffer, nothing but what every host has. */
import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";

const directory = new URL("../src/", import.meta.url);
const files = readdirSync(directory).filter((file) => file.endsWith(".ts"));
/** Without comments: prose may say Node. */
const source = (file: string): string => readFileSync(new URL(file, directory), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");

describe.each(files)("src/%s", (file) => {
  it("imports only core, crypto, wire and its neighbours", () => {
    const imports = [...source(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, specifier]) => specifier ?? "");
    for (const specifier of imports) expect(specifier).toMatch(/^(@narses\/(core|crypto|wire)|\.\/[a-z-]+\.ts)$/);
  });

  it("names no host object that browsers lack", () => {
    expect(source(file)).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(|\b__dirname\b|\b__filename\b|\bsetImmediate\b|\bglobal\./);
  });
});

it("finds the sources", () => {
  expect(files).toContain("connect.ts");
  expect(files.length).toBeGreaterThan(15);
});
