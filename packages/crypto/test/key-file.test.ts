import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NarsesError, toHex } from "@narses/core";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createKeyFile, deriveReplicaSeeds, generateSeed, KEY_FILE_BYTES_MAX, loadKeyFile, signingKeyFromSeed } from "../src/index.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "narses-key-"));
  path = join(directory, "replica.key");
  return () => rmSync(directory, { recursive: true });
});

function failure(run: () => unknown): NarsesError {
  try {
    run();
  } catch (error) {
    if (error instanceof NarsesError) return error;
    throw error;
  }
  return expect.unreachable("a NarsesError was expected, nothing was thrown");
}

type Json = Record<string, unknown>;
const readJson = (file: string): Json => JSON.parse(readFileSync(file, "utf8")) as Json;
const writeJson = (json: unknown): void => writeFileSync(path, JSON.stringify(json), { mode: 0o600 });

describe("createKeyFile", () => {
  it("makes a replica key: one seed, two public keys, mode 0600, nothing left beside it", () => {
    const key = createKeyFile(path, { kind: "replica" });
    const { signing, network } = deriveReplicaSeeds(key.seed);
    expect(key).toMatchObject({ kind: "replica", publicKey: toHex(signingKeyFromSeed(signing).publicKey), networkKey: toHex(signingKeyFromSeed(network).publicKey) });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["replica.key"]);
    expect(loadKeyFile(path)).toEqual(key);
  });

  it("makes a client key from a given seed, which is the seed of its key", () => {
    const seed = generateSeed();
    const key = createKeyFile(path, { kind: "client", seed });
    expect(key).toEqual({ kind: "client", seed, publicKey: toHex(signingKeyFromSeed(seed).publicKey) });
    expect(loadKeyFile(path)).toEqual(key);
  });

  it("never overwrites", () => {
    createKeyFile(path, { kind: "client" });
    const before = readFileSync(path);
    const error = failure(() => createKeyFile(path, { kind: "client" }));
    expect(error.code).toBe("KEY_EXISTS");
    expect(error.message).toContain(path);
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(directory)).toEqual(["replica.key"]);
  });

  it("does not write through a dangling symbolic link", () => {
    symlinkSync(join(directory, "elsewhere"), path);
    expect(failure(() => createKeyFile(path, { kind: "client" })).code).toBe("KEY_EXISTS");
    expect(readdirSync(directory)).toEqual(["replica.key"]);
  });

  it("says so when the directory is missing", () => {
    const error = failure(() => createKeyFile(join(directory, "no", "replica.key"), { kind: "client" }));
    expect(error.code).toBe("DISK_FAILED");
    expect(error.message).toMatch(/no such file or directory/);
  });

  it("refuses misuse before it touches the disk", () => {
    expect(() => createKeyFile(path, { kind: "client", seed: new Uint8Array(16) })).toThrow(RangeError);
    expect(() => createKeyFile(path, { kind: "client", passphrase: "" })).toThrow(RangeError);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe("loadKeyFile", () => {
  const invalid = (reason: RegExp): void => {
    const error = failure(() => loadKeyFile(path));
    expect(error.code).toBe("KEY_INVALID");
    expect(error.message).toContain(path);
    expect(error.message).toMatch(reason);
  };

  it("names a file that is not there", () => invalid(/no such file; create a key/));

  it("refuses a file that others can read or write, and says how to mend it", () => {
    createKeyFile(path, { kind: "client" });
    for (const mode of [0o640, 0o604, 0o620, 0o666]) {
      chmodSync(path, mode);
      invalid(new RegExp(`mode ${mode.toString(8)} .*chmod 600`));
    }
    chmodSync(path, 0o400);
    expect(loadKeyFile(path).kind).toBe("client");
  });

  it("refuses a directory and a file that is too long", () => {
    path = directory;
    invalid(/not a regular file/);
    path = join(directory, "long");
    writeFileSync(path, " ".repeat(KEY_FILE_BYTES_MAX + 1), { mode: 0o600 });
    invalid(/more than the 16384/);
  });

  const edits: readonly (readonly [name: string, edit: (json: Json) => unknown, reason: RegExp])[] = [
    ["another seed", (json) => ({ ...json, seed: "00".repeat(32) }), /publicKey is not the one of its seed/],
    ["another public key", (json) => ({ ...json, publicKey: "11".repeat(32) }), /publicKey is not the one of its seed/],
    ["another network key", (json) => ({ ...json, networkKey: "11".repeat(32) }), /networkKey is not the one of its seed/],
    ["another kind", ({ networkKey: _, ...json }) => ({ ...json, kind: "client" }), /publicKey is not the one of its seed/],
    ["an unknown kind", (json) => ({ ...json, kind: "admin" }), /kind must be "replica" or "client"/],
    ["a network key in a client's file", (json) => ({ ...json, kind: "client" }), /no networkKey/],
    ["another version", (json) => ({ ...json, version: 2 }), /version must be 1/],
    ["a missing field", ({ networkKey: _, ...json }) => json, /networkKey must be 64/],
    ["no seed at all", ({ seed: _, ...json }) => json, /either seed or encrypted/],
    ["seed and encrypted", (json) => ({ ...json, encrypted: {} }), /either seed or encrypted/],
    ["an unknown field", (json) => ({ ...json, sead: "" }), /unknown field "sead"/],
    ["upper-case hex", (json) => ({ ...json, publicKey: String(json["publicKey"]).toUpperCase() }), /lower-case hex/],
    ["an array", (json) => [json], /not a JSON object/],
    ["null", () => null, /not a JSON object/],
  ];
  it.each(edits)("refuses %s", (_, edit, reason) => {
    createKeyFile(path, { kind: "replica", seed: new Uint8Array(32).fill(0xab) });
    writeJson(edit(readJson(path)));
    invalid(reason);
  });

  it("never quotes the secret of a file it cannot parse", () => {
    createKeyFile(path, { kind: "client", seed: new Uint8Array(32).fill(0xab) });
    writeFileSync(path, readFileSync(path, "utf8").slice(0, -3));
    const error = failure(() => loadKeyFile(path));
    expect(error.code).toBe("KEY_INVALID");
    expect(`${error.message}${JSON.stringify(error.data)}${String(error.cause)}`).not.toContain("abab");
  });

  it("with one byte changed gives the same key or KEY_INVALID, nothing else", () => {
    const original = createKeyFile(path, { kind: "replica" });
    const bytes = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(bytes);
        changed[at] = value;
        writeFileSync(path, changed);
        let key: unknown;
        try {
          key = loadKeyFile(path);
        } catch (error) {
          expect(error).toMatchObject({ name: "NarsesError", code: "KEY_INVALID" });
          return;
        }
        expect(key).toEqual(original);
      }),
      { numRuns: 200 },
    );
  });
});

