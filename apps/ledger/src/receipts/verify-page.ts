/**
 * The verification page as one file: markup, style and the client's offline verification in a single script. Its policy
 * allows nothing but this very script (named by its hash) and style, so it can contact nobody.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CommandError, EXIT } from "../cli/failure.ts";

/** Beside `src` and `dist` alike. */
const directory = new URL("../../verify-page/", import.meta.url);

const read = (name: string): string => readFileSync(new URL(name, directory), "utf8");
const hashOf = (content: string): string => `'sha256-${createHash("sha256").update(content).digest("base64")}'`;

async function bundleScript(): Promise<string> {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.ts", directory))],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    platform: "browser",
    target: "es2022",
    conditions: ["@narses/source"],
    define: { Buffer: "undefined", process: "undefined" },
    legalComments: "none",
    logLevel: "silent",
  });
  return (outputFiles[0]?.text ?? "").replaceAll("</script", "<\\/script");
}

/** @throws CommandError SOURCES_MISSING where only the compiled program is installed. */
export async function buildVerifyPage(): Promise<string> {
  if (!existsSync(new URL("page.ts", directory))) {
    throw new CommandError("SOURCES_MISSING", EXIT.setup, "the verification page is made from the sources, and they are not installed; run this in a checkout", {});
  }
  const style = read("page.css");
  const script = await bundleScript();
  const policy = `default-src 'none'; script-src ${hashOf(script)}; style-src ${hashOf(style)}; base-uri 'none'; form-action 'none'`;
  const parts: Readonly<Record<string, string>> = {
    policy: `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    style,
    script,
  };
  return read("page.html").replaceAll(/<!-- (policy|style|script) -->/g, (_, part: string) => parts[part] ?? "");
}
