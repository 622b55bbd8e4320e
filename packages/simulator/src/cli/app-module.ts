/** The module that `--app` names: `app` (or the default export) is a state machine, `operation` makes operations, `genesis` is optional. */
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { StateMachine } from "@narses/core";
import type { NextOperation } from "../application.ts";
import { ToolError } from "./tool-error.ts";

export interface AppModule {
  readonly app: StateMachine;
  readonly operation: NextOperation;
  readonly genesis: unknown;
}

const loaded = new Map<string, Promise<AppModule>>();

/** Loads once per process. @throws ToolError that says what the module lacks. */
export function loadApp(path: string): Promise<AppModule> {
  const full = resolve(process.env["INIT_CWD"] ?? ".", path);
  let module = loaded.get(full);
  if (module === undefined) loaded.set(full, (module = load(full)));
  return module;
}

async function load(path: string): Promise<AppModule> {
  let exports: Record<string, unknown>;
  try {
    exports = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const hint = path.endsWith(".ts") ? " (TypeScript needs tsx installed beside it, or a Node that strips types)" : "";
    throw new ToolError("APP_INVALID", `cannot load ${path}: ${error instanceof Error ? error.message : String(error)}${hint}`, { cause: error });
  }
  const app = exports["app"] ?? exports["default"];
  const operation = exports["operation"];
  if (typeof (app as Partial<StateMachine> | undefined)?.apply !== "function") {
    throw new ToolError("APP_INVALID", `${path} exports no state machine: export const app = { apply(operation, context) { … } }`);
  }
  if (typeof operation !== "function") {
    throw new ToolError("APP_INVALID", `${path} exports no generator: export const operation = (random, client) => …, the next operation of a client`);
  }
  return { app: app as StateMachine, operation: operation as NextOperation, genesis: exports["genesis"] };
}