describe("an encrypted key file", () => {
  const passphrase = "correct horse battery staple é";
  const seed = new Uint8Array(32).fill(0xcd);
  let encrypted: Json;
  // Once: scrypt takes 0.1 s.
  const home = mkdtempSync(join(tmpdir(), "narses-key-"));
  beforeAll(() => {
    createKeyFile(join(home, "k"), { kind: "client", seed, passphrase });
    encrypted = readJson(join(home, "k"));
  });
  afterAll(() => rmSync(home, { recursive: true }));
  const write = (change: Json): void => writeJson({ ...encrypted, encrypted: { ...(encrypted["encrypted"] as Json), ...change } });
  const codeWith = (given: string | undefined): [string, string] => {
    const error = failure(() => loadKeyFile(path, given === undefined ? {} : { passphrase: given }));
    return [error.code, error.message];
  };

  it("opens with its passphrase, in either Unicode form, and does not contain the seed", () => {
    write({});
    expect(readFileSync(path, "utf8")).not.toContain("cdcdcd");
    expect(loadKeyFile(path, { passphrase: passphrase.normalize("NFD") })).toMatchObject({ kind: "client", seed });
    expect(encrypted["encrypted"]).toMatchObject({ kdf: "scrypt", N: 32_768, r: 8, p: 1, cipher: "aes-256-gcm" });
  });

  it("says KEY_PASSPHRASE without one, or with a wrong one", () => {
    write({});
    expect(codeWith(undefined)).toEqual(["KEY_PASSPHRASE", expect.stringMatching(/is encrypted: give its passphrase/)]);
    expect(codeWith("wrong")).toEqual(["KEY_PASSPHRASE", expect.stringMatching(/wrong passphrase/)]);
  });

  it("says KEY_INVALID when the ciphertext was altered and the passphrase is right", () => {
    write({ ciphertext: "00".repeat(32) });
    expect(codeWith(passphrase)).toEqual(["KEY_INVALID", expect.stringMatching(/the passphrase is right/)]);
  });

  it("says KEY_INVALID when the public key was exchanged", () => {
    writeJson({ ...encrypted, publicKey: "11".repeat(32) });
    expect(codeWith(passphrase)).toEqual(["KEY_INVALID", expect.stringMatching(/publicKey is not the one/)]);
  });

  const absurd: readonly (readonly [change: Json, reason: RegExp])[] = [
    [{ N: 2 ** 31 }, /scrypt N must be an integer from 1 to/],
    [{ N: 2 ** 20, r: 32 }, /would take 4096 MiB, more than the 256 MiB/],
    [{ N: 32_769 }, /power of two/],
    [{ N: 1 }, /power of two/],
    [{ N: "32768" }, /scrypt N/],
    [{ N: 1.5 }, /scrypt N/],
    [{ r: 0 }, /scrypt r/],
    [{ r: 1e9 }, /scrypt r/],
    [{ p: 1e9 }, /scrypt p/],
    [{ kdf: "pbkdf2" }, /kdf must be "scrypt"/],
    [{ cipher: "aes-128-ecb" }, /cipher must be/],
    [{ salt: "00" }, /salt must be 32/],
    [{ tag: "" }, /tag must be 32/],
    [{ ciphertext: "00".repeat(33) }, /ciphertext must be 64/],
    [{ extra: 1 }, /unknown field "extra"/],
  ];
  it.each(absurd)("refuses %j before it computes anything", (change, reason) => {
    write(change);
    expect(codeWith(passphrase)).toEqual(["KEY_INVALID", expect.stringMatching(reason)]);
  });
});
