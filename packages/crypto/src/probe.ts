/**
 * A backend is used only after it answered these as the rule does. Verifiers have changed their verdicts between
 * versions; with this an upgrade that does so costs speed on one replica, not agreement between replicas.
 * All signatures pass the checks made before the backend is asked; only the equation decides.
 */
import { bytesEqual, fromHex } from "@narses/core";
import type { RawBackend } from "./raw.ts";

/** RFC 8032 §7.1, TEST 2: a key that needs no check. */
const SEED = fromHex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
const PUBLIC_KEY = fromHex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
const MESSAGE = fromHex("72");
const SIGNATURE = fromHex(
  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
);
/** By the same key over the same message, R = [r]B + T with T of order 8 or 2: valid if the equation is multiplied by the cofactor. */
const COFACTORED_ONLY: readonly Uint8Array[] = [
  "86ec0678ec23d84b295114ed96d9f75c377edbf1aa67893a0219db78f3070ad80dff8d78b229bce8ced89a05aaea800642c11730d90e260c74b62ff3306a000b",
  "5b5ff6560f2b35478df17df4a09bdabf5d4d84abe9afc0704c89dddc142496250f8fcfec0ff20e26558af1f839a8bdfc97b4d860443324e5bb2450373eba3007",
].map(fromHex);

/** PUBLIC_KEY plus a point of order 8 and of order 2; y = p + 1; a y that no point of the curve has. */
const NO_KEYS: readonly Uint8Array[] = [
  "0169d3c02f3edd121cafbe1dfd45c4cf4aac216a79e36e6326419f2a654d2d46",
  "b0bfe83c17bc76a56d48f558b2e481436367d330d13b69733f32aa0ed50b99f3",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0200000000000000000000000000000000000000000000000000000000000000",
].map(fromHex);

/** Never throws: a backend that does is refused too. */
export function followsRule(backend: RawBackend): boolean {
  try {
    const signer = backend.signer(SEED);
    const verify = backend.verifier({ bytes: PUBLIC_KEY });
    return (
      bytesEqual(signer.publicKey, PUBLIC_KEY) &&
      bytesEqual(signer.sign(MESSAGE), SIGNATURE) &&
      verify(MESSAGE, SIGNATURE) &&
      !verify(fromHex("73"), SIGNATURE) &&
      !COFACTORED_ONLY.some((signature) => verify(MESSAGE, signature)) &&
      (backend.isPrimeOrderPoint === undefined || (backend.isPrimeOrderPoint(PUBLIC_KEY) && !NO_KEYS.some(backend.isPrimeOrderPoint)))
    );
  } catch {
    return false;
  }
}
