/**
 * Evidence only against the guilty: no correct primary is said to have equivocated or to have proposed what none proposes; and while every
 * replica is correct, nobody is rejected for misbehaviour.
 */
import { type ReplicaId, replicaId, verdict } from "@narses/core";
import { fail, type Oracle } from "./oracle.ts";

export interface AccusationOptions {
  readonly n: number;
  /** Nobody is Byzantine, nor are clients. */
  readonly allCorrect: boolean;
  readonly isCorrect: (id: ReplicaId) => boolean;
}

/** Reasons to leave a view that blame its primary, or that of the new view, for more than slowness. */
const BLAMES_PRIMARY = /^primary (\d+)(?::| equivocated| proposed an invalid batch| re-proposed decided)/;
const BLAMES_NEW_VIEW = /^new-view of (\d+) is invalid/;

export function accusationOracle({ n, allCorrect, isCorrect }: AccusationOptions): Oracle {
  const blamed = (reason: string): ReplicaId | undefined => {
    const primary = BLAMES_PRIMARY.exec(reason)?.[1];
    if (primary !== undefined) return replicaId(Number(primary));
    const view = BLAMES_NEW_VIEW.exec(reason)?.[1];
    return view === undefined ? undefined : replicaId(Number(view) % n);
  };
  return {
    name: "accusation",
    onEffect: (replica, effect) => {
      if (effect.type === "view-left") {
        const accused = blamed(effect.reason);
        if (accused !== undefined && isCorrect(accused)) fail("accusation", `${replica.name} leaves for view ${effect.view} and blames correct r${accused}: ${effect.reason}`);
      }
      if (allCorrect && effect.type === "rejected" && verdict(effect.rejection) === "misbehaviour") {
        fail("accusation", `${replica.name} accuses correct r${effect.from} over its ${effect.message}: ${effect.rejection.code} (${effect.rejection.detail})`);
      }
    },
  };
}
