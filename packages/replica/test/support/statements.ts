/**
 * What replicas have signed, kept across their restarts, and what of it contradicts itself (protocol notes 1.6): one value
 * for each key; nothing new in a view that was left; a VIEW-CHANGE reports all that its sender had committed to.
 */
import type { PrePrepare, Signed, SignedBody, ViewChange } from "@narses/core";

interface Commit {
  readonly view: number;
  readonly digest: string;
}

interface Speaker {
  readonly said: Map<string, string>;
  /** Highest view it asked for: it has left all below. */
  left: number;
  /** By slot, the COMMIT of the highest view. */
  readonly commits: Map<number, Commit>;
}

export class Statements {
  readonly #speakers = new Map<number, Speaker>();

  /** What was said under a key ("prepare v0 n1"), if anything. */
  get(sender: number, key: string): string | undefined {
    return this.#speakers.get(sender)?.said.get(key);
  }

  /** Takes in a message as it is sent, or sent again; returns what it contradicts. */
  note({ body, bytes }: Signed<SignedBody>): readonly string[] {
    const speaker = this.#speakers.get(body.sender) ?? { said: new Map<string, string>(), left: 0, commits: new Map<number, Commit>() };
    this.#speakers.set(body.sender, speaker);
    const problems: string[] = [];
    for (const { key, value, view } of statementsOf(body, bytes)) {
      const before = speaker.said.get(key);
      if (before === value) continue;
      if (before !== undefined) problems.push(`replica ${body.sender}, ${key}: said ${before.slice(0, 40)}, then ${value.slice(0, 40)}`);
      else if (view !== undefined && view < speaker.left) problems.push(`replica ${body.sender}, ${key}: said after it had left for view ${speaker.left}`);
      speaker.said.set(key, value);
    }
    if (body.type === "votes") {
      for (const { phase, view, seq, digest } of body.votes) if (phase === "commit" && view >= (speaker.commits.get(seq)?.view ?? 0)) speaker.commits.set(seq, { view, digest });
    }
    if (body.type === "view-change") {
      problems.push(...concealed(speaker, body));
      speaker.left = Math.max(speaker.left, body.view);
    }
    return problems;
  }
}

function concealed({ commits }: Speaker, { sender, view, stable, prepared }: ViewChange): readonly string[] {
  return [...commits].flatMap(([seq, commit]) => {
    if (seq <= stable.seq || commit.view >= view) return [];
    const shown = prepared.find(({ prePrepare }) => prePrepare.body.seq === seq)?.prePrepare.body;
    const told = shown !== undefined && (shown.view > commit.view || (shown.view === commit.view && shown.digest === commit.digest));
    return told ? [] : [`replica ${sender}, view-change v${view}: conceals slot ${seq}, to which it committed in view ${commit.view}`];
  });
}

interface Statement {
  readonly key: string;
  readonly value: string;
  /** Of the view that is voted in. */
  readonly view?: number;
}

function statementsOf(body: SignedBody, bytes: Uint8Array): readonly Statement[] {
  const whole = (): string => Buffer.from(bytes).toString("hex");
  switch (body.type) {
    case "pre-prepare":
      return [proposalOf(body)];
    case "votes":
      return body.votes.map(({ phase, view, seq, digest }) => ({ key: `${phase} v${view} n${seq}`, value: digest, view }));
    case "checkpoint":
      return [{ key: `checkpoint n${body.seq}`, value: body.root }];
    case "view-change":
      return [{ key: `view-change v${body.view}`, value: whole() }];
    case "new-view":
      return [{ key: `new-view v${body.view}`, value: whole(), view: body.view }, ...body.prePrepares.map((signed) => proposalOf(signed.body))];
    case "outcome":
      return [{ key: `outcome n${body.seq}`, value: body.block }];
  }
}

const proposalOf = ({ view, seq, digest }: PrePrepare): Statement => ({ key: `pre-prepare v${view} n${seq}`, value: digest, view });
