/** Bounds of the shell, in one table. Reaching one has the outcome named beside it; the protocol's own are in `Parameters`. */

/** Ticks fed at once after the loop was late (a long collection, a stopped process): the rest never happened. */
export const CATCH_UP_TICKS_MAX = 3;

/** Frames of one peer waiting to be read; the next one is dropped (peers retransmit on STATUS). */
export const PEER_QUEUE_FRAMES_MAX = 4_096;
/** Bytes of the same. One frame always fits an empty queue. */
export const PEER_QUEUE_BYTES_MAX: number = 64 << 20;
/** Frames of all clients together waiting to be read; the connection that holds most loses one, or the new one is dropped (clients retransmit). */
export const CLIENT_QUEUE_FRAMES_MAX = 4_096;
/** Bytes of the same. */
export const CLIENT_QUEUE_BYTES_MAX: number = 64 << 20;
/** Frames read from one source in one turn: no peer, and not all clients together, can hold up another for longer. */
export const TURN_FRAMES_PER_SOURCE_MAX = 64;
/** Bytes read from one source in one turn, after its first frame. */
export const TURN_BYTES_PER_SOURCE_MAX: number = 2 << 20;
/** Signatures verified for one source in one turn; what the last frame needs beyond it is taken off the following turns. */
export const TURN_SIGNATURES_PER_SOURCE_MAX = 512;
/** A source that sent what no correct sender sends (a bad signature, a malformed frame) is read one signature a tick for this long. */
export const PENALTY_TICKS = 1_000;
/** Operations executed in one turn, beyond its first slot; the rest waits for the next turn. */
export const TURN_OPERATIONS_MAX = 2_000;

/** Verified envelopes remembered (votes, proposals, view changes …), least recently used first out. */
export const VERIFIED_ENVELOPES_MAX = 65_536;
/** Verified client bundles remembered beyond those that wait, least recently used first out. */
export const VERIFIED_BUNDLES_MAX = 16_384;

/** Acceptable client keys remembered, the one added first out. */
export const CLIENT_KEYS_CACHED_MAX = 4_096;

/** Bundles of one client that wait to be executed; the next is refused with OVERLOADED. */
export const PENDING_BUNDLES_PER_CLIENT_MAX = 64;
/** Bytes of the same; likewise. */
export const PENDING_BYTES_PER_CLIENT_MAX: number = 16 << 20;
/** Bytes of all bundles that wait; beyond it bundles are refused with OVERLOADED. */
export const PENDING_BYTES_MAX: number = 256 << 20;
/** Proposals that wait for large bundles they name, at most; the highest slot gives way, and comes whole in answer to STATUS. */
export const PROPOSALS_AWAITED_MAX = 64;
/** Bytes of the bundles that they hold; likewise. One proposal always fits. */
export const PROPOSALS_AWAITED_BYTES_MAX: number = 64 << 20;
/** A bundle that a proposal names is asked for after this many ticks: its client's own copy may be on the way. */
export const BUNDLES_AWAITED_TICKS = 3;
/** Status intervals between two requests for the same bundles, at most; one more each time. */
export const FETCH_INTERVALS_MAX = 10;
/** Connections that get the replies of one client; the next gets a place only if it brought a new bundle: that of the oldest unproven one first. */
export const CONNECTIONS_PER_CLIENT_MAX = 8;
/** Clients served over one connection (a gateway); beyond it the oldest is forgotten. */
export const CLIENTS_PER_CONNECTION_MAX = 1_024;
/** Frames of a client connection that no correct client sends; after them the connection is not read any more. */
export const CLIENT_OFFENCES_MAX = 4;

/** Control calls of one connection without an answer; the next is refused with OVERLOADED. */
export const CALLS_PER_CONNECTION_MAX = 64;
/** Control calls of all connections without an answer. */
export const CALLS_MAX = 1_024;
/** Parameters of a control call; longer ones are refused with REQUEST_TOO_LARGE. */
export const CALL_PARAMS_BYTES_MAX: number = 64 << 10;
/** Answer to a control call; a longer one is replaced by REQUEST_TOO_LARGE. */
export const CALL_RESULT_BYTES_MAX: number = 24 << 20;
/** Control calls looked at in a tick while the disk is full, and the size of one; what is beyond waits with all other frames. */
export const FROZEN_CALLS_PER_TICK = 16;
export const FROZEN_CALL_BYTES_MAX = 1_024;

