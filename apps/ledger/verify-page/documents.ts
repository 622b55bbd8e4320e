/** What somebody drops on the page: a cluster file, or files of receipts. Told apart by content, never by name. */

/** Bytes of one file, at most: a page holds it whole. */
export const FILE_BYTES_MAX: number = 64 << 20;

export interface ReceiptLine {
  readonly file: string;
  readonly line: number;
  /** About an operation, or about a key of the state. */
  readonly about: "operation" | "state";
  readonly bytes: Uint8Array;
  /** Payment id → number of its operation in the bundle; absent for a single receipt. */
  readonly payments: Readonly<Record<string, number>> | undefined;
}

export type Dropped =
  | { readonly kind: "cluster"; readonly file: string; readonly text: string }
  | { readonly kind: "receipts"; readonly file: string; readonly lines: readonly ReceiptLine[] }
  | { readonly kind: "unknown"; readonly file: string; readonly problem: string };

function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function readPayments(value: unknown): ReceiptLine["payments"] {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || !Object.values(value).every((index) => Number.isSafeInteger(index) && index >= 0)) {
    throw new TypeError('"payments" must give each payment its number in the bundle');
  }
  return value as Record<string, number>;
}

function readLine(file: string, line: number, text: string): ReceiptLine {
  const { type, version, receipt, payments } = JSON.parse(text) as { type?: unknown; version?: unknown; receipt?: unknown; payments?: unknown };
  if ((type !== "narses-receipt" && type !== "narses-state-receipt") || version !== 1 || typeof receipt !== "string") throw new TypeError("it is no receipt of version 1");
  return { file, line, about: type === "narses-receipt" ? "operation" : "state", bytes: fromBase64(receipt), payments: readPayments(payments) };
}

const isClusterFile = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "replicas" in value;
  } catch {
    return false;
  }
};

export function readDropped(file: string, text: string): Dropped {
  if (isClusterFile(text)) return { kind: "cluster", file, text };
  const lines: ReceiptLine[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    try {
      lines.push(readLine(file, i + 1, line));
    } catch (error) {
      return { kind: "unknown", file, problem: `line ${i + 1} is neither a receipt nor a cluster file: ${error instanceof Error ? error.message : String(error)}` };
    }
  }
  return lines.length === 0 ? { kind: "unknown", file, problem: "it is empty" } : { kind: "receipts", file, lines };
}
