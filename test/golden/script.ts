/**
 * Golden traces: a script of commands, each block followed by what it led to. As in etcd's testdata: `#` comments, then
 * blocks of command lines, `----`, the outcome, an empty line. With GOLDEN_REWRITE=1 the outcomes are written anew.
 *
 *   cluster n=4 [K=2] [L=4] [depth=1] [status=10] [merge] [hold]
 *                          a new cluster; STATUS is off unless its interval is given; `hold`: checkpoints become durable by command
 *   quiet | loud           stop or resume printing
 *   request r0 a [b …]     bundles of a client, made on first use, arrive at a replica
 *   pass [filter …]        deliver what matches, and what follows from it, until nothing that matches is left
 *   drop [filter …]        lose what is on its way and matches
 *   flight                 what is on its way
 *   tick r2 [count]        time passes at one replica
 *   link r1 r0 up|down     a transport gains or loses a connection
 *   durable r2             with `hold`: the oldest frozen checkpoint of a replica reaches its disk
 *   propose r0 r3 v0 n1 a  r0 signs and sends r3 another PRE-PREPARE for this view and number, for these bundles
 *   crash r2 | restart r2  stop between turns; come back from what the disk holds
 *   log r2                 the records of a replica's vote log
 *   status                 where each replica stands
 * Filters: from=0,1  to=2  type=votes,view-change
 */
import { type Bundle, type Digest, type Effect, type Input, type PeerMessage, type PrePrepare, type ReplicaId, replicaId, seqNum, view } from "@narses/core";
import { formatEffect, formatInput, formatMessage, formatRecord, shortDigest, Stage, STAGE_WALL_MS, type Envelope, type StageOptions } from "@narses/simulator";

/** Inputs that are shown only when something follows from them. */
const SILENT: ReadonlySet<Input["type"]> = new Set(["start", "tick", "own", "executed"]);

class Interpreter {
  private stage: Stage | undefined;
  private lines: string[] = [];
  private loud = true;
  private statusOn = false;
  /** A silent input that nothing has followed from yet. */
  private header: string | undefined;
  private readonly names = new Map<Digest, string>();
  private readonly bundles = new Map<string, Bundle>();

  /** Runs one command; returns the lines it led to. */
  run(command: string): readonly string[] {
    this.lines = [];
    const [verb = "", ...words] = command.split(/\s+/);
    this.dispatch(verb, words);
    if (!this.statusOn) this.stage?.drop(({ message }) => message.type === "status");
    return this.lines;
  }

  private dispatch(verb: string, words: readonly string[]): void {
    const [first = "", second = ""] = words;
    switch (verb) {
      case "cluster":
        return this.cluster(words);
      case "quiet":
      case "loud":
        this.loud = verb === "loud";
        return;
      case "request":
        for (const name of words.slice(1)) this.need().request(id(first), this.bundle(name));
        return;
      case "pass":
        this.need().pass(filter(words));
        return;
      case "drop": {
        const lost = this.need().drop(filter(words));
        if (this.loud) this.lines.push(`${lost} message${lost === 1 ? "" : "s"} lost`);
        return;
      }
      case "flight":
        for (const { from, to, message } of this.need().inFlight) this.lines.push(`r${from} → r${to}: ${this.message(message)}`);
        return;
      case "tick":
        return this.need().tick(id(first), second === "" ? 1 : Number(second));
      case "link":
        return this.need().input(id(first), { type: "peer", replica: id(second) as ReplicaId, connected: words[2] === "up" });
      case "durable":
        return this.need().checkpointDurable(id(first));
      case "propose":
        return this.propose(id(first), id(second), numberAfter("v", words[2]), numberAfter("n", words[3]), words.slice(4));
      case "crash":
        return this.need().crash(id(first));
      case "restart":
        return this.need().start(id(first));
      case "log":
        for (const record of this.need().disks[id(first)]?.records ?? []) this.lines.push(formatRecord(record, this.name));
        return;
      case "status":
        return this.status();
      default:
        throw new RangeError(`no command "${verb}"`);
    }
  }

  private need(): Stage {
    if (this.stage === undefined) throw new RangeError("the first command is: cluster n=…");
    return this.stage;
  }

  private readonly name = (digest: Digest): string => this.names.get(digest) ?? shortDigest(digest);
  private message(message: PeerMessage): string {
    return formatMessage(message, this.name);
  }

  private bundle(name: string): Bundle {
    let bundle = this.bundles.get(name);
    if (bundle === undefined) {
      bundle = this.need().makeBundle();
      this.bundles.set(name, bundle);
      this.names.set(bundle.digest, name);
    }
    return bundle;
  }

