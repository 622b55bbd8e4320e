/** The one entry of `core`. */
export {
  REPLICAS_MAX, replicaId, view, seqNum, epoch, requestId, digest, clientId, NULL_DIGEST, type ReplicaId, type View, type SeqNum,
  type Epoch, type RequestId, type Digest, type ClientId,
} from "./ids.ts";
export { SESSIONS_PER_ANCHOR, sessionAnchor, sessionNumber } from "./session-number.ts";
export { toHex, fromHex, bytesEqual } from "./hex.ts";
export { InvariantViolation, assert, assertNever } from "./assert.ts";
export { ERROR_CODES, NarsesError, type ErrorCode } from "./errors.ts";
export { REJECTION_CODES, rejection, verdict, type Verdict, type RejectionCode, type Rejection } from "./reject.ts";
export { faultsTolerated, quorums, primaryOf, type Quorums } from "./quorum.ts";
export {
  SIGNATURE_SUITE, TICK_MS, DEFAULT_PARAMETERS, VOTES_PER_FRAME_MAX, votesPerFrameMax, STATUS_SLOTS_MAX, RECALL_FRAMES_MAX, FRAME_BYTES_MAX,
  BUNDLES_PER_FETCH_MAX, NODES_PER_FETCH_MAX, PAGES_PER_FETCH_MAX, STATE_CHUNK_BYTES_MAX, STATE_PAGE_BYTES_MAX, STATE_BITS_MAX, checkParameters, checkCluster,
  defaultParameters, logWindowMax,
  type ReplicaInfo, type ClusterConfig, type Parameters, type EngineConfig,
} from "./config.ts";
export { isStateMessage } from "./messages.ts";
export type {
  StatePart, StatePage, StateMessage, Signed, Operation, Bundle, Batch, PrePrepare, Vote, Votes, Checkpoint, ViewChange, NewView, Outcome, SignedBody, BlockHeader,
  VoteRef, PreparedCertificate, CommitCertificate, StableCheckpoint, Status, CompactPrePrepare, FetchBundles, Recalled, PeerMessage, Reply, ClientMessage, ReplicaToClientMessage,
} from "./messages.ts";
export { mintVerified, type Verified } from "./verified.ts";
export { recordSeq, type LogRecord } from "./records.ts";
export type { OwnMessage, Input } from "./input.ts";
export type { Effect } from "./effect.ts";
export {
  AppRejection, type EngineTools, type OrderingEngine, type EngineStatus, type EngineSilence,
  type Memory, type SlotStatus, type VoteStatus, type Recovered, type Hasher, type VerifyingKey,
  type SigningKey, type Signer, type VoteLog, type StateReader, type StateStore, type Block, type BlockGap, type BlockStore, type ClientConnection,
  type TransportHandlers, type Transport, type ClientTransport, type AppReader, type AppStore, type ApplyContext, type StateMachine,
  type LogFields, type Logger,
} from "./ports.ts";
export type { Evidence } from "./evidence.ts";
export type { Receipt, StateProof, StateReceipt } from "./receipt.ts";
