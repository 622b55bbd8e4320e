import type { Digest } from "@narses/core";
import { hexOf } from "./host.ts";

export const hexDigest = (hash: Uint8Array): Digest => hexOf(hash)(0, hash.length) as Digest;
