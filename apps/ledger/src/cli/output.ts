/** Where a command's words go: results to stdout, progress and errors to stderr; one JSON document each with --json. */
import { styleText } from "node:util";
import { failureOf, type Exit } from "./failure.ts";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Output {
  readonly json: boolean;
  /** The command's result: `value` with --json, else `text`. Once per command. */
  result(value: unknown, text: string): void;
  /** A line for people on stderr; nothing with --json. */
  note(text: string): void;
  /** A line that replaces the one before on a terminal; elsewhere a line of its own if `milestone`. */
  progress(text: string, milestone: boolean): void;
  fail(error: unknown): Exit;
  /** Styles for stdout and for stderr; plain text when it is no terminal or NO_COLOR is set. */
  style(style: Style, text: string): string;
  styleNote(style: Style, text: string): string;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** JSON of bigints and byte strings too, which results may hold. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? item.toString() : item instanceof Uint8Array ? Buffer.from(item).toString("hex") : item,
  );

export function createOutput({ json, stdout, stderr, env }: OutputOptions): Output {
  const plain = (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
  const styler = (stream: Stream) => (style: Style, text: string) => (stream.isTTY === true && !plain ? styleText(style, text) : text);
  const styleNote = styler(stderr);
  const live = stderr.isTTY === true && env["TERM"] !== "dumb" && !json;
  let shown = false;
  const clear = (): void => {
    if (shown) stderr.write("\r\u001b[2K");
    shown = false;
  };
  return {
    json,
    style: styler(stdout),
    styleNote,
    result: (value, text) => {
      clear();
      stdout.write(json ? `${toJson(value)}\n` : text === "" ? "" : `${text}\n`);
    },
    note: (text) => {
      clear();
      if (!json) stderr.write(`${text}\n`);
    },
    progress: (text, milestone) => {
      if (live) {
        clear();
        stderr.write(text.slice(0, Math.max(20, (stderr.columns ?? 100) - 1)));
        shown = true;
      } else if (milestone && !json) stderr.write(`${text}\n`);
    },
    fail: (error) => {
      clear();
      const { code, message, exit, data } = failureOf(error);
      stderr.write(
        json
          ? `${toJson({ error: { code, message, exit, data } })}\n`
          : `${styleNote("red", "error:")} ${message} ${styleNote("dim", `[${code}]`)}\n`,
      );
      return exit;
    },
  };
}
