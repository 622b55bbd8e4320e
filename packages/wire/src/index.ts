/** Bytes ↔ messages: fixed binary layouts, digests and signing inputs, msgpack payloads, strict validation. */
export { createCodec, type Codec } from "./codec.ts";
export type { CodecOptions } from "./context.ts";
export type { BundleParts } from "./bundle.ts";
export type { SignedParts } from "./envelope.ts";
export type { Decoded } from "./malformed.ts";
export { clusterId } from "./cluster-id.ts";
export { canonicalJson } from "./canonical-json.ts";
export { clientIdOf } from "./client-id.ts";
export { blockHash } from "./block-header.ts";
export { encodedResultLeaf, resultLeaf } from "./results.ts";
export { decodeOwnPayload, decodePart, decodePayload, encodePayload } from "./payload.ts";
export { PAYLOAD_LIMITS, type PayloadLimits } from "./payload-rules.ts";
export { APP_STATE_PREFIX } from "./state-receipt.ts";
export { decodeResult, encodeResult, type OperationResult } from "./result.ts";
export { CALL_RESULT_BYTES_MAX, digestPrefix, peekReply } from "./client-frames.ts";
export {
  BUNDLE_BYTES_MIN,
  METHOD_BYTES_MAX,
  OPERATION_ENTRY_BYTES,
  REFUSAL_CODE_BYTES_MAX,
  REFUSAL_DETAIL_BYTES_MAX,
  RESULT_BYTES_MAX,
  RESULTS_BYTES_MAX,
} from "./limits.ts";
export { DOMAIN } from "./domains.ts";
export { BLOCK_VERSION, PROTOCOL_VERSION, RECEIPT_VERSION, RECORD_VERSION, TAG } from "./tags.ts";
