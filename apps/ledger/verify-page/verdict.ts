/** From a receipt line to what the page shows. Nothing here touches the document. */
import { verifyReceiptBundle, verifyReceiptBytes, verifyStateReceipt, type VerifiedReceipt } from "@narses/client";
import { toHex, type ClusterConfig } from "@narses/core";
import type { ReceiptLine } from "./documents.ts";

export interface Row {
  readonly name: string;
  readonly value: string;
  readonly hex?: true;
}

export interface Verdict {
  readonly valid: boolean;
  readonly title: string;
  readonly from: string;
  readonly rows: readonly Row[];
}

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The fields of an operation or result as rows; a value that has none is one row. */
function rowsOf(name: string, value: unknown): readonly Row[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [{ name, value: text(value) }];
  return Object.entries(value).map(([field, member]) => ({ name: field, value: text(member) }));
}

function titleOf(operation: unknown): string {
  if (typeof operation !== "object" || operation === null) return "operation";
  const { type, amount, asset, from, to } = operation as Record<string, unknown>;
  const parts = [type ?? "operation", amount, asset, ...(from === undefined ? [] : ["from", from]), ...(to === undefined ? [] : ["to", to])];
  return parts.filter((part) => part !== undefined).map(text).join(" ");
}

function outcomeRows({ result }: VerifiedReceipt): readonly Row[] {
  if (result.status === "ok") return [{ name: "outcome", value: "applied" }, ...rowsOf("result", result.value).map((row) => ({ ...row, name: `→ ${row.name}` }))];
  return [{ name: "outcome", value: `${result.status === "rejected" ? "refused" : "not executed"}: ${result.code}: ${result.message}` }];
}

function valid(receipt: VerifiedReceipt, from: string): Verdict {
  const rows: readonly Row[] = [
    ...rowsOf("operation", receipt.operation),
    ...outcomeRows(receipt),
    { name: "signed by", value: toHex(receipt.publicKey), hex: true },
    { name: "block", value: String(receipt.seq) },
    { name: "block hash", value: receipt.block, hex: true },
    { name: "time", value: new Date(receipt.timestampMs).toISOString() },
    { name: "vouched by", value: `replicas ${receipt.signers.join(", ")}` },
  ];
  return { valid: true, title: titleOf(receipt.operation), from, rows };
}

function invalid(error: unknown, title: string, from: string): Verdict {
  const { code, data, message } = error as { code?: unknown; data?: { check?: unknown }; message?: unknown };
  const rows = [
    { name: "reason", value: typeof message === "string" ? message : String(error) },
    ...(typeof data?.check === "string" ? [{ name: "failed check", value: data.check }] : []),
    ...(typeof code === "string" ? [{ name: "code", value: code }] : []),
  ];
  return { valid: false, title, from, rows };
}

/** The receipts of an import share a proof: it is checked once, and every payment must be the one it is filed under. */
function judgePayments(line: ReceiptLine, payments: Readonly<Record<string, number>>, cluster: ClusterConfig, from: string): readonly Verdict[] {
  const all = verifyReceiptBundle(line.bytes, cluster);
  return Object.entries(payments).map(([id, index]) => {
    const receipt = all[index];
    const { idempotencyKey } = (receipt?.operation ?? {}) as { idempotencyKey?: unknown };
    if (receipt === undefined || typeof idempotencyKey !== "string" || !idempotencyKey.endsWith(`:${id}`)) {
      return invalid({ message: `operation ${index} of the bundle is not payment ${id}, under which it is filed` }, `payment ${id}`, from);
    }
    return valid(receipt, `${from}, payment ${id}`);
  });
}

function judgeState(line: ReceiptLine, cluster: ClusterConfig, from: string): Verdict {
  const { key, present, value, seq, block, timestampMs, signers } = verifyStateReceipt(line.bytes, cluster);
  const rows: readonly Row[] = [
    ...(present ? rowsOf("value", value) : [{ name: "value", value: "none: proven absent" }]),
    { name: "after block", value: String(seq) },
    { name: "block hash", value: block, hex: true },
    { name: "time", value: new Date(timestampMs).toISOString() },
    { name: "vouched by", value: `replicas ${signers.join(", ")}` },
  ];
  return { valid: true, title: `state of ${key}`, from, rows };
}

export function judge(line: ReceiptLine, cluster: ClusterConfig): readonly Verdict[] {
  const from = `${line.file}:${line.line}`;
  try {
    if (line.about === "state") return [judgeState(line, cluster, from)];
    return line.payments === undefined ? [valid(verifyReceiptBytes(line.bytes, cluster), from)] : judgePayments(line, line.payments, cluster, from);
  } catch (error) {
    return [invalid(error, "receipt", from)];
  }
}
