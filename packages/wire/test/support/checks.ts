/**
 * Which of the checks in the source a table has met. A check is a place where a decoder can give up: the line that reads
 * or judges a field, and how. Found in the source by pattern and in a run by the stack of `Reader.fail`, so a decoder that
 * is new, or a check without a row, is found without being registered anywhere.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Reader } from "../../src/reader.ts";

const SOURCE = fileURLToPath(new URL("../../src/", import.meta.url));
/** They hold the means, not the checks. */
const MEANS = ["reader.ts", "writer.ts"];

/** What a line of a decoder can refuse, by the call it makes. That a field is cut short is not here: `damage.ts` cuts every value at every byte. */
const CALLS: readonly (readonly [call: RegExp, ways: readonly string[]])[] = [
  [/\br\.fail\(/, ["judged"]],
  [/\br\.count\(/, ["above its limit", "more than the bytes left"]],
  [/\br\.flag\(/, ["not 0 or 1"]],
  [/\br\.(u64|view64|seq64)\(/, ["above 2^53 − 1"]],
  [/\br\.(view64|seq64)\("[^"]*", [1-9]/, ["below its least"]],
  [/\br\.finish\(/, ["followed by more"]],
  [/\bcheckSize\(r\b/, ["too large"]],
];

/** Which of them a failure is, by the reader's method that noticed it and what it says. */
function wayOf(method: string, problem: string): string {
  if (method === "checkSize") return "too large";
  if (/^needs \d+ bytes, \d+ left$/.test(problem)) return "cut short";
  if (/^\d+ need \d+ bytes, \d+ left$/.test(problem)) return "more than the bytes left";
  if (method === "count") return "above its limit";
  if (method === "finish") return "followed by more";
  if (method === "flag") return "not 0 or 1";
  if (/hex, at most 2\^53 − 1$/.test(problem)) return "above 2^53 − 1";
  return method === "fail" ? "judged" : "below its least";
}

export function checksInSource(): readonly string[] {
  const found = new Set<string>();
  for (const file of readdirSync(SOURCE)) {
    if (!file.endsWith(".ts") || MEANS.includes(file)) continue;
    readFileSync(`${SOURCE}${file}`, "utf8").split("\n").forEach((line, i) => {
      if (/^(export )?function checkSize|^\s*(\*|\/\/)/.test(line)) return;
      for (const [call, ways] of CALLS) if (call.test(line)) for (const way of ways) found.add(`${file}:${i + 1} ${way}`);
    });
  }
  return [...found].sort();
}

/** The text of a line, to name a check that has no row. */
export const sourceLine = (check: string): string => {
  const [file = "", line = "0"] = check.split(" ", 1)[0]?.split(":") ?? [];
  return readFileSync(`${SOURCE}${file}`, "utf8").split("\n")[Number(line) - 1]?.trim() ?? "";
};

const FRAME = /at (?:(?:Reader\.)?([\w#.<>]+) )?\(?.*\/wire\/src\/([\w-]+\.ts):(\d+):\d+\)?$/;

/** From now on, what `Reader.fail` is called from is remembered in the set returned. */
export function watchChecks(): ReadonlySet<string> {
  const met = new Set<string>();
  const reader = Reader.prototype as { fail(...args: readonly unknown[]): never };
  const fail = reader.fail;
  reader.fail = function watched(this: Reader, ...args: readonly unknown[]): never {
    const frames = (new Error().stack ?? "").split("\n").flatMap((line) => {
      const [, method = "", file = "", at = ""] = FRAME.exec(line) ?? [];
      return file === "" ? [] : [{ method, file, at }];
    });
    const from = frames.findIndex(({ method, file }) => !MEANS.includes(file) && method !== "checkSize");
    const { file, at } = frames[from] ?? { file: "?", at: "?" };
    met.add(`${file}:${at} ${wayOf(frames[from - 1]?.method ?? "fail", String(args[1]))}`);
    return fail.apply(this, [...args]);
  };
  return met;
}
