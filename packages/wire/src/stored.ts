/** What a replica reads back from its own disk: a failure there is a local one, not a peer's. */
import { NarsesError } from "@narses/core";
import { readEpoch, type Context } from "./context.ts";
import { Malformed } from "./malformed.ts";
import { Reader } from "./reader.ts";

/** The three header fields of a stored value; gives the tag. @throws NarsesError DATA_VERSION for another version. */
function readStoredHeader(r: Reader, c: Context, what: string, version: number): number {
  const found = r.u8(what);
  if (found !== version) {
    const problem = `${what} was written in format version ${found}, this program reads ${version}`;
    throw new NarsesError("DATA_VERSION", `${problem}: run the version that wrote it`, { found, version });
  }
  const tag = r.u8(what);
  readEpoch(r, c, what);
  return tag;
}

/** @throws NarsesError DATA_CORRUPT with `what` and `offset`; DATA_VERSION for another format version. */
export function readStored<T>(c: Context, what: string, version: number, bytes: Uint8Array, read: (r: Reader, tag: number) => T): T {
  const r = new Reader(bytes);
  try {
    const value = read(r, readStoredHeader(r, c, what, version));
    r.finish(what);
    return value;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const advice = "set the data directory aside and let the replica fetch its state";
    const text = `${what} of ${bytes.length} bytes does not decode: ${error.message}; ${advice}`;
    throw new NarsesError("DATA_CORRUPT", text, { what, offset: error.offset }, { cause: error });
  }
}
