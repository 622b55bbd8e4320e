/** The limits page says what the source says, and every bound says what it bounds. */
import { readFileSync, writeFileSync } from "node:fs";
import { DEFAULT_PARAMETERS } from "@narses/core";
import { expect, test } from "vitest";
import { limitsPage, sections } from "./limits-page.ts";

const page = new URL("../packages/core/LIMITS.md", import.meta.url);

test("every bound has a comment, and every option a default that its code has", () => {
  const mute = sections().flatMap(({ bounds }) => bounds.filter(({ text }) => text.length < 10).map(({ name, where }) => `${where}: ${name}`));
  expect(mute).toEqual([]);
  const parameters = sections()[0]?.bounds ?? [];
  expect(parameters.map(({ name }) => name).sort()).toEqual(Object.keys(DEFAULT_PARAMETERS).sort());
});

test("the page is what the source makes", () => {
  if (process.env["LIMITS_REWRITE"] === "1") writeFileSync(page, limitsPage());
  expect(readFileSync(page, "utf8")).toBe(limitsPage());
});
