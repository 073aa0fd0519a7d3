import { type Command, InvalidArgumentError } from "commander";
import { publishedText, publishMetadata } from "../artifact/publish.ts";
import type { Io } from "../output/io.ts";
import { formatObject } from "../output/objects.ts";
import { type InitFlags, init } from "../trust/init.ts";
import { type RotateFlags, rotate } from "../trust/rotate.ts";
import { type SignFlags, sign } from "../trust/sign.ts";
import { type VerifyFlags, verify } from "../trust/verify.ts";
import { type GlobalFlags, type Session, withSession } from "./session.ts";

/** `flotilla trust …`: keys and metadata that say what nodes may install. Works on files; `publish` and `online-key` ask the hub. */
export function addTrustCommands(program: Command, io: Io): void {
  const trust = program
    .command("trust")
    .description("keys and signed metadata of what nodes may install");
  addInit(trust, io);
  addSign(trust, io);
  addRotate(trust, io);
  addVerify(trust, io);
  addHubCommands(trust, io);
}

const outputOf = (command: Command): string | undefined =>
  command.optsWithGlobals<GlobalFlags>().output;

function addInit(trust: Command, io: Io): void {
  trust
    .command("init")
    .argument("<folder>", "folder for the metadata")
    .description("make keys and the first metadata")
    .requiredOption("--keys <folder>", "folder for the keys; take them offline afterwards")
    .option("--root-keys <count>", "keys of root", count, 3)
    .option("--root-threshold <count>", "root keys that have to sign", count, 2)
    .option("--targets-keys <count>", "keys of targets", count, 2)
    .option("--release-keys <count>", "keys of releases", count, 2)
    .option("--online-key <file>", "public key of the hub for snapshot and timestamp (NAME.pub)")
    .option("--path <pattern...>", "paths that releases may release")
    .action((folder: string, flags: InitFlags, command: Command) =>
      init({ io, output: outputOf(command) }, folder, flags),
    );
}

function addSign(trust: Command, io: Io): void {
  trust
    .command("sign")
    .argument("<folder>", "folder of the metadata")
    .description("sign the next version of a role, or add signatures to the one that is pending")
    .requiredOption("--role <name>", "root, targets, releases, snapshot or timestamp")
    .requiredOption("--key <file...>", "keys to sign with (NAME.key)")
    .option("--expires-in <duration>", "life of the version, for example 90d")
    .option("--target <file=path...>", "release FILE under PATH")
    .option("--artifact <name>", "artifact that the targets belong to")
    .option("--release-counter <number>", "number of the artifact's release", count)
    .option("--artifact-version <version>", "semantic version, for people")
    .option("--hardware <id...>", "hardware that the targets are for; without it any")
    .option("--rollback-to <counter>", "nodes that had this release may go back to this one", count)
    .option("--delta", "the targets are deltas, and no part of the release")
    .option("--withdraw <path...>", "take targets out")
    .action((folder: string, flags: SignFlags, command: Command) =>
      sign({ io, output: outputOf(command) }, folder, flags),
    );
}

function addRotate(trust: Command, io: Io): void {
  trust
    .command("rotate")
    .argument("<folder>", "folder of the metadata")
    .description(
      "give a role other keys; signed by whoever names them: root, or targets for releases",
    )
    .requiredOption("--role <name>", "role whose keys change")
    .requiredOption("--key <file...>", "keys to sign with (NAME.key)")
    .option("--add <file...>", "public keys to add (NAME.pub)")
    .option("--remove <keyid...>", "keys to take away, by id")
    .option("--threshold <count>", "keys that have to sign from now on", count)
    .option("--expires-in <duration>", "life of the version, for example 365d")
    .action((folder: string, flags: RotateFlags, command: Command) =>
      rotate({ io, output: outputOf(command) }, folder, flags),
    );
}

function addVerify(trust: Command, io: Io): void {
  trust
    .command("verify")
    .argument("<folder>", "folder of the metadata")
    .description("decide as a node would, and show what is released and what waits for signatures")
    .option(
      "--root <file>",
      "root to begin with, as nodes have it; without it the oldest in the folder",
    )
    .option("--at <time>", "decide for this time, for example 2027-01-31T00:00:00Z")
    .option("--targets", "list what is released")
    .action((folder: string, flags: VerifyFlags, command: Command) =>
      verify({ io, output: outputOf(command) }, folder, flags),
    );
}

function addHubCommands(trust: Command, io: Io): void {
  trust
    .command("publish")
    .argument("<folder>", "folder of the metadata")
    .description("give the hub what is signed; it judges it and signs snapshot and timestamp")
    .action((folder: string, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => publish(session, folder)),
    );
  trust
    .command("online-key")
    .description("the hub's public key for snapshot and timestamp, as trust init takes it")
    .action((_flags: unknown, command: Command) =>
      withSession(io, command, async ({ client }) => {
        const { onlineKey } = await client.json({ method: "GET", path: "/artifacts/v1" });
        io.out(`${JSON.stringify((onlineKey as { readonly key?: unknown } | undefined)?.key)}\n`);
      }),
    );
}

async function publish({ client, io, output }: Session, folder: string): Promise<void> {
  const published = await publishMetadata(client, folder);
  const isObject = output === "json" || output === "yaml";
  io.out(isObject ? formatObject({ ...published }, output) : publishedText(published, folder));
}

function count(text: string): number {
  const value = Number(text);
  if (/^[1-9]\d{0,9}$/.test(text) && value < 2 ** 31) return value;
  throw new InvalidArgumentError("a whole number from 1 on is asked for.");
}
