/** Notices when a policy changes anything: a message dropped, altered, redirected, hidden or made up. */
import { bytesEqual, type PeerMessage, type Signed, type SignedBody } from "@narses/core";
import type { Policy } from "../adversaries/policy.ts";
import { bodyText } from "../content.ts";

/** A message that was only signed once more says the same as before. */
function isOther(before: PeerMessage, after: PeerMessage): boolean {
  if (before === after) return false;
  if (before.type === "pre-prepare" && after.type === "pre-prepare") return before.batch.digest !== after.batch.digest || saysOther(before.signed, after.signed);
  if (before.type === "votes" && after.type === "votes") return saysOther(before.signed, after.signed);
  return true;
}

const saysOther = (before: Signed<SignedBody>, after: Signed<SignedBody>): boolean =>
  bodyText(before.body) !== bodyText(after.body) || !bytesEqual(before.bytes, after.bytes);

export function watchPolicy(policy: Policy, effective: () => void): Policy {
  const { outgoing, incoming, state, tick, ticked } = policy;
  return {
    name: policy.name,
    ...(outgoing && {
      outgoing: (out) => {
        const told = outgoing(out);
        if (told.length !== 1 || told[0] === undefined || told[0].to !== out.to || isOther(out.message, told[0].message)) effective();
        return told;
      },
    }),
    ...(state && {
      state: (to, message) => {
        const told = state(to, message);
        if (told.length !== 1 || told[0] !== message) effective();
        return told;
      },
    }),
    ...(incoming && {
      incoming: (from, message) => {
        const shown = incoming(from, message);
        if (!shown) effective();
        return shown;
      },
    }),
    ...(tick && {
      tick: () => {
        const made = tick();
        if (made.length > 0) effective();
        return made;
      },
    }),
    ...(ticked && { ticked: () => ticked() }),
  };
}
