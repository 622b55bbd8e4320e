/** Reads a payment file completely, and says everything that is wrong with it before anything is submitted. */
import { parseCsv, type CsvRow, type LineProblem } from "./parse.ts";
import { FORMATS, type FormatOptions, type Payment, type PaymentFormat } from "./formats.ts";

export interface PaymentFile {
  readonly format: PaymentFormat["name"] | undefined;
  readonly payments: readonly Payment[];
  /** In order of line; empty: the file may be imported. */
  readonly problems: readonly LineProblem[];
}

export interface PaymentFileOptions extends FormatOptions {
  /** Expected format; absent: told from the header. */
  readonly format?: PaymentFormat["name"] | undefined;
}

/** Problems a message shows, at most; the rest is counted. */
export const PROBLEMS_SHOWN_MAX = 20;

function formatOf(header: CsvRow, wanted: PaymentFormat["name"] | undefined): PaymentFormat | LineProblem {
  const fits = (format: PaymentFormat): boolean => format.columns.every((column) => header.cells.includes(column));
  const candidates = wanted === undefined ? Object.values(FORMATS) : [FORMATS[wanted]];
  const format = candidates.find(fits);
  if (format !== undefined) {
    const position = header.cells.findIndex((cell, i) => !format.columns.includes(cell) || header.cells.indexOf(cell) !== i);
    if (position < 0) return format;
    const cell = header.cells[position] ?? "";
    return {
      line: header.line,
      column: position + 1,
      field: cell,
      reason: format.columns.includes(cell)
        ? "appears twice in the header"
        : `is no column of the ${format.name} format (${format.columns.join(",")})`,
    };
  }
  const expected = candidates.map((candidate) => candidate.columns.join(",")).join("  or  ");
  return { line: header.line, column: undefined, field: undefined, reason: `the header must be ${expected}` };
}

function readRow(row: CsvRow, header: readonly string[], format: PaymentFormat, options: FormatOptions): Payment | LineProblem {
  if (row.cells.length !== header.length) {
    const missing = header[row.cells.length];
    const column = Math.min(row.cells.length, header.length) + 1;
    return {
      line: row.line,
      column,
      field: missing,
      reason:
        missing === undefined
          ? `the line has ${row.cells.length} cells, the header ${header.length}`
          : `is missing: the line has ${row.cells.length} of ${header.length} cells`,
    };
  }
  const result = format.read((column) => row.cells[header.indexOf(column)] ?? "", row.line, options);
  return "payment" in result
    ? result.payment
    : { line: row.line, column: header.indexOf(result.field) + 1, field: result.field, reason: result.reason };
}

/** Never throws for what is in the file. */
export function readPaymentFile(bytes: Uint8Array, options: PaymentFileOptions): PaymentFile {
  const csv = parseCsv(bytes);
  const problems: LineProblem[] = [...csv.problems];
  const [header, ...rows] = csv.rows;
  if (header === undefined) {
    if (problems.length === 0)
      problems.push({
        line: 1,
        column: undefined,
        field: undefined,
        reason: "the file is empty; it needs a header and at least one payment",
      });
    return { format: undefined, payments: [], problems };
  }
  const format = formatOf(header, options.format);
  if (!("columns" in format)) return { format: undefined, payments: [], problems: [format, ...problems] };
  const payments: Payment[] = [];
  const lineOfId = new Map<string, number>();
  for (const row of rows) {
    const read = readRow(row, header.cells, format, options);
    if (!("id" in read)) {
      problems.push(read);
      continue;
    }
    const earlier = lineOfId.get(read.id);
    if (earlier === undefined) lineOfId.set(read.id, row.line);
    else
      problems.push({
        line: row.line,
        column: header.cells.indexOf(format.columns[0] ?? "") + 1,
        field: format.columns[0],
        reason: `${read.id} was used on line ${earlier} already; every payment needs its own id`,
      });
    payments.push(read);
  }
  if (rows.length === 0 && problems.length === 0)
    problems.push({ line: header.line, column: undefined, field: undefined, reason: "the file has a header and no payments" });
  return { format: format.name, payments, problems: problems.sort((a, b) => a.line - b.line) };
}

/** `payments.csv:17: column 7 (amount): "12.505" has 3 decimals, the asset has 2` */
export function formatProblem(file: string, problem: LineProblem): string {
  const column =
    problem.column === undefined ? "" : ` column ${problem.column}${problem.field === undefined ? "" : ` (${problem.field})`}:`;
  return `${file}:${problem.line}:${column} ${problem.reason}`;
}
