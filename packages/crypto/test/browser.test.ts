import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { toHex } from "@narses/core";
import { describe, expect, it } from "vitest";
import { merkleRoot, signingKeyFromSeed } from "../src/index.ts";

interface BuildResult {
  readonly outputFiles: readonly { readonly text: string }[];
  readonly metafile: { readonly inputs: Readonly<Record<string, unknown>> };
}
interface Bundler {
  build(options: Readonly<Record<string, unknown>>): Promise<BuildResult>;
}

/** The bundler tsx brings along: no dependency of our own for one test. */
const require = createRequire(import.meta.url);
const { build } = createRequire(require.resolve("tsx/package.json"))("esbuild") as Bundler;

/** In the page: everything the entry offers that a browser can do, results as text. */
const PAGE = `
  import * as c from "@narses/crypto";
  const seed = new Uint8Array(32).fill(3);
  const message = new Uint8Array([1, 2, 3]);
  const key = c.signingKeyFromSeed(seed);
  const signature = key.sign(message);
  let keyFileError = "";
  try { c.loadKeyFile("k"); } catch (error) { keyFileError = error.name + ": " + error.message; }
  globalThis.result = JSON.stringify({
    backends: c.backends().map((b) => b.name),
    signature: Array.from(signature),
    verified: c.verifyingKey(key.publicKey).verify(message, signature),
    root: Array.from(c.merkleRoot([message, seed])),
    seedBytes: c.generateSeed().length,
    keyFileError,
  });
`;

describe("in a browser", () => {
  it("bundles without a Node builtin or native module, loads and works with web globals alone", async () => {
    // Fails by itself on an import of node:* (platform "browser" resolves none).
    const { outputFiles, metafile } = await build({
      stdin: { contents: PAGE, resolveDir: fileURLToPath(new URL("..", import.meta.url)) },
      platform: "browser",
      conditions: ["@narses/source"],
      format: "iife",
      bundle: true,
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const inputs = Object.keys(metafile.inputs);
    expect(inputs.some((input) => input.endsWith("native.browser.ts"))).toBe(true);
    expect(inputs.filter((input) => /\.node\.ts$|sodium|openssl|seed-encryption|^node:/.test(input))).toEqual([]);

    // No process, Buffer, require or setTimeout here: what the code reaches for beyond these three throws.
    const page = createContext({ crypto: globalThis.crypto, TextEncoder, Uint8Array });
    runInContext(outputFiles[0]?.text ?? "", page);
    const result = JSON.parse(String(runInContext("result", page))) as Record<string, unknown>;
    const seed = new Uint8Array(32).fill(3);
    const message = Uint8Array.of(1, 2, 3);
    expect(result).toEqual({
      backends: ["noble"],
      signature: Array.from(signingKeyFromSeed(seed).sign(message)),
      verified: true,
      root: Array.from(merkleRoot([message, seed])),
      seedBytes: 32,
      keyFileError: expect.stringMatching(/^TypeError: loadKeyFile.*browser has no key files/),
    });
    expect(toHex(Uint8Array.from(result["root"] as number[]))).toHaveLength(64);
  });
});