/** Slots whose written keys are remembered for fast reads, and keys at most; an answer reaches no further back. */
export const READ_SLOTS_REMEMBERED = 64;
export const READ_KEYS_REMEMBERED_MAX = 65_536;
/** Share of this process's time that unordered reads may use, and the burst beyond it; then they are refused with OVERLOADED. */
export const READ_BUSY_SHARE = 0.25;
export const READ_DEBT_MS_MAX = 50;

/** Proofs of state being made at once; the next is refused with OVERLOADED. */
export const PROOFS_AT_ONCE_MAX = 16;

/** Result of one operation, encoded; a longer one is undone and becomes rejected RESULT_TOO_LARGE. Part of the agreed behaviour. */
export const RESULT_BYTES_MAX: number = 256 << 10;
/** Results of one bundle together; operations beyond it are undone likewise. Part of the agreed behaviour. */
export const BUNDLE_RESULT_BYTES_MAX: number = 2 << 20;
/** Results of one slot, shared out evenly among its bundles: what exceeds a share is undone as RESULT_TOO_LARGE. Agreed behaviour, like the two above. */
export const SLOT_RESULT_BYTES_MAX: number = 16 << 20;
/** Results of a bundle that the state keeps, for the case that it is ordered again; larger ones are in the block only. Part of the agreed behaviour. */
export const KEPT_RESULT_BYTES_MAX: number = 32 << 10;
/** Sessions kept decoded, the one decoded first forgotten. */
export const SESSIONS_DECODED_MAX = 1_024;
/** Sessions of one client in the state; one more evicts its own that is unused for longest. Part of the agreed behaviour. */
export const SESSIONS_PER_CLIENT_MAX = 8;
/** Kept results of one session; the oldest bundles make place. Part of the agreed behaviour. */
export const SESSION_REPLY_BYTES_MAX: number = 1 << 20;
/** A record of kept results takes the bundle that follows as long as it has no more bytes with it. Part of the agreed behaviour. */
export const REPLY_RECORD_BYTES_MAX: number = 2 << 10;
/** Message of an application's rejection, in UTF-16 units; longer ones are cut. Part of the agreed behaviour. */
export const REJECTION_MESSAGE_LENGTH_MAX = 1_024;
/** Code of an application's rejection; a longer one makes the operation INTERNAL. Part of the agreed behaviour. */
export const REJECTION_CODE_LENGTH_MAX = 64;

/**
 * Free bytes of the data directory's file system below which a replica freezes: two segments of the vote log, and the blocks that may
 * wait for the disk. "diskReserveBytes" in replica.json sets another.
 */
export const DISK_RESERVE_BYTES_DEFAULT: number = 96 << 20;
/** A frozen replica goes on when this many times the reserve is free. */
export const DISK_RESUME_FACTOR = 2;
/** The free bytes are looked at once in this many milliseconds. A disk that fills up faster than the reserve lasts stops the replica (DISK_FAILED). */
export const DISK_LOOK_MS = 1_000;

/** Bytes of blocks put and not known to be durable; execution waits for the disk beyond it. */
export const BLOCKS_UNSYNCED_BYTES_MAX: number = 64 << 20;

/** Bytes of stored messages, batches and certificates sent to one peer that asks for them, per tick on average (50 MB/s); more is left out, and asked for again. */
export const ANSWER_BYTES_PER_TICK: number = 512 << 10;
/** The same at once. One message always goes. */
export const ANSWER_BURST_BYTES: number = 32 << 20;

/** Decided slots sent to one peer in one go, in bytes; its next STATUS asks for more. */
export const DECISION_BYTES_MAX: number = 4 << 20;
/** The same in slots. */
export const DECISION_SLOTS_MAX = 1_024;

