import * as ed from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { nativeBackends } from "../src/native.node.ts";
import { noble } from "../src/noble.ts";
import { followsRule } from "../src/probe.ts";
import type { RawBackend } from "../src/raw.ts";

ed.hashes.sha512 = sha512;

/** What a library update could turn a backend into. */
const imposters: Record<string, RawBackend> = {
  "a cofactored verifier": { ...noble, verifier: ({ bytes }) => (message, signature) => ed.verify(signature, message, bytes, { zip215: false }) },
  "one that accepts all": { ...noble, verifier: () => () => true },
  "one that accepts nothing": { ...noble, verifier: () => () => false },
  "one that signs with added randomness": {
    ...noble,
    signer(seed) {
      const signer = noble.signer(seed);
      return { ...signer, sign: (message) => signer.sign(Uint8Array.of(...message, 1)) };
    },
  },
  "one that throws": {
    ...noble,
    verifier() {
      throw new RangeError("unsupported");
    },
  },
};

describe("followsRule", () => {
  it.each([...nativeBackends(), noble])("passes $name", (backend) => {
    expect(followsRule(backend)).toBe(true);
  });
  it.each(Object.entries(imposters))("refuses %s", (_, backend) => {
    expect(followsRule(backend)).toBe(false);
  });
});
