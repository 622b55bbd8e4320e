/** The module that `--app` names: `app` (or the default export) is a state machine, `operation` makes operations, `genesis` is optional. */
import { existsSync, realpathSync } from "node:fs";
import { register } from "node:module";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { StateMachine } from "@narses/core";
import type { Application, NextOperation } from "../application.ts";
import { ToolError } from "./tool-error.ts";

const loaded = new Map<string, Promise<Application>>();

/** Where the user stands. A script of a package runs in the directory of that package, wherever it was called; a program that it starts elsewhere stands there. */
function standing(): string {
  const { INIT_CWD: called, npm_package_json: manifest } = process.env;
  const inScript = manifest !== undefined && existsSync(manifest) && dirname(realpathSync(manifest)) === realpathSync(".");
  return inScript ? (called ?? ".") : ".";
}

/** Loads once per process. @throws ToolError that says what the module lacks. */
export function loadApplication(path: string): Promise<Application> {
  const full = resolve(standing(), path);
  let module = loaded.get(full);
  if (module === undefined) loaded.set(full, (module = load(full)));
  return module;
}

/** Whether TypeScript can be imported: in a checkout it can, this file was. */
let readsTypeScript = import.meta.url.endsWith(".ts");

function readTypeScript(): void {
  if (!readsTypeScript) register(new URL("./typescript-hooks.js", import.meta.url));
  readsTypeScript = true;
}

async function load(path: string): Promise<Application> {
  let exports: Record<string, unknown>;
  if (!existsSync(path)) throw new ToolError("APP_INVALID", `there is no ${path}: --app names a module that exports \`app\` and \`operation\``);
  try {
    if (/\.m?tsx?$/.test(path)) readTypeScript();
    exports = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    throw new ToolError("APP_INVALID", `cannot load ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const app = exports["app"] ?? exports["default"];
  const operation = exports["operation"];
  if (typeof (app as Partial<StateMachine> | undefined)?.apply !== "function") {
    throw new ToolError("APP_INVALID", `${path} exports no state machine: export const app = { apply(operation, context) { … } }`);
  }
  if (typeof operation !== "function") {
    throw new ToolError("APP_INVALID", `${path} exports no generator: export const operation = (random, client) => …, the next operation of a client`);
  }
  return { app: app as StateMachine, operation: operation as NextOperation, genesis: exports["genesis"] ?? null };
}
