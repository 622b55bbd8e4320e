#!/usr/bin/env node
/**
 * In a checkout, runs the sources through tsx, so that it never runs a stale build; installed, runs the compiled program.
 */
import { existsSync } from "node:fs";
import { register } from "node:module";

const source = new URL("../src/main.ts", import.meta.url);
const isCheckout = existsSync(new URL("../../../pnpm-workspace.yaml", import.meta.url));

if (isCheckout) {
  const tsx = await import("tsx/esm/api");
  tsx.register();
  // As `node --conditions=@narses/source` does, which cannot be asked for after the start.
  const hook = `export const resolve = (specifier, context, next) =>
    next(specifier, { ...context, conditions: ["@narses/source", ...context.conditions] });`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
  await import(source.href);
} else {
  await import(new URL("../dist/main.js", import.meta.url).href);
}
