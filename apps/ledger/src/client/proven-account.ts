/** An account out of the replicated state with a proof, without asking the state machine: its record, and its assets' decimals. */
import type { Client, ReadOptions, StaleAnswer } from "@narses/client";
import { formatMinor } from "../amount.ts";
import type { AccountAnswer } from "../state-machine/questions.ts";
import { accountOf, assetOf, type Account } from "../state-machine/records.ts";

export interface ProvenAccount {
  /** Undefined: proven that there was none. */
  readonly account: AccountAnswer | undefined;
  /** Proof of the account's record; the decimals of an asset never change and are proven apart. */
  readonly proof: StaleAnswer;
}

/** The key under which the state machine looks up something. */
function keyLookedUp(look: (store: { get(key: string): unknown }) => unknown): string {
  let found = "";
  look({ get: (key) => void (found = key) });
  return found;
}

/** @throws NarsesError UNAVAILABLE and others, as Client.read. */
export async function readProvenAccount(client: Client, id: string, options: ReadOptions): Promise<ProvenAccount> {
  const proof = await client.read(
    keyLookedUp((store) => accountOf(store, id)),
    options,
  );
  if (!proof.present) return { account: undefined, proof };
  const record = proof.value as Account;
  const codes = [...new Set([...Object.keys(record.balances), ...Object.keys(record.overdrafts)])];
  const holdings = await Promise.all(
    codes.map(async (code) => {
      const asset = await client.read(
        keyLookedUp((store) => assetOf(store, code)),
        options.signal === undefined ? {} : { signal: options.signal },
      );
      const { decimals } = asset.value as { decimals: number };
      const amount = (minor: string | undefined): string => formatMinor(BigInt(minor ?? "0"), decimals);
      return { asset: code, balance: amount(record.balances[code]), overdraft: amount(record.overdrafts[code]) };
    }),
  );
  return { account: { id: record.id, owner: record.owner, name: record.name, kind: record.kind, holdings }, proof };
}
