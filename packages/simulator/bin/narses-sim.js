#!/usr/bin/env node
/**
 * In a checkout, runs the sources through tsx, so that it never runs a stale build; installed without sources or tsx, runs
 * the compiled program.
 */
import { existsSync } from "node:fs";
import { register } from "node:module";

const source = new URL("../src/main.ts", import.meta.url);

function tsxApi() {
  try {
    return import.meta.resolve("tsx/esm/api");
  } catch {
    return undefined;
  }
}

const api = existsSync(source) ? tsxApi() : undefined;
if (api === undefined) {
  await import(new URL("../dist/main.js", import.meta.url).href);
} else {
  const tsx = await import(api);
  tsx.register();
  // As `node --conditions=@narses/source` does, which cannot be asked for after the start.
  const hook = `export const resolve = (specifier, context, next) =>
    next(specifier, { ...context, conditions: ["@narses/source", ...context.conditions] });`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
  await import(source.href);
}
