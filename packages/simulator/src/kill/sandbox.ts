/** A copy of the packages' sources, in which a seeded bug can live. The tree itself is never written to. */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ToolError } from "../cli/tool-error.ts";
import type { Mutation } from "./mutation.ts";

/** The checkout this file is part of. @throws ToolError when it is not in one: an installed package has no sources to mutate. */
export function checkoutRoot(): string {
  const root = dirname(dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url))))));
  if (!import.meta.url.endsWith(".ts") || !existsSync(join(root, "pnpm-workspace.yaml"))) {
    throw new ToolError("MUTATION_STALE", "seeded bugs are put into a copy of the sources: run this from a checkout of the repository, as `pnpm sim kill`");
  }
  return root;
}

const OWN_SCOPE = "@narses/";
const FINGERPRINT_DIGITS = 16;

const packageNames = (root: string): readonly string[] => readdirSync(join(root, "packages")).sort();

/** Packages that a run is made of: the simulator and what it imports, and so on. */
function partsOf(root: string): readonly string[] {
  const parts = new Set<string>(["simulator"]);
  for (const name of parts) {
    const { dependencies = {} } = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as { readonly dependencies?: Readonly<Record<string, string>> };
    for (const other of Object.keys(dependencies)) if (other.startsWith(OWN_SCOPE)) parts.add(other.slice(OWN_SCOPE.length));
  }
  return [...parts].sort();
}

/** Of everything that can matter to a verdict: results of another state of the sources are void. */
export function fingerprint(root: string): string {
  const hash = createHash("sha256");
  for (const name of partsOf(root)) {
    const src = join(root, "packages", name, "src");
    for (const file of (readdirSync(src, { recursive: true }) as string[]).sort()) {
      if (file.endsWith(".ts")) hash.update(`${name}/${file}\n`).update(readFileSync(join(src, file)));
    }
  }
  return hash.digest("hex").slice(0, FINGERPRINT_DIGITS);
}

export interface Sandbox {
  /** Entry of the simulator in the copy. */
  readonly program: string;
  /** Puts a seeded bug in; undoes the one before. @throws ToolError when its text is no longer there. */
  seed(mutation: Mutation): void;
  dispose(): void;
}

/** @throws ToolError naming file and text when a mutation's anchor is gone. */
export function applied(source: string, mutation: Mutation, file: string): string {
  let text = source;
  for (const edit of mutation.edits) {
    if (edit.file !== file) continue;
    const places = text.split(edit.find).length - 1;
    const wanted = edit.places ?? 1;
    if (places !== wanted) {
      const found = places === 0 ? `no longer holds${nearest(text, edit.find)}` : `holds ${places} times, not ${wanted},`;
      throw new ToolError("MUTATION_STALE", `seeded bug "${mutation.name}": packages/${file} ${found} ${JSON.stringify(edit.find)}; adapt the edit in packages/simulator/src/kill`);
    }
    text = text.replaceAll(edit.find, () => edit.replace);
  }
  return text;
}

/** The line that has most words in common with the one that is gone: probably what became of it. */
function nearest(text: string, gone: string): string {
  const words = (line: string): ReadonlySet<string> => new Set(line.match(/\w+/g));
  const wanted = words(gone);
  let best = { common: 0, length: 0, at: "" };
  for (const [i, line] of text.split("\n").entries()) {
    const held = words(line);
    const common = [...held].filter((word) => wanted.has(word)).length;
    if (common > best.common || (common === best.common && common > 0 && held.size < best.length)) best = { common, length: held.size, at: `line ${i + 1}: ${line.trim()}` };
  }
  return 2 * best.common > wanted.size ? ` (but perhaps ${best.at})` : "";
}

const PREFIX = "narses-kill-";

/** Copies whose process is gone: it was killed before it could take them away. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined) continue;
    try {
      process.kill(Number(pid), 0);
    } catch (error) {
      // EPERM: it lives, as somebody else's.
      if ((error as NodeJS.ErrnoException).code === "ESRCH") rmSync(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
}

export function createSandbox(root: string): Sandbox {
  sweep();
  const dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  for (const name of packageNames(root)) {
    const from = join(root, "packages", name);
    const to = join(dir, "packages", name);
    mkdirSync(to, { recursive: true });
    cpSync(join(from, "src"), join(to, "src"), { recursive: true });
    cpSync(join(from, "package.json"), join(to, "package.json"));
    if (existsSync(join(from, "node_modules"))) cpSync(join(from, "node_modules"), join(to, "node_modules"), { recursive: true, verbatimSymlinks: true });
  }
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"), "dir");
  let undo: readonly (readonly [string, string])[] = [];
  return {
    program: join(dir, "packages/simulator/src/main.ts"),
    seed: (mutation) => {
      for (const [path, text] of undo) writeFileSync(path, text);
      const files = [...new Set(mutation.edits.map((edit) => edit.file))];
      const changes = files.map((file) => {
        const path = join(dir, "packages", file);
        const text = readFileSync(path, "utf8");
        return { path, text, changed: applied(text, mutation, file) };
      });
      for (const { path, changed } of changes) writeFileSync(path, changed);
      undo = changes.map(({ path, text }) => [path, text] as const);
    },
    dispose: () => rmSync(dir, { recursive: true, force: true }),
  };
}
