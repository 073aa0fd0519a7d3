import { type Command, InvalidArgumentError } from "commander";
import { diff } from "../artifact/diff.ts";
import { type PushFlags, push } from "../artifact/push.ts";
import { describe, list } from "../artifact/show.ts";
import { type VerifyFlags, verify } from "../artifact/verify.ts";
import type { Io } from "../output/io.ts";
import { withSession } from "./session.ts";

/** `flotilla artifact …`: models, configs and programs, their releases, and what updates to them cost. */
export function addArtifactCommands(program: Command, io: Io): void {
  const artifact = program
    .command("artifact")
    .description("models, configs and programs that nodes run with, and their releases");
  addPush(artifact, io);
  artifact
    .command("list")
    .argument("[name]", "artifact whose releases are listed; without it all artifacts")
    .description("list artifacts, or the releases of one")
    .action((name: string | undefined, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => list(session, name)),
    );
  artifact
    .command("describe")
    .argument("<name>")
    .argument("[version]", "one release of it")
    .description("releases, deltas, and where an artifact runs or was rolled back")
    .action((name: string, version: string | undefined, _flags: unknown, command: Command) =>
      withSession(io, command, (session) => describe(session, name, version)),
    );
  artifact
    .command("diff")
    .argument("<name>")
    .argument("<from>", "version that a node has")
    .argument("<to>", "version that it gets")
    .description("what an update costs, file by file: whole and as a delta")
    .action((name: string, from: string, to: string, ...[, command]: [unknown, Command]) =>
      withSession(io, command, (session) => diff(session, name, [from, to])),
    );
  addVerify(artifact, io);
}

function addPush(artifact: Command, io: Io): void {
  artifact
    .command("push")
    .argument("<name>", "artifact")
    .argument("<paths...>", "files, and folders with everything in them")
    .description("upload a release; goes on where an earlier push was cut off")
    .requiredOption("--version <version>", "semantic version of the release")
    .option("--format <format>", "onnx, safetensors, tfjs, gguf, program, config, tar or raw")
    .option("--description <text>", "of a new artifact")
    .option("--counter <number>", "number of the release; without it the next", count)
    .option("--hardware <id...>", "hardware that it is for; without it any")
    .option("--prestage [sites]", "hold it ready on nodes before anything runs with it: A,B")
    .option("--sign <folder>", "sign it in this folder of metadata, and publish that")
    .option("--key <file...>", "keys to sign with (NAME.key)")
    .option("--role <name>", "role that releases it", "releases")
    .option("--expires-in <duration>", "life of the signed version, for example 90d")
    .option("--rollback-to <counter>", "nodes that had this release may go back to this one", count)
    .action((name: string, paths: string[], flags: PushFlags, command: Command) =>
      withSession(io, command, (session) => push(session, name, paths, flags)),
    );
}

function addVerify(artifact: Command, io: Io): void {
  artifact
    .command("verify")
    .argument("<name>")
    .argument("<version>")
    .description("decide as a node would, and read every content through")
    .option("--repo <folder>", "metadata of this folder instead of the hub's")
    .option("--root <file>", "root to begin with, as nodes have it")
    .option("--hardware <id>", "hardware to decide for; without it the first that it is for")
    .option("--no-contents", "decide only")
    .action((name: string, version: string, flags: VerifyFlags, command: Command) =>
      withSession(io, command, (session) => verify(session, name, version, flags)),
    );
}

function count(text: string): number {
  const value = Number(text);
  if (/^[1-9]\d{0,9}$/.test(text) && value < 2 ** 31) return value;
  throw new InvalidArgumentError("a whole number from 1 on is asked for.");
}
