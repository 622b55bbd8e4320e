/**
 * The handshake frame: first on every stream, both ways, dialler first. Noise has proved the keys by then; this proves
 * that both sides mean the same cluster, epoch and rules. Layout, version 1, big-endian:
 *
 *   magic 4 · version u16 · role u8 · cluster id 32 · epoch u32 · replica u16 · instance 16 · suite length u8 · suite
 */
import { fromHex, rejection, toHex, type Digest, type Rejection } from "@narses/core";

export const PROTOCOL_VERSION = 1;
export const REPLICA_PROTOCOL = "/narses/replica/1";
export const CLIENT_PROTOCOL = "/narses/client/1";

/** Cap of a handshake frame. */
export const HELLO_BYTES_MAX = 128;

const MAGIC = 0x4e_52_53_53; // "NRSS"
const FIXED_BYTES = 4 + 2 + 1 + 32 + 4 + 2 + 16 + 1;
/** Name of a signature suite in a handshake; a longer one is refused. */
const SUITE_BYTES_MAX = 32;
export const INSTANCE_BYTES = 16;
const NO_REPLICA = 0xffff;

export type Role = "replica" | "client";

export interface Hello {
  readonly version: number;
  readonly role: Role;
  readonly clusterId: Digest;
  readonly epoch: number;
  /** Sender's replica id; undefined for clients. */
  readonly replica: number | undefined;
  /** Random for each start of a process: tells a restarted peer from a slow one. Hex. */
  readonly instance: string;
  readonly signatureSuite: string;
}

export function encodeHello(hello: Hello): Uint8Array {
  const bytes = new Uint8Array(FIXED_BYTES + hello.signatureSuite.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint16(4, hello.version);
  view.setUint8(6, hello.role === "replica" ? 1 : 2);
  bytes.set(fromHex(hello.clusterId), 7);
  view.setUint32(39, hello.epoch);
  view.setUint16(43, hello.replica ?? NO_REPLICA);
  bytes.set(fromHex(hello.instance), 45);
  view.setUint8(61, hello.signatureSuite.length);
  for (let i = 0; i < hello.signatureSuite.length; i++) bytes[FIXED_BYTES + i] = hello.signatureSuite.charCodeAt(i);
  return bytes;
}

type DecodedHello = { readonly ok: true; readonly hello: Hello } | { readonly ok: false; readonly rejection: Rejection };

const malformed = (detail: string): DecodedHello => ({ ok: false, rejection: rejection("FRAME_MALFORMED", `handshake: ${detail}`) });

export function decodeHello(bytes: Uint8Array): DecodedHello {
  if (bytes.length < 6) return malformed(`${bytes.length} bytes are too few`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) return malformed("magic number is not Narses'");
  const version = view.getUint16(4);
  // The layout of another version is unknown: this is all that may be read of it.
  if (version !== PROTOCOL_VERSION) return malformed(`protocol version is ${version}, here ${PROTOCOL_VERSION}`);
  if (bytes.length < FIXED_BYTES) return malformed(`${bytes.length} bytes are too few`);
  const role = view.getUint8(6);
  if (role !== 1 && role !== 2) return malformed(`role is ${role}`);
  const suiteBytes = view.getUint8(61);
  if (suiteBytes > SUITE_BYTES_MAX || bytes.length !== FIXED_BYTES + suiteBytes) return malformed(`length is ${bytes.length}`);
  const suite = bytes.subarray(FIXED_BYTES);
  if (!suite.every((byte) => byte > 0x20 && byte < 0x7f)) return malformed("signature suite is not printable");
  const replica = view.getUint16(43);
  return {
    ok: true,
    hello: {
      version,
      role: role === 1 ? "replica" : "client",
      clusterId: toHex(bytes.subarray(7, 39)) as Digest,
      epoch: view.getUint32(39),
      replica: replica === NO_REPLICA ? undefined : replica,
      instance: toHex(bytes.subarray(45, 61)),
      signatureSuite: String.fromCharCode(...suite),
    },
  };
}

/** Why `theirs` is refused, naming the field; undefined when it is accepted. `replica` is who the noise key says it is. */
export function helloMismatch(
  own: Hello,
  theirs: Hello,
  expected: { readonly role: Role; readonly replica: number | undefined },
): Rejection | undefined {
  const differs = (field: string, got: unknown, want: unknown): Rejection =>
    rejection("SENDER_MISMATCH", `handshake: ${field} is ${String(got)}, here ${String(want)}`);
  if (theirs.role !== expected.role) return differs("role", theirs.role, expected.role);
  if (theirs.signatureSuite !== own.signatureSuite) return differs("signature suite", theirs.signatureSuite, own.signatureSuite);
  // The cluster id covers the epoch: look at the epoch first, since it says more.
  if (theirs.epoch !== own.epoch) return differs("epoch", theirs.epoch, own.epoch);
  if (theirs.clusterId !== own.clusterId) return differs("cluster id", theirs.clusterId, own.clusterId);
  if (theirs.replica !== expected.replica) return differs("replica id", theirs.replica ?? "absent", expected.replica ?? "absent");
  return undefined;
}
