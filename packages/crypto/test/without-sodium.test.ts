import type * as nodeModule from "node:module";
import { describe, expect, it, vi } from "vitest";

vi.mock("node:module", async (original) => ({
  ...(await original<typeof nodeModule>()),
  createRequire: () => () => {
    throw new TypeError("Cannot find module 'sodium-native'");
  },
}));

describe("where sodium-native is not installed", () => {
  it("falls back to OpenSSL, then noble", async () => {
    const { backends, signingKeyFromSeed, verifyingKey } = await import("../src/index.ts");
    expect(backends().map(({ name }) => name)).toEqual(["node:crypto", "noble"]);
    const key = signingKeyFromSeed(new Uint8Array(32));
    expect(verifyingKey(key.publicKey).verify(Uint8Array.of(1), key.sign(Uint8Array.of(1)))).toBe(true);
  });
});
