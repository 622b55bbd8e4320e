/** Signs protocol bodies as this replica: the bytes that are signed are the bytes that are sent. */
import type { Signer, SigningKey } from "@narses/core";
import type { Codec } from "@narses/wire";
import type { Counters } from "./counters.ts";
import type { Verifier } from "./verify.ts";

export interface SignerOptions {
  readonly codec: Pick<Codec, "unsigned" | "signingInput" | "seal">;
  readonly key: SigningKey;
  /** Own envelopes come back inside certificates. */
  readonly verifier: Pick<Verifier, "remember">;
  readonly counters: Counters;
}

export function createSigner({ codec, key, verifier, counters }: SignerOptions): Signer {
  return {
    sign(body) {
      const unsigned = codec.unsigned(body);
      const signed = codec.seal(body, unsigned, key.sign(codec.signingInput(unsigned)));
      counters.signaturesMade++;
      verifier.remember(signed);
      return signed;
    },
  };
}
