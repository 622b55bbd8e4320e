/** The keyring of a cluster of whole replicas: what is signed and verified are the bytes of the real wire format. */
import { assert, requestId, type Batch, type Bundle, type ReplicaId, type Signed, type SignedBody, type SigningKey } from "@narses/core";
import { hasher } from "@narses/crypto";
import { clientIdOf, type Codec } from "@narses/wire";
import type { Cryptography } from "./cryptography.ts";
import { createVerifier, type Keyring } from "./keyring.ts";

export interface WireKeyring extends Keyring {
  readonly signingKeys: readonly SigningKey[];
}

export function createWireKeyring(codec: Codec, cryptography: Cryptography, signingKeys: readonly SigningKey[]): WireKeyring {
  const publicKeys = signingKeys.map(({ publicKey }) => cryptography.verifyingKey(publicKey));
  const genuine = new WeakSet<Signed<SignedBody>>();
  const genuineBundles = new WeakSet<Bundle>();

  const verifySigned = (signed: Signed<SignedBody>): boolean => {
    if (genuine.has(signed)) return true;
    const key = publicKeys[signed.body.sender];
    if (key === undefined) return false;
    const { message, signature } = codec.signedParts(signed.bytes);
    const valid = key.verify(message, signature);
    if (valid) genuine.add(signed);
    return valid;
  };
  const verifyBundle = (bundle: Bundle): boolean => {
    if (genuineBundles.has(bundle)) return true;
    const { message, signature } = codec.signedParts(bundle.bytes);
    const valid = cryptography.verifyingKey(bundle.publicKey).verify(message, signature);
    if (valid) genuineBundles.add(bundle);
    return valid;
  };
  // A decoded batch has the digest of its bytes; one that was put together by hand is made anew to compare.
  const batchIntact = ({ digest, epoch, timestampMs, bundles }: Batch): boolean => codec.makeBatch(epoch, timestampMs, bundles).digest === digest;

  return {
    signingKeys,
    toolkit: {
      tools: { makeBatch: codec.makeBatch }, verifySigned, verifyBundle,
      verifyPeer: createVerifier({ verifySigned, verifyBundle, batchIntact, replicas: signingKeys.length }),
    },
    signer: (id: ReplicaId) => ({
      sign(body) {
        assert(body.sender === id, `the key of replica ${id} cannot sign for replica ${body.sender}`);
        const unsigned = codec.unsigned(body);
        return codec.seal(body, unsigned, (signingKeys[id] as SigningKey).sign(codec.signingInput(unsigned)));
      },
    }),
    client: (index) => {
      const key = cryptography.signingKey(`client ${index}`);
      return {
        id: clientIdOf(hasher, key.publicKey),
        makeBundle: ({ ridFirst, ackLow, operations, session }) => codec.makeBundle({ key, session: session ?? 0, ridFirst: requestId(ridFirst), ackLow, operations }),
      };
    },
  };
}
