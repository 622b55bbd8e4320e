/** Values on the command line that can be judged before anything is sent. */
import { DECIMALS_MAX, parseAmount } from "../amount.ts";
import { CommandError, EXIT } from "./failure.ts";

/** Refuses what no asset would take. Whether the asset has that many decimals, the ledger judges. */
export function checkAmount(text: string, field: string, options: { readonly zeroAllowed?: boolean } = {}): void {
  const parsed = parseAmount(text, DECIMALS_MAX, options);
  if (!parsed.ok)
    throw new CommandError("AMOUNT_INVALID", EXIT.usage, `${field} ${JSON.stringify(text.slice(0, 48))} ${parsed.problem}`, { field });
}
