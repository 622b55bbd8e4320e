/** Keys of a cluster with twins, and what is remembered of signatures: most of what a round says was said in another branch already. */
import type { PeerMessage, Signed, SignedBody, Signer } from "@narses/core";
import { replicaId } from "@narses/core";
import { bodyText } from "../content.ts";
import { createKeyring, type Keyring } from "../keyring.ts";

/** Signatures kept to be given again, at most: then all are forgotten, and made again. */
const SIGNATURES_KEPT_MAX = 200_000;

/** Signing is deterministic, and most statements of a round were made in another branch already. */
function remembering(signer: Signer): Signer {
  const made = new Map<string, Signed<SignedBody>>();
  return {
    sign: <B extends SignedBody>(body: B): Signed<B> => {
      const text = bodyText(body);
      let signed = made.get(text);
      if (signed === undefined) {
        if (made.size >= SIGNATURES_KEPT_MAX) made.clear();
        made.set(text, (signed = signer.sign(body)));
      }
      return signed as Signed<B>;
    },
  };
}

/** What all clusters of a size have in common. Keys are the same in all of them: signatures can be carried from branch to branch. */
export interface Crypto {
  readonly keyring: Keyring;
  readonly signers: readonly Signer[];
  /** Messages that were found genuine: one is sent to several nodes. */
  readonly genuine: WeakSet<PeerMessage>;
}

const CRYPTO = new Map<number, Crypto>();
export function cryptoOf(n: number): Crypto {
  let held = CRYPTO.get(n);
  if (held === undefined) {
    const keyring = createKeyring("twins", n);
    CRYPTO.set(n, (held = { keyring, signers: Array.from({ length: n }, (_, id) => remembering(keyring.signer(replicaId(id)))), genuine: new WeakSet() }));
  }
  return held;
}
