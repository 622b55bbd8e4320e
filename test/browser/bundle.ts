/**
 * The browser bundle of the client: everything `@narses/client` exports, offline verification included, as one classic script
 * that defines `narses`. Run as a program it writes the script to packages/client/dist/browser and says how large it is.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page may have to load, compressed. */
export const BUNDLE_GZIP_BYTES_MAX = 100_000;

const client = fileURLToPath(new URL("../../packages/client/", import.meta.url));

export interface BrowserBundle {
  readonly code: string;
  readonly gzipBytes: number;
  /** Every file it was made of, relative to the repository. */
  readonly inputs: readonly string[];
}

/** Fails on an import of a Node module: for a browser there is none. */
export async function buildBrowserBundle(): Promise<BrowserBundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: fileURLToPath(new URL("../../", import.meta.url)),
    entryPoints: [join(client, "src/index.ts")],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "iife",
    globalName: "narses",
    platform: "browser",
    target: "es2022",
    conditions: ["@narses/source"],
    // Fast paths for Node, found by feature detection: here there is nothing to detect.
    define: { Buffer: "undefined", process: "undefined" },
    legalComments: "none",
    logLevel: "silent",
  });
  const code = outputFiles[0]?.text ?? "";
  return { code, gzipBytes: gzipSync(code, { level: 9 }).length, inputs: Object.keys(metafile.inputs) };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { code, gzipBytes } = await buildBrowserBundle();
  const path = join(client, "dist/browser/narses-client.js");
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, code);
  process.stdout.write(`${path}: ${code.length} bytes, ${gzipBytes} gzipped (limit ${BUNDLE_GZIP_BYTES_MAX})\n`);
}
