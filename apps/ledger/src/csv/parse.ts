/**
 * CSV as in RFC 4180: comma, optional double quotes ("" inside), LF or CRLF, an optional byte order mark. Every cell knows
 * its line, so that a problem can be shown where an editor will find it.
 */

/** Larger files are refused before they are read: split them. */
export const CSV_BYTES_MAX: number = 64 << 20;
export const CSV_ROWS_MAX = 1_000_000;
const CELL_LENGTH_MAX = 4_096;

/** One thing wrong with one line. */
export interface LineProblem {
  /** From 1, the header is line 1. */
  readonly line: number;
  /** From 1; undefined when the whole line is meant. */
  readonly column: number | undefined;
  /** Name of the column in the header, if known. */
  readonly field: string | undefined;
  /** A clause that follows the name of the field. */
  readonly reason: string;
}

export interface CsvRow {
  /** Line on which the row starts. */
  readonly line: number;
  readonly cells: readonly string[];
}

export interface Csv {
  readonly rows: readonly CsvRow[];
  readonly problems: readonly LineProblem[];
}

interface Cursor {
  readonly text: string;
  at: number;
  line: number;
}

/** Reads one cell; returns its text, or the reason why it is malformed. Leaves the cursor at the separator. */
function readCell(c: Cursor): { readonly text: string } | { readonly reason: string } {
  if (c.text[c.at] !== '"') {
    const start = c.at;
    while (c.at < c.text.length && !",\r\n".includes(c.text.charAt(c.at))) {
      if (c.text[c.at] === '"') return { reason: "has a quote in the middle; quote the whole cell and double the quotes inside" };
      c.at++;
    }
    return { text: c.text.slice(start, c.at) };
  }
  let text = "";
  for (c.at++; c.at < c.text.length; c.at++) {
    const character = c.text.charAt(c.at);
    if (character === "\n") c.line++;
    if (character !== '"') text += character;
    else if (c.text[c.at + 1] === '"') text += c.text[c.at++];
    else {
      c.at++;
      const next = c.text.charAt(c.at);
      return next === "" || ",\r\n".includes(next) ? { text } : { reason: `has ${JSON.stringify(next)} after its closing quote` };
    }
  }
  return { reason: "has an opening quote that is never closed" };
}

function skipLine(c: Cursor): void {
  const end = c.text.indexOf("\n", c.at);
  c.at = end < 0 ? c.text.length : end + 1;
  c.line++;
}

function readRow(c: Cursor, problems: LineProblem[]): CsvRow | undefined {
  const { line } = c;
  const cells: string[] = [];
  for (;;) {
    const cell = readCell(c);
    const tooLong = "text" in cell && cell.text.length > CELL_LENGTH_MAX;
    if ("reason" in cell || tooLong) {
      problems.push({
        line,
        column: cells.length + 1,
        field: undefined,
        reason: "reason" in cell ? cell.reason : `is longer than ${CELL_LENGTH_MAX} characters`,
      });
      skipLine(c);
      return undefined;
    }
    cells.push(cell.text);
    if (c.text[c.at] !== ",") break;
    c.at++;
  }
  if (c.text[c.at] === "\r") c.at++;
  if (c.at < c.text.length && c.text[c.at] !== "\n") {
    problems.push({ line, column: cells.length, field: undefined, reason: "is followed by a carriage return that ends no line" });
  }
  skipLine(c);
  return { line, cells };
}

/** Splits a file into rows. Blank lines are skipped. Problems are collected, not thrown. */
export function parseCsv(bytes: Uint8Array): Csv {
  const problems: LineProblem[] = [];
  const whole = (reason: string): Csv => ({ rows: [], problems: [{ line: 1, column: undefined, field: undefined, reason }] });
  if (bytes.length > CSV_BYTES_MAX) return whole(`the file has ${bytes.length} bytes, more than the limit of ${CSV_BYTES_MAX}; split it`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // drops a byte order mark
  } catch {
    return whole("the file is not UTF-8 text; convert it first");
  }
  const rows: CsvRow[] = [];
  const cursor: Cursor = { text, at: 0, line: 1 };
  while (cursor.at < text.length) {
    const row = readRow(cursor, problems);
    if (row === undefined || (row.cells.length === 1 && row.cells[0] === "")) continue;
    rows.push(row);
    if (rows.length > CSV_ROWS_MAX) return whole(`the file has more than ${CSV_ROWS_MAX} rows; split it`);
  }
  return { rows, problems };
}

/** Quotes a cell if it must be. */
export const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