  private printInput(who: ReplicaId, input: Input): void {
    const text = `r${who} < ${formatInput(input, this.name)}`;
    this.header = undefined;
    if (SILENT.has(input.type)) this.header = text;
    else if (this.loud && (this.statusOn || !text.includes(": status "))) this.lines.push(text);
  }

  /** What follows from the last input shown. */
  private printInner(text: string): void {
    if (!this.loud || (!this.statusOn && text.includes(": status "))) return;
    if (this.header !== undefined) this.lines.push(this.header);
    this.header = undefined;
    this.lines.push(`     ${text}`);
  }

  private cluster(words: readonly string[]): void {
    const given = new Map(words.map((word) => word.split("=") as [string, string | undefined]));
    const number = (key: string, otherwise: number): number => Number(given.get(key) ?? otherwise);
    this.statusOn = given.has("status");
    const options: StageOptions = {
      n: number("n", 4), mergeVotes: given.has("merge"), holdCheckpoints: given.has("hold"),
      parameters: {
        checkpointInterval: number("K", 2), logWindow: number("L", 4), pipelineDepth: number("depth", 1), statusIntervalTicks: number("status", 1_000),
        requestTimeoutTicks: 100, disconnectTimeoutTicks: 15, viewChangeTimeoutTicks: 50,
      },
      onInput: (who, input) => {
        if (input.type === "checkpointed") this.names.set(input.root, `root${input.seq}`);
        this.printInput(who, input);
      },
      onEffect: (_who, effect: Effect) => this.printInner(formatEffect(effect, this.name)),
      onAnswer: (_who, { answer }) => this.printInner(`@ answers ${this.name(answer.bundle)} at n${answer.seq}: ${answer.result}`),
      onBatch: (digest, bundles) => void this.names.set(digest, `{${bundles.map((b) => this.name(b.digest)).join(",")}}`),
    };
    this.stage = new Stage(options);
  }

  private propose(from: number, to: number, v: number, n: number, names: readonly string[]): void {
    const stage = this.need();
    const { epoch } = stage.config(from);
    const batch = stage.keyring.toolkit.tools.makeBatch(epoch, STAGE_WALL_MS, names.map((name) => this.bundle(name)));
    this.names.set(batch.digest, `{${names.join(",")}}`);
    const signed = stage.signer(from).sign<PrePrepare>({ type: "pre-prepare", epoch, sender: replicaId(from), view: view(v), seq: seqNum(n), digest: batch.digest });
    stage.inject(from, to, { type: "pre-prepare", signed, batch });
    this.lines.push(`r${from} → r${to}: ${this.message({ type: "pre-prepare", signed, batch })}`);
  }

  private status(): void {
    const stage = this.need();
    for (const who of stage.ids) {
      if (!stage.isUp(who)) {
        this.lines.push(`r${who} down`);
        continue;
      }
      const s = stage.shell(who).status();
      const waits = s.waitingFor.length === 0 ? "" : `, waits for ${s.waitingFor.join("; ")}`;
      this.lines.push(`r${who} v${s.view}${s.active ? "" : " inactive"} h${s.stableSeq} executed n${s.executedSeq}${waits}`);
    }
  }
}

const id = (word: string): number => {
  const found = /^r(\d+)$/.exec(word)?.[1];
  if (found === undefined) throw new RangeError(`expected a replica such as r2, got "${word}"`);
  return Number(found);
};

const numberAfter = (letter: string, word = ""): number => {
  if (!new RegExp(`^${letter}\\d+$`).test(word)) throw new RangeError(`expected ${letter} and a number, got "${word}"`);
  return Number(word.slice(1));
};

function filter(words: readonly string[]): (envelope: Envelope) => boolean {
  const sets = new Map(words.map((word) => {
    const [key = "", values = ""] = word.split("=");
    if (!["from", "to", "type"].includes(key)) throw new RangeError(`no filter "${word}"`);
    return [key, new Set(values.split(","))] as const;
  }));
  return ({ from, to, message }) =>
    (sets.get("from")?.has(String(from)) ?? true) && (sets.get("to")?.has(String(to)) ?? true) && (sets.get("type")?.has(message.type) ?? true);
}

/** The script with every outcome made anew. Equal to its argument exactly when nothing changed. */
export function replay(text: string): string {
  const interpreter = new Interpreter();
  const out: string[] = [];
  let commands: string[] = [];
  let inOutcome = false;
  for (const line of text.split("\n")) {
    if (inOutcome) {
      if (line !== "") continue;
      inOutcome = false;
      out.push("");
    } else if (line === "----") {
      const outcome = commands.flatMap((command) => interpreter.run(command));
      out.push("----", ...(outcome.length === 0 ? ["ok"] : outcome));
      commands = [];
      inOutcome = true;
    } else {
      if (line !== "" && !line.startsWith("#")) commands.push(line);
      out.push(line);
    }
  }
  return out.join("\n");
}
