/**
 * Own non-equivocation, across restarts: a correct replica never signs two values for one key, and after VIEW-CHANGE(v′)
 * neither proposes nor votes in any view below v′.
 */
import type { SignedBody } from "@narses/core";
import { bodyText } from "../content.ts";
import { fail, type Oracle, type Watched } from "./oracle.ts";

/** [key, value] of everything a body states. */
export function statements(body: SignedBody): readonly (readonly [string, string])[] {
  switch (body.type) {
    case "pre-prepare":
      return [[`PP v${body.view} n${body.seq}`, body.digest]];
    case "votes":
      return body.votes.map((v) => [`${v.phase} v${v.view} n${v.seq}`, v.digest] as const);
    case "checkpoint":
      return [[`CP n${body.seq}`, body.root]];
    case "view-change":
      return [[`VC v${body.view}`, bodyText(body)]];
    case "new-view":
      return [[`NV v${body.view}`, bodyText(body)]];
    case "outcome":
      return [[`outcome n${body.seq}`, body.block]];
  }
}

export function nonEquivocationOracle(): Oracle {
  const said = new Map<string, string>();
  const left = new Map<string, number>();
  const checkView = (replica: Watched, what: string, view: number): void => {
    const leftView = left.get(replica.name) ?? 0;
    if (view < leftView) fail("non-equivocation", `${replica.name} ${what} in v${view} after its view-change to v${leftView}`);
  };
  return {
    name: "non-equivocation",
    onSigned: (replica, { body }) => {
      for (const [key, value] of statements(body)) {
        const full = `${replica.name} ${key}`;
        const held = said.get(full);
        if (held === undefined) said.set(full, value);
        else if (held !== value) fail("non-equivocation", `${full}: signed ${held.slice(0, 60)} and ${value.slice(0, 60)}`);
      }
    },
    onEffect: (replica, effect) => {
      if (effect.type === "view-change") left.set(replica.name, Math.max(left.get(replica.name) ?? 0, effect.view));
      else if (effect.type === "vote") checkView(replica, `casts ${effect.vote.phase}`, effect.vote.view);
      else if (effect.type === "pre-prepare" || effect.type === "new-view") checkView(replica, `sends ${effect.type}`, effect.view);
    },
  };
}
