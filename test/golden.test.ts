/** Golden traces: each file under golden/ is a story. `GOLDEN_REWRITE=1 pnpm vitest run test/golden.test.ts` writes outcomes anew. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { LEGEND } from "@narses/simulator";
import { replay } from "./golden/script.ts";

const directory = new URL("golden/", import.meta.url);
const files = readdirSync(directory).filter((name) => name.endsWith(".txt")).sort();
const rewrite = process.env["GOLDEN_REWRITE"] === "1";

describe("golden traces", () => {
  test.each(files)("%s", (name) => {
    const url = new URL(name, directory);
    const text = readFileSync(url, "utf8");
    const replayed = replay(text);
    if (rewrite) writeFileSync(url, replayed);
    else expect(replayed).toBe(text);
  });

  test("every file says why it exists, and some outcome follows every command", () => {
    for (const name of files) {
      const text = readFileSync(new URL(name, directory), "utf8");
      expect(text).toMatch(/^# .{40,}/);
      expect(text.split("\n").filter((line) => line === "----").length).toBeGreaterThan(2);
    }
  });

  test("the legend explains every mark the traces use", () => {
    const legend = LEGEND.join("\n");
    const marks = new Set(files.flatMap((name) => [...readFileSync(new URL(name, directory), "utf8").matchAll(/^(?: {5}|r\d )([^\w\s→])/gm)].map((m) => m[1] as string)));
    for (const mark of marks) expect(legend).toContain(`${mark}  `);
  });
});
