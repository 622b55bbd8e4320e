/**
 * What an operation gave: status u8, then msgpack. 1 ok: the value. 2 rejected (by the state machine): [code, message,
 * data]. 3 not executed (by the framework: duplicate, out of window, …): [code, message].
 */
import { assertNever } from "@narses/core";
import { concat } from "./context.ts";
import { RESULT_BYTES_MAX } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { encodePayload, readPayload } from "./payload.ts";
import { encodePlain } from "./payload-plain.ts";
import { decodeScalar, encodeScalar } from "./payload-scalar.ts";
import { PAYLOAD_LIMITS, type PayloadLimits } from "./payload-rules.ts";
import { Reader } from "./reader.ts";

export type OperationResult =
  | { readonly status: "ok"; readonly value: unknown }
  | { readonly status: "rejected"; readonly code: string; readonly message: string; readonly data: Record<string, unknown> }
  | { readonly status: "not-executed"; readonly code: string; readonly message: string };

const STATUS_OK = 1;
const STATUS_REJECTED = 2;
const STATUS_NOT_EXECUTED = 3;
const LIMITS: PayloadLimits = { ...PAYLOAD_LIMITS, bytesMax: RESULT_BYTES_MAX - 1 };

function tagged(status: number, value: unknown): Uint8Array {
  const bytes = encodeScalar(value, 1) ?? encodePlain(value, 1);
  if (bytes === undefined || bytes.length > RESULT_BYTES_MAX) return concat([Uint8Array.of(status), encodePayload(value, LIMITS)]);
  bytes[0] = status;
  return bytes;
}

/**
 * A value that is undefined (an `apply` that returns nothing) becomes null.
 * @throws TypeError for a value or data without an encoding; RangeError above RESULT_BYTES_MAX. Both depend on the
 * result alone, so that they happen on every replica alike.
 */
export function encodeResult(result: OperationResult): Uint8Array {
  switch (result.status) {
    case "ok":
      return tagged(STATUS_OK, result.value ?? null);
    case "rejected":
      return tagged(STATUS_REJECTED, [result.code, result.message, result.data]);
    case "not-executed":
      return tagged(STATUS_NOT_EXECUTED, [result.code, result.message]);
    default:
      return assertNever(result);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function readFields(value: unknown, count: number, r: Reader): readonly unknown[] {
  if (!Array.isArray(value) || value.length !== count) return r.fail("result", `must be an array of ${count}`);
  return value;
}

function readResult(bytes: Uint8Array): OperationResult {
  const r = new Reader(bytes);
  const status = r.u8("result status");
  if (status < STATUS_OK || status > STATUS_NOT_EXECUTED) r.fail("result status", `${status}, must be ${STATUS_OK} to ${STATUS_NOT_EXECUTED}`);
  const value = readPayload(r.part("result", r.remaining, "FRAME_MALFORMED"), LIMITS);
  if (status === STATUS_OK) return { status: "ok", value };
  const [code, message, data] = readFields(value, status === STATUS_REJECTED ? 3 : 2, r);
  if (typeof code !== "string" || typeof message !== "string") return r.fail("result", "code and message must be strings");
  if (status === STATUS_NOT_EXECUTED) return { status: "not-executed", code, message };
  if (!isRecord(data)) return r.fail("result", "data must be a map");
  return { status: "rejected", code, message, data };
}

/** Never throws. */
export function decodeResult(bytes: Uint8Array): Decoded<OperationResult> {
  const scalar = bytes[0] === STATUS_OK && bytes.length <= RESULT_BYTES_MAX ? decodeScalar(bytes, 1) : undefined;
  if (scalar !== undefined) return { ok: true, value: { status: "ok", value: scalar.value } };
  return decoding(() => readResult(bytes));
}
