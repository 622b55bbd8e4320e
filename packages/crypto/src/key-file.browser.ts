/** `#key-file` in a browser, which has no files: the names exist, so that one entry serves both. Exports what `key-file.node.ts` exports. */
import type { CreateKeyOptions, KeyFile, LoadKeyOptions } from "./key-file-format.ts";

/** @throws TypeError always. */
export function createKeyFile(path: string, _options: CreateKeyOptions): KeyFile {
  throw new TypeError(`createKeyFile(${JSON.stringify(path)}): a browser has no key files; use generateSeed and keep the seed yourself`);
}

/** @throws TypeError always. */
export function loadKeyFile(path: string, _options: LoadKeyOptions = {}): KeyFile {
  throw new TypeError(`loadKeyFile(${JSON.stringify(path)}): a browser has no key files; pass the seed to signingKeyFromSeed`);
}
