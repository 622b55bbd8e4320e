/**
 * Receipts on disk. One receipt is a small JSON document; an import writes one line per bundle (JSON lines), since the
 * payments of a bundle share their proof. Only the `receipt` bytes are believed when verifying; the rest helps to find it.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { encodeReceipt } from "@narses/client";
import type { ClusterConfig, Receipt } from "@narses/core";
import { CommandError, EXIT } from "../cli/failure.ts";

/** Files above this size are not read. */
export const RECEIPT_FILE_BYTES_MAX: number = 512 << 20;
const TYPE = "narses-receipt";

export interface StoredReceipt {
  /** Line in the file, from 1. */
  readonly line: number;
  readonly bytes: Uint8Array;
  /** Payment id → number of its operation in the bundle; absent for a single receipt. */
  readonly payments: Readonly<Record<string, number>> | undefined;
}

const unreadable = (file: string, problem: string): CommandError =>
  new CommandError("RECEIPT_FILE", EXIT.unverified, `receipt file ${file}: ${problem}`, { field: "file", file });

/** Says before a payment is made that its receipt could not be kept. */
export function requireNewFile(file: string): void {
  if (existsSync(file))
    throw new CommandError("FILE_EXISTS", EXIT.usage, `${file} exists and is not overwritten; give another name`, {
      field: "receipt",
      file,
    });
}

function line(receipt: Receipt, cluster: ClusterConfig, payments: Readonly<Record<string, number>> | undefined): string {
  const encoded = Buffer.from(encodeReceipt(receipt, cluster)).toString("base64");
  const named = { type: TYPE, version: 1, cluster: cluster.name, block: receipt.header.seq };
  return `${JSON.stringify({ ...named, ...(payments === undefined ? {} : { payments }), receipt: encoded })}\n`;
}

/** Writes one receipt to a new file. */
export function saveReceipt(file: string, receipt: Receipt, cluster: ClusterConfig): void {
  const writer = openReceiptFile(file, cluster);
  writer.add(receipt, undefined);
  writer.close();
}

export interface ReceiptWriter {
  add(receipt: Receipt, payments: Readonly<Record<string, number>> | undefined): void;
  close(): void;
}

/** @throws CommandError FILE_EXISTS. */
export function openReceiptFile(file: string, cluster: ClusterConfig): ReceiptWriter {
  requireNewFile(file);
  const descriptor = openSync(file, "wx");
  return {
    add: (receipt, payments) => void writeSync(descriptor, line(receipt, cluster, payments)),
    close: () => {
      fsyncSync(descriptor);
      closeSync(descriptor);
    },
  };
}

function parseLine(file: string, text: string, number: number): StoredReceipt {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable(file, `line ${number} is not JSON; it is damaged or no receipt file`);
  }
  const { type, version, receipt, payments } = (value ?? {}) as {
    type?: unknown;
    version?: unknown;
    receipt?: unknown;
    payments?: unknown;
  };
  if (type !== TYPE || typeof receipt !== "string")
    throw unreadable(file, `line ${number} is no receipt: it needs "type": "${TYPE}" and "receipt"`);
  if (version !== 1) throw unreadable(file, `line ${number} has version ${String(version)}, this program reads version 1`);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(receipt)) throw unreadable(file, `line ${number}: "receipt" is not base64`);
  return { line: number, bytes: new Uint8Array(Buffer.from(receipt, "base64")), payments: readPayments(file, payments, number) };
}

function readPayments(file: string, payments: unknown, number: number): StoredReceipt["payments"] {
  if (payments === undefined) return undefined;
  if (
    typeof payments !== "object" ||
    payments === null ||
    !Object.values(payments).every((index) => Number.isSafeInteger(index) && (index as number) >= 0)
  ) {
    throw unreadable(file, `line ${number}: "payments" must give each payment its number in the bundle`);
  }
  return payments as Record<string, number>;
}

/** @throws CommandError RECEIPT_FILE, or the error of the file system. */
export function readReceiptFile(file: string): readonly StoredReceipt[] {
  if (statSync(file).size > RECEIPT_FILE_BYTES_MAX)
    throw unreadable(file, `is larger than ${RECEIPT_FILE_BYTES_MAX} bytes; split it by lines`);
  const lines = readFileSync(file, "utf8").split("\n");
  const receipts = lines.flatMap((text, i) => (text.trim() === "" ? [] : [parseLine(file, text, i + 1)]));
  if (receipts.length === 0) throw unreadable(file, "is empty");
  return receipts;
}
