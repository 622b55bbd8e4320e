/**
 * A program as one file, so that a process starts in a third of the time: end-to-end tests start dozens. Native modules stay
 * where they are installed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NATIVE: Readonly<Record<string, string>> = { "classic-level": "packages/storage", "sodium-native": "packages/crypto" };

const natives: Plugin = {
  name: "natives",
  setup: (context) => {
    context.onResolve({ filter: /^(classic-level|sodium-native)$/ }, ({ path }) => {
      const owner = createRequire(join(ROOT, NATIVE[path] ?? "", "package.json"));
      return { path: pathToFileURL(owner.resolve(path)).href, external: true };
    });
  },
};

export interface Program {
  /** Arguments of node. */
  readonly argv: readonly string[];
  remove(): void;
}

export async function bundleProgram(entry: URL): Promise<Program> {
  const directory = mkdtempSync(join(tmpdir(), "narses-program-"));
  const outfile = join(directory, "program.mjs");
  await build({
    absWorkingDir: ROOT, entryPoints: [fileURLToPath(entry)], outfile, bundle: true, platform: "node", format: "esm", target: "node20", conditions: ["@narses/source"],
    plugins: [natives], logLevel: "silent",
    // Some dependencies are CommonJS and ask for Node's own modules.
    banner: { js: 'import { createRequire as programRequire } from "node:module"; const require = programRequire(import.meta.url);' },
  });
  return { argv: [outfile], remove: () => rmSync(directory, { recursive: true, force: true }) };
}
