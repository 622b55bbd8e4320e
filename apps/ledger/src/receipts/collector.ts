/** Receipts of an import: the payments of a bundle share their proof, which is written once. */
import type { ClusterConfig, Receipt } from "@narses/core";
import { openReceiptFile } from "./receipt-file.ts";

/** Bundles kept until they are written: far more than are in flight, so each one is complete by then. */
const BUNDLES_OPEN_MAX = 64;

export interface ReceiptCollector {
  add(id: string, receipt: Receipt): void;
  close(): void;
}

/** Writes to a new file; without a file, keeps nothing. @throws CommandError FILE_EXISTS. */
export function receiptCollector(file: string | undefined, cluster: ClusterConfig): ReceiptCollector {
  if (file === undefined) return { add: () => undefined, close: () => undefined };
  const writer = openReceiptFile(file, cluster);
  const bundles = new Map<Uint8Array, { readonly receipt: Receipt; readonly payments: Record<string, number> }>();
  const flush = (keep: number): void => {
    for (const [key, { receipt, payments }] of bundles) {
      if (bundles.size <= keep) return;
      writer.add(receipt, payments);
      bundles.delete(key);
    }
  };
  return {
    add: (id, receipt) => {
      const bundle = bundles.get(receipt.bundle) ?? { receipt, payments: {} };
      bundle.payments[id] = receipt.operation;
      bundles.set(receipt.bundle, bundle);
      flush(BUNDLES_OPEN_MAX);
    },
    close: () => {
      flush(0);
      writer.close();
    },
  };
}
