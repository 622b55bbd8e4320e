/**
 * Writes samples/payment-day.csv, or with other arguments a day of any size:
 *
 *   node --import tsx --conditions=@narses/source apps/ledger/src/demo/generate.ts [FILE] [PAYMENTS] [SEED]
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { generatePaymentDay, SAMPLE_PAYMENTS, SAMPLE_SEED } from "./payment-day.ts";

const [
  file = fileURLToPath(new URL("../../samples/payment-day.csv", import.meta.url)),
  payments = String(SAMPLE_PAYMENTS),
  seed = String(SAMPLE_SEED),
] = process.argv.slice(2);
writeFileSync(file, generatePaymentDay({ seed: Number(seed), payments: Number(payments) }));
process.stderr.write(`${file}: ${payments} payments, seed ${seed}\n`);
