import { NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import { CommandError, EXIT, failureOf } from "../src/cli/failure.ts";
import { createOutput, type Output } from "../src/cli/output.ts";
import { bar, count, fields, table } from "../src/cli/table.ts";

function capture(options: { json?: boolean; tty?: boolean; env?: Record<string, string> } = {}): {
  output: Output;
  out: string[];
  err: string[];
} {
  const out: string[] = [];
  const err: string[] = [];
  const stream = (lines: string[]): { write(text: string): void; isTTY: boolean } => ({
    write: (text) => void lines.push(text),
    isTTY: options.tty ?? false,
  });
  return {
    output: createOutput({ json: options.json ?? false, stdout: stream(out), stderr: stream(err), env: options.env ?? {} }),
    out,
    err,
  };
}

describe("output", () => {
  it("prints one JSON document and nothing else with --json", () => {
    const { output, out, err } = capture({ json: true });
    output.note("a note");
    output.progress("half", true);
    output.result({ a: 1n, b: Uint8Array.of(255) }, "text");
    expect([out, err]).toEqual([['{"a":"1","b":"ff"}\n'], []]);
  });

  it("prints errors as JSON on stderr with --json", () => {
    const { output, out, err } = capture({ json: true });
    expect(output.fail(new CommandError("X", EXIT.input, "bad file", { line: 3 }))).toBe(7);
    expect(out).toEqual([]);
    expect(JSON.parse(err.join(""))).toEqual({ error: { code: "X", message: "bad file", exit: 7, data: { line: 3 } } });
  });

  it("uses no escape codes without a terminal, or with NO_COLOR", () => {
    for (const options of [{}, { tty: true, env: { NO_COLOR: "1" } }]) expect(capture(options).output.style("red", "x")).toBe("x");
  });

  it("prints milestones as lines where lines cannot be replaced", () => {
    const { output, err } = capture();
    output.progress("10 %", true);
    output.progress("11 %", false);
    expect(err).toEqual(["10 %\n"]);
  });

  it("replaces the progress line on a terminal and removes it before anything else", () => {
    const { output, err } = capture({ tty: true });
    output.progress("10 %", false);
    output.progress("20 %", false);
    output.note("done");
    expect(err.join("")).toBe("10 %\r\u001b[2K20 %\r\u001b[2Kdone\n");
  });
});

describe("failures", () => {
  it.each([
    [new NarsesError("CONFIG_INVALID", "m"), "CONFIG_INVALID", EXIT.setup],
    [new NarsesError("NOT_CONNECTED", "m"), "NOT_CONNECTED", EXIT.unreachable],
    [new NarsesError("RECEIPT_INVALID", "m"), "RECEIPT_INVALID", EXIT.unverified],
    [new NarsesError("APP_REJECTED", "m", { code: "OVERDRAFT", message: "too much", seq: 4, data: {} }), "OVERDRAFT", EXIT.refused],
    [Object.assign(new TypeError("no such file"), { code: "ENOENT" }), "ENOENT", EXIT.setup],
    [new TypeError("oops"), "INTERNAL", EXIT.internal],
    ["text", "INTERNAL", EXIT.internal],
  ])("%s becomes code %s and status %i", (error, code, exit) => {
    expect(failureOf(error)).toMatchObject({ code, exit });
  });

  it("does not print receipts", () => {
    const { data } = failureOf(new NarsesError("NOT_EXECUTED", "m", { receipt: { bytes: 1 }, seq: 3 }));
    expect(data).toEqual({ seq: 3 });
  });
});

describe("tables", () => {
  it("align columns and end lines without blanks", () => {
    expect(
      table(
        [{ title: "id" }, { title: "n", right: true }, { title: "x" }],
        [
          ["a", "5", ""],
          ["long", "12", "y"],
        ],
      ),
    ).toBe("id     n  x\na      5\nlong  12  y");
    expect(
      fields([
        ["a", "1"],
        ["long", "2"],
      ]),
    ).toBe("a     1\nlong  2");
  });
  it("draw bars and counts", () => {
    expect([bar(0, 10, 4), bar(5, 10, 4), bar(10, 10, 4), bar(0, 0, 2), count(1234567), count(999)]).toEqual([
      "[....]",
      "[##..]",
      "[####]",
      "[##]",
      "1,234,567",
      "999",
    ]);
  });
});
