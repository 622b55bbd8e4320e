/** Seeded bugs in counting and judging: quorums, certificates, who may say what. */
import { edit, type Mutation } from "./mutation.ts";

const LIARS = ["byzantine", "all"] as const;

export const QUORUM_MUTATIONS: readonly Mutation[] = [
  {
    name: "prepared with Q−2 PREPAREs", seedsMax: 400,
    edits: [
      edit("pbft/src/vote.ts", "if (prepares.length < strong(r) - 1) return;", "if (prepares.length < strong(r) - 2) return;"),
      edit("pbft/src/certificate.ts", "if (senders.size < needed) return `has", "if (senders.size < needed - (excluded === undefined ? 0 : 1)) return `has"),
    ],
  },
  {
    name: "committed with Q−1 COMMITs", seedsMax: 40,
    edits: [
      edit("pbft/src/vote.ts", "if (count >= strong(r)) return", "if (count >= strong(r) - 1) return"),
      edit("pbft/src/vote.ts", "slot.commits.size < strong(r)", "slot.commits.size < strong(r) - 1"),
    ],
  },
  {
    name: "Q is the literal 2f + 1", seedsMax: 200, faults: LIARS, options: { n: 6, policies: ["equivocate", "twins"] },
    edits: [
      edit("core/src/quorum.ts", "const strong = Math.floor((n + f) / 2) + 1;", "const strong = f + f + 1;"),
      edit("core/src/quorum.ts", "assert(2 * strong - n >= f + 1, \"two strong quorums share a correct replica\");", ""),
    ],
  },
  {
    name: "W is f", seedsMax: 60, faults: LIARS, options: { n: 7 },
    edits: [edit("core/src/quorum.ts", "const weak = f + 1;", "const weak = Math.max(1, f);")],
  },
  {
    name: "the primary's PREPARE counts", seedsMax: 400, faults: LIARS, options: { n: 4, policies: ["equivocate", "premature-votes", "forged-certificates"] },
    edits: [
      edit("pbft/src/vote.ts", "if (vote.phase === \"prepare\" && sender === primaryOf(vote.view, n(r))) {", "if (vote.view < 0 && sender === primaryOf(vote.view, n(r))) {"),
      edit("pbft/src/certificate.ts", "if (frame.body.sender === excluded) return", "if (frame.body.sender === excluded && needed < 0) return"),
    ],
  },
  {
    name: "COMMITs of different views are added up", seedsMax: 40,
    edits: [edit("pbft/src/vote.ts", "if (other.view === view && other.digest === digest) count++;", "if (other.digest === digest) count++;")],
  },
  {
    name: "decides when prepared", seedsMax: 40,
    edits: [edit(
      "pbft/src/vote.ts",
      "  slot.prepared = certificate;\n",
      "  slot.prepared = certificate;\n  decide(r, slot, { view: proposal.view, seq: slot.seq, digest: proposal.digest, commits: prepares });\n",
    )],
  },
  {
    name: "one CHECKPOINT makes it stable", seedsMax: 200,
    edits: [
      edit(
        "pbft/src/checkpoint.ts",
        "if (proof.length >= strong(r)) onStable(r, { seq, root, proof: proof.slice(0, strong(r)) });",
        "if (proof.length >= Math.min(1, strong(r))) onStable(r, { seq, root, proof });",
      ),
      edit("pbft/src/certificate.ts", "if (senders.size < config.quorums.strong) return `checkpoint", "if (senders.size < 1) return `checkpoint"),
    ],
  },
  {
    name: "checkpoint votes for different roots are added up", seedsMax: 200, faults: LIARS, options: { policies: ["wrong-roots", "early-checkpoints"] },
    edits: [edit("pbft/src/checkpoint.ts", "if (signed?.body.root === root) proof.push(signed);", "if (signed !== undefined) proof.push(signed);")],
  },
  {
    name: "commit certificates from others are not checked", seedsMax: 200, faults: LIARS, options: { policies: ["forged-certificates"] },
    edits: [edit(
      "pbft/src/learn.ts",
      "const problem = checkCommitted(r.config, certificate);",
      "const problem = checkCommitted(r.config, certificate) === \"\" ? \"\" : undefined;",
    )],
  },
  {
    name: "votes of a certificate may be of one sender", seedsMax: 400, faults: LIARS, options: { policies: ["forged-certificates"] },
    edits: [
      edit("pbft/src/certificate.ts", "  if (senders.size !== refs.length) return \"counts a sender twice\";\n  if (senders.size < needed)", "  if (refs.length < needed)"),
    ],
  },
  {
    name: "VIEW-CHANGE is not checked", seedsMax: 400, faults: LIARS, options: { policies: ["forged-certificates"] },
    edits: [
      edit("pbft/src/view-change.ts", "const problem = checkViewChange(r, signed.body);", "const problem = checkViewChange(r, signed.body) === \"\" ? \"\" : undefined;"),
      edit("pbft/src/new-view.ts", "const problem = checkViewChange(r, vc);", "const problem = checkViewChange(r, vc) === \"\" ? \"\" : undefined;"),
      edit("pbft/src/screen.ts", "const problem = checkViewChange(r, body);", "const problem = checkViewChange(r, body) === \"\" ? \"\" : undefined;"),
    ],
  },
  {
    name: "NEW-VIEW is not recomputed", seedsMax: 400, faults: LIARS, options: { policies: ["new-view-liar", "new-view-bait"] },
    edits: [edit("pbft/src/new-view.ts", "const problem = checkNewView(r, body);", "const problem = checkNewView(r, body) === \"\" ? \"\" : undefined;")],
  },
  {
    name: "proposals of backups are taken", seedsMax: 200, faults: LIARS, options: { policies: ["usurper", "replay"] },
    edits: [edit("pbft/src/pre-prepare.ts", "if (body.sender !== primaryOf(body.view, n(r)))", "if (body.sender < 0)")],
  },
  {
    name: "the W-th highest view is the highest", seedsMax: 200, faults: LIARS,
    edits: [edit("pbft/src/synchroniser.ts", "[rules.quorums.weak - 1]", "[0]")],
  },
  {
    name: "client signatures are not checked", seedsMax: 100, depth: "replica", faults: LIARS, options: { policies: ["forged-requests"] },
    edits: [edit(
      "replica/src/verify.ts",
      "if (!key.verify(message, signature)) return rejection(\"SIGNATURE_INVALID\", `bundle",
      "if (!key.verify(message, signature) && bundle.bytes.length < 0) return rejection(\"SIGNATURE_INVALID\", `bundle",
    )],
  },
];
