/** Plain text tables and bars. */

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Columns as wide as their widest cell, two spaces apart, no line for an empty table but its header. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const width = columns.map((column, i) => Math.max(column.title.length, ...rows.map((row) => (row[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, i) => (column.right === true ? (cells[i] ?? "").padStart(width[i] ?? 0) : (cells[i] ?? "").padEnd(width[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)].join("\n");
}

/** Name and value below each other; names padded. */
export function fields(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

/** A bar of `width` cells, filled to `done` of `total`. */
export function bar(done: number, total: number, width = 24): string {
  const filled = total === 0 ? width : Math.min(width, Math.floor((done / total) * width));
  return `[${"#".repeat(filled)}${".".repeat(width - filled)}]`;
}

/** First digits of a digest, enough to compare by eye. */
export const shortHash = (hash: string): string => `${hash.slice(0, 16)}…`;

export const seconds = (ms: number): string => (ms < 10_000 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 1000).toFixed(1)} s`);

export const count = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;
