/**
 * Loads an application written in TypeScript, on every Node: not each strips types, and those that do refuse enums and parameter
 * properties. Always as an ES module, whatever the package around it says: as CommonJS it would get a second copy of `@narses/core`.
 * Registered with `module.register` by `app-module.ts`; dependencies are left to Node.
 */
import { readFile } from "node:fs/promises";
import type { LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";

/** A file of the application's own. */
const isTypeScript = (url: string): boolean => url.startsWith("file:") && /\.m?tsx?$/.test(url) && !url.includes("/node_modules/");

/** Among TypeScript files one may write `./ledger`, or `./ledger.js` for what will be compiled. */
const otherNames = (specifier: string): readonly string[] => [specifier.replace(/\.(m?)js$/, ".$1ts"), `${specifier}.ts`, `${specifier}/index.ts`];

export const resolve: ResolveHook = async (specifier, context, next) => {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!specifier.startsWith(".") || context.parentURL === undefined || !isTypeScript(context.parentURL)) throw error;
    for (const other of otherNames(specifier)) {
      try {
        return await next(other, context);
      } catch {
        // The first error is the one that names what was written.
      }
    }
    throw error;
  }
};

export const load: LoadHook = async (url, context, next) => {
  if (!isTypeScript(url)) return next(url, context);
  const sourcefile = fileURLToPath(url);
  const loader = url.endsWith("x") ? "tsx" : "ts";
  const { code } = await transform(await readFile(sourcefile, "utf8"), { loader, format: "esm", target: "node20", sourcefile, sourcemap: "inline" });
  return { format: "module", source: code, shortCircuit: true };
};
