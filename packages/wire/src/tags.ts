/**
 * Every type tag of the wire and disk formats, on one page. A tag is the second byte of its message, record or file
 * value, after the version. Tags are never reused: a retired one moves to the list at the end.
 */

/** First byte of everything on the wire. Raised when any layout with a tag below 80 changes. */
export const PROTOCOL_VERSION = 1;
/** First byte of a vote log record. */
export const RECORD_VERSION = 1;
/** First byte of a stored block. */
export const BLOCK_VERSION = 1;
/** First byte of a receipt. */
export const RECEIPT_VERSION = 1;
/** First byte of an evidence file. */
export const EVIDENCE_VERSION = 1;

export const TAG = {
  // signed by a replica: [version][tag][epoch][sender] body [signature]
  PRE_PREPARE: 1,
  VOTES: 2,
  CHECKPOINT: 3,
  VIEW_CHANGE: 4,
  NEW_VIEW: 5,
  OUTCOME: 6,
  // signed by a client
  BUNDLE: 16,
  // content-addressed
  BATCH: 17,
  // between replicas, unsigned around signed parts
  PROPOSAL: 32,
  STATUS: 33,
  FETCH_BATCH: 34,
  DECISION: 35,
  STABLE: 36,
  FETCH_STATE: 37,
  STATE_HEADER: 38,
  STATE_NODES: 39,
  STATE_PAGES: 40,
  STATE_GONE: 41,
  RECALL: 42,
  RECALLED: 43,
  COMPACT_PROPOSAL: 44,
  FETCH_BUNDLES: 45,
  FETCH_BLOCK: 46,
  BLOCK_PART: 47,
  // client to replica
  CALL: 48,
  // replica to client
  REPLY: 64,
  REFUSED: 65,
  CALL_RESULT: 66,
  EXECUTED: 67,
  // vote log
  RECORD_PRE_PREPARED: 80,
  RECORD_PREPARED: 81,
  RECORD_COMMITTED: 82,
  RECORD_VIEW_LEFT: 83,
  RECORD_NEW_VIEW: 84,
  RECORD_STABLE: 85,
  RECORD_VOUCHED: 86,
  RECORD_AMNESIA: 87,
  // files
  BLOCK: 96,
  RECEIPT: 97,
  EVIDENCE: 98,
  STATE_RECEIPT: 99,
} as const;
// retired: none
