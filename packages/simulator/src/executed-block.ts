/** Blocks of whole replicas in the words of the oracles: results as text, and whether a request id took effect in this block. */
import type { Block, Bundle, Digest } from "@narses/core";
import { decodeResult } from "@narses/wire";
import type { SimBlock } from "./app.ts";

/** A value without spaces: results of a bundle stand on one line. Byte strings and the like are told apart by their JSON. */
const valueText = (value: unknown): string => (JSON.stringify(value) ?? "null").replaceAll(/\s/g, "_");

/** A result as clients and oracles compare it. "duplicate": nothing was executed. */
export function resultText(result: Uint8Array): string {
  const decoded = decodeResult(result);
  if (!decoded.ok) return `undecodable-${result.length}`;
  const { value } = decoded;
  switch (value.status) {
    case "ok":
      return valueText(value.value);
    case "rejected":
      return `!${value.code}`;
    case "not-executed":
      return "duplicate";
  }
}

export const resultLine = (ridFirst: number, results: readonly Uint8Array[]): string => results.map((result, i) => `${ridFirst + i}:${resultText(result)}`).join(" ");

/** Decodes each block once, whoever executes it. Blocks come in order: slot n is executed somewhere before slot n + 1 is anywhere. */
export class BlockReader {
  private readonly known = new Map<Digest, SimBlock>();
  /** Where a request id first took effect, and what it gave. */
  private readonly effects = new Map<string, { readonly seq: number; readonly text: string }>();

  read(block: Block, hash: Digest): SimBlock {
    const held = this.known.get(hash);
    if (held !== undefined) return held;
    const results = (block.batch?.bundles ?? []).map((bundle, i) => this.line(block.header.seq, bundle, block.results[i] ?? []));
    const read: SimBlock = { header: block.header, hash, batch: block.batch, results, certificate: block.certificate };
    this.known.set(hash, read);
    return read;
  }

  private line(seq: number, bundle: Bundle, results: readonly Uint8Array[]): string {
    return results.map((result, i) => {
      const rid = bundle.ridFirst + i;
      const text = resultText(result);
      const key = `${bundle.client} ${bundle.session} ${rid}`;
      const first = this.effects.get(key);
      if (first === undefined && text !== "duplicate") this.effects.set(key, { seq, text });
      // The same bundle again gives the kept result again: nothing was executed.
      return `${rid}:${first !== undefined && first.seq < seq && first.text === text ? "duplicate" : text}`;
    }).join(" ");
  }
}