/** Requests for state that one donor was asked and has not answered; no more are sent to it. */
export const FETCH_WINDOW = 2;
/** Pages asked for at once until their size is known; then as many as make a chunk, up to PAGES_PER_FETCH_MAX. The answer is a prefix of them. */
export const FETCH_PAGES_FIRST = 64;
/** A donor that does not answer within this many ticks is left alone for as long; both double each time. */
export const FETCH_TIMEOUT_TICKS = 100;
export const FETCH_BACKOFF_TICKS_MAX = 3_000;
/** A page that travels in parts is here within this many ticks, however well each part comes; then its donor counts as one that did not answer. */
export const FETCH_PAGE_TICKS_MAX = 3_000;
/** A state that is wrong again after its repair waits this long for the next one; twice as long each time. */
export const REPAIR_WAIT_TICKS = 100;
/** And no longer than this, in quarantine: the replica counts as faulty, says so, and needs an operator. */
export const REPAIR_WAIT_TICKS_MAX = 6_000;
/** After this many ticks without a repair the next one begins at once. */
export const REPAIRS_FORGOTTEN_TICKS = 60_000;
/** After this many ticks without anybody to ask, donors that did not have the checkpoint are asked again. */
export const FETCH_RETRY_TICKS = 200;
/** Bytes of fetched pages that wait to be staged; beyond it nothing more is asked for. */
export const FETCH_UNSTAGED_BYTES_MAX: number = 16 << 20;
/** Blocks from before a state that was taken over: asked for at once, checked and stored in a tick (800 a second), bytes that wait to be checked. */
export const BACKFILL_WINDOW = 24;
export const BACKFILL_BLOCKS_PER_TICK = 8;
export const BACKFILL_BYTES_MAX: number = 16 << 20;
/** One that does not answer within this many ticks, lacks the block or sends another is left alone for a while, longer each time up to the most. */
export const BACKFILL_TIMEOUT_TICKS = 200;
export const BACKFILL_REST_TICKS = 100;
export const BACKFILL_REST_TICKS_MAX = 6_000;
/** Requests for state and blocks of one peer that wait to be served; the next is dropped (the peer asks again, or somebody else). */
export const DONOR_REQUESTS_MAX = 24;
/** Bytes of state sent to one peer per tick, on average (50 MB/s), and at once. */
export const DONOR_BYTES_PER_TICK: number = 512 << 10;
export const DONOR_BURST_BYTES: number = 8 << 20;

/** Signed outcomes remembered, so that resent replies need no new signature. */
export const OUTCOMES_CACHED_MAX = 1_024;
/** Bytes of encoded replies remembered for clients that ask again, oldest out first; older ones are rebuilt from the block store. */
export const REPLY_FRAMES_BYTES_MAX: number = 4 << 20;
/** Stored replies being read back from the block store at once; further requests for one are dropped (the client retries). */
export const RESENDS_MAX = 256;

/** A rejection or refusal code is logged at most once in this many milliseconds; the line tells how many were left out. */
export const LOG_INTERVAL_MS = 5_000;

/** Evidence files kept; later ones are only told and counted. */
export const EVIDENCE_FILES_MAX = 64;
/** Bytes of all evidence files; likewise. */
export const EVIDENCE_BYTES_MAX: number = 64 << 20;
/** Bytes of one piece of evidence; a larger one is only counted. */
export const EVIDENCE_BYTES_EACH_MAX: number = 8 << 20;
/** Pieces of evidence that wait to be written; further ones are only counted. */
export const EVIDENCE_PENDING_MAX = 8;
/** Offences remembered, so that each is told and kept once. */
export const EVIDENCE_REMEMBERED_MAX = 1_024;

// ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Different rejections (by sender, message and code) that `why` remembers; the one not repeated for longest is forgotten. */
export const REJECTIONS_KEPT_MAX = 32;
/** Different warnings and errors that `why` remembers. */
export const PROBLEMS_KEPT_MAX = 16;
/** Text of a remembered rejection or problem, in UTF-16 units; longer ones are cut. */
export const INCIDENT_TEXT_LENGTH_MAX = 400;
/** Clients with waiting requests that `why` lists; the rest is only counted. */
export const WAITING_CLIENTS_SHOWN_MAX = 16;
/** A request that waits longer than this, and than four request timeouts, makes the replica unhealthy. */
export const STALLED_MS = 10_000;
/** A silence of a connected peer that is worth a word: it sends a STATUS every second even when idle. */
export const PEER_SILENT_MS = 5_000;

/** Connections to the admin endpoint; the next one is dropped. */
export const ADMIN_CONNECTIONS_MAX = 64;
/** Header of a request to the admin endpoint; a larger one gets 431. */
export const ADMIN_HEADER_BYTES_MAX: number = 8 << 10;
/** Time to receive a request, and to keep an idle connection open; then it is closed. */
export const ADMIN_REQUEST_MS = 5_000;
/** Requests over one connection to the admin endpoint; then it is closed. */
export const ADMIN_REQUESTS_PER_CONNECTION_MAX = 1_000;

/** Segment files of a vote log read for inspection, in bytes; a larger log is refused. */
export const LOG_INSPECTION_BYTES_MAX: number = 1 << 30;
/** Steps of the dry start on a vote log; a log that leads further contradicts itself. */
export const REHEARSAL_STEPS_MAX = 1_000_000;

/** A restarted replica answers `session` only when it has executed again what it had before, or after this time. */
export const RECOVERY_WAIT_MS = 5_000;
export const RECOVERY_POLL_MS = 20;
