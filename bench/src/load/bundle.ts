/**
 * The measured programs as one file each, made of the packages' sources. Half of the time a replica takes to start is Node looking for
 * and reading some 770 modules, and they stay in memory: whoever ships a daemon ships it like this.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const OUT = fileURLToPath(new URL("../../dist/bundle", import.meta.url));
const STORAGE = new URL("../../../packages/storage/package.json", import.meta.url);

/** Code finds its native modules from where it was, not from where the bundle lies. */
const inPlace: Plugin = {
  name: "in-place",
  setup(bundler) {
    bundler.onResolve({ filter: /^classic-level$/ }, () => ({ path: createRequire(STORAGE).resolve("classic-level") }));
    bundler.onLoad({ filter: /[\\/]classic-level[\\/]binding\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll("__dirname", JSON.stringify(dirname(path))), loader: "js",
    }));
    bundler.onLoad({ filter: /[\\/]packages[\\/][^\\/]+[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)), loader: "ts",
    }));
  },
};

/** @throws the bundler's errors. */
export async function bundle(names: readonly string[]): Promise<void> {
  for (const name of names) {
    await build({
      entryPoints: [`${HERE}${name}.ts`], outdir: OUT, outExtension: { ".js": ".mjs" }, conditions: ["@narses/source"],
      bundle: true, format: "esm", platform: "node", target: "node20", plugins: [inPlace], legalComments: "none", logLevel: "silent",
      // Names stay, for profiles and stacks; the rest is read a third faster. What is imported when it is needed stays apart.
      minifyWhitespace: true, minifySyntax: true, splitting: true,
      banner: { js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);' },
    });
  }
}
