/** A real Chromium where the machine has one. Tests that use it say aloud when it is absent, and check the same in a bare context. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, type Browser } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** CHROMIUM names it; else the first of the usual names on the PATH. */
export function findChromium(): string | undefined {
  const given = process.env["CHROMIUM"];
  if (given !== undefined && given !== "") return given;
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return NAMES.flatMap((name) => directories.map((directory) => join(directory, name))).find((path) => existsSync(path));
}

/** No sandbox: it needs kernel features that containers lack, and the only pages opened are our own. */
export const launchChromium = (executablePath: string): Promise<Browser> => chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
