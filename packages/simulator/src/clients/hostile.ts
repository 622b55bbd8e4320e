/**
 * Clients that want to harm: with their own keys, and with bytes of all kinds. Nothing is owed to them; what they do must cost others
 * little, take effect at most once, and look alike to every replica.
 */
import { type Bundle, type Operation, requestId, seqNum, sessionNumber } from "@narses/core";
import { BUNDLE_BYTES_MIN, encodePayload } from "@narses/wire";
import type { Answer } from "../app.ts";
import type { Random } from "../random.ts";
import { SimClient, type ClientOptions, type ClientWorld } from "./client.ts";
import { type Habit, habitId } from "./habits.ts";
import { UNSOUND_KEYS, UNSOUND_PAYLOADS } from "./unsound.ts";

/** Keys that one flood makes, at most. */
const FLOOD_KEYS_MAX = 120;
/** Calls at once: more than a replica answers one connection. */
const CALLS_AT_ONCE = 200;
/** Offset of the public key in a bundle: behind version, tag and epoch. */
const PUBLIC_KEY_AT = 6;
/** Old bundles remembered, to be sent again. */
const REMEMBERED_MAX = 32;

/** What a replica says to it shows that the habit had its effect. */
const TELLING_CODES: Readonly<Partial<Record<Habit, readonly string[]>>> = {
  flood: ["OVERLOADED"], calls: ["OVERLOADED"], "far-ahead": ["OUT_OF_WINDOW"], "old-sessions": ["EVICTED"], "bad-keys": ["REQUEST_INVALID"],
};

const CALLS: readonly (readonly [method: string, params: unknown])[] = [
  ["block", { seq: 0 }], ["prove", { key: "count" }], ["block", { seq: 5 }], ["app-query", { question: null }],
  ["read", { question: Uint8Array.of(0xc0), full: true }], ["why", {}], ["nonsense", [[[]]]],
];

export interface HostileOptions extends ClientOptions {
  readonly habit: Habit;
  readonly bundleBytesMax: number;
  readonly sessionWindow: number;
}

export class HostileClient extends SimClient {
  private readonly hostile: HostileOptions;
  private readonly remembered: Bundle[] = [];
  private keys = 0;
  private sessions = 0;

  constructor(options: HostileOptions, world: ClientWorld, random: Random) {
    super(options, world, random);
    this.hostile = options;
  }

  override submit(): void {
    if (this.world.healed) return;
    switch (this.hostile.habit) {
      case "flood":
        return this.flood();
      case "far-ahead":
        return this.farAhead();
      case "old-sessions":
        return this.oldSessions();
      case "bad-keys":
        return this.badKey();
      case "largest":
        return this.largest();
      case "malformed":
        return this.malformed();
      case "calls":
        return this.storm();
      default:
        return super.submit();
    }
  }

  override retransmit(): void {
    if (!this.world.healed) super.retransmit();
  }

  override onRefused(code: string): void {
    const { habit } = this.hostile;
    if (TELLING_CODES[habit]?.includes(code) === true) this.world.sometimes(habitId(habit));
  }

  protected override onCertain(answer: Answer, relayed: boolean): void {
    super.onCertain(answer, relayed);
    const { habit } = this.hostile;
    // Where nothing is refused, that it is served is all there is to see.
    const told = habit === "largest" || (habit === "flood" && this.world.clientBytes === undefined) || (habit === "malformed" && answer.result.includes(":!"));
    if (told) this.world.sometimes(habitId(habit));
  }

  /** Many clients that nobody has heard of, all at once. */
  private flood(): void {
    for (let i = this.random.int(5, 40); i > 0 && this.keys < FLOOD_KEYS_MAX; i--) {
      this.keys++;
      const bundle = this.world.newKey(this).makeBundle({ ridFirst: requestId(1), ackLow: 0, operations: this.operations(1, i) });
      this.submitted(bundle, undefined);
      this.sendToAll(bundle);
    }
  }

  /** Request ids with holes below them, or further ahead than the window. */
  private farAhead(): void {
    const { sessionWindow, key } = this.hostile;
    const rid = this.nextRid
      + this.random.pick([0, 1, 5, sessionWindow - 1, sessionWindow, 2 * sessionWindow, Number.MAX_SAFE_INTEGER - 2 * this.nextRid]);
    if (rid < this.nextRid + sessionWindow) this.nextRid = rid + 1;
    this.give(key.makeBundle({ ridFirst: requestId(rid), ackLow: 0, operations: this.operations(1, 0) }));
  }

  /** Session after session of one key, and requests of those that are closed since. */
  private oldSessions(): void {
    const session = sessionNumber(seqNum(0), ++this.sessions);
    this.give(this.hostile.key.makeBundle({ ridFirst: requestId(1), ackLow: 0, operations: this.operations(1, 0), session }));
    if (this.remembered.length > 0) this.sendToAll(this.random.pick(this.remembered));
  }

  /** A signed request whose key is exchanged for one that verifies too much, or nothing. */
  private badKey(): void {
    const bytes = this.ordinary().bytes.slice();
    bytes.set(this.random.pick(UNSOUND_KEYS), PUBLIC_KEY_AT);
    this.sendBytes(bytes);
  }

  /** As large as a bundle may be; and one byte more. */
  private largest(): void {
    const room = this.hostile.bundleBytesMax - BUNDLE_BYTES_MIN;
    let payload = encodePayload(new Uint8Array(room));
    payload = encodePayload(new Uint8Array(2 * room - payload.length));
    const rid = this.nextRid++;
    const bundle = this.hostile.key.makeBundle({ ridFirst: requestId(rid), ackLow: rid - 1, operations: [{ kind: "apply", payload }] });
    this.give(bundle);
    const longer = new Uint8Array(bundle.bytes.length + 1);
    longer.set(bundle.bytes);
    this.sendBytes(longer);
  }

  /** Well signed, but what it asks for is no value; or no frame at all. */
  private malformed(): void {
    const rid = this.nextRid++;
    const operations: readonly Operation[] = [{ kind: "apply", payload: this.random.pick(UNSOUND_PAYLOADS) }];
    const bundle = this.hostile.key.makeBundle({ ridFirst: requestId(rid), ackLow: rid - 1, operations });
    this.give(bundle);
    const bytes = bundle.bytes.slice(0, this.random.int(0, bundle.bytes.length));
    if (bytes.length > 0) bytes[this.random.int(0, bytes.length - 1)] = this.random.int(0, 255);
    this.sendBytes(bytes);
  }

  /** Questions to one replica, all at once. */
  private storm(): void {
    const to = this.random.pick(this.everybody);
    // All the same, and costly; or a bit of everything.
    const single = this.random.pick([CALLS[0], CALLS[1], undefined]);
    for (let i = 0; i < CALLS_AT_ONCE; i++) {
      const [method, params] = single ?? this.random.pick(CALLS);
      this.world.clientBytes?.call(this, to, method, encodePayload(params));
    }
  }

  private ordinary(): Bundle {
    return this.hostile.key.makeBundle({ ridFirst: requestId(this.nextRid), ackLow: this.nextRid - 1, operations: this.operations(1, 0) });
  }

  private give(bundle: Bundle): void {
    this.remembered.push(bundle);
    if (this.remembered.length > REMEMBERED_MAX) this.remembered.shift();
    this.submitted(bundle, undefined);
    this.sendToAll(bundle);
  }

  private sendBytes(frame: Uint8Array): void {
    for (const to of this.everybody) this.world.clientBytes?.send(this, to, frame);
  }
}
