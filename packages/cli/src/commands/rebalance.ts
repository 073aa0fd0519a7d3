import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { REBALANCE_ANNOTATION } from "@flotilla/shared/model/resources/application";
import type { Command } from "commander";
import { resourcePath } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { kindByName } from "../domain/kinds.ts";
import type { Io } from "../output/io.ts";
import { formatTable } from "../output/table.ts";
import { objectText } from "./objects.ts";
import { type Session, withSession } from "./session.ts";

/** `rebalance`. */
export function addRebalanceCommand(program: Command, io: Io): void {
  program
    .command("rebalance")
    .argument("<application>")
    .description("move replicas to where a division anew would put them, a few at a time")
    .option("--dry-run", "only show the moves, with what each gains and costs")
    .action((name: string, flags: { dryRun?: boolean }, command: Command) =>
      withSession(io, command, (session) => rebalance(session, name, flags.dryRun === true)),
    );
}

async function rebalance(session: Session, name: string, isDryRun: boolean): Promise<void> {
  const { client, namespace, io } = session;
  const kind = kindByName("applications");
  const path = resourcePath(kind, { namespace, name });
  const object = await client.json({ method: "GET", path });
  const { status } = object as unknown as ObjectOf<"Application">;
  const division = status?.division ?? [];
  if (division.length === 0)
    throw new CliError("failed", `nothing divides the replicas of ${name} over sites`, {
      mend: "set placement.replicaScheduling or spreadConstraints of a component, or the distribution of a PropagationPolicy",
    });
  if (isDryRun) {
    const asked = objectText(session, kind, { items: division });
    return io.out(asked ?? movesText(division));
  }
  await client.json({
    method: "PATCH",
    path: `${path}?fieldManager=flotilla`,
    body: { metadata: { annotations: { [REBALANCE_ANNOTATION]: isoTime(io.nowMs()) } } },
    contentType: "application/merge-patch+json",
  });
  io.out(`application/${name} rebalance asked for\n${movesText(division)}`);
}

type Division = NonNullable<NonNullable<ObjectOf<"Application">["status"]>["division"]>;

/** One line per move, as the hub last found them. */
function movesText(division: Division): string {
  const rows = division.flatMap(({ component, moves }) =>
    moves.map(({ from, to, gain, price }) => [
      component,
      from,
      to,
      gain.toFixed(2),
      price.toFixed(2),
    ]),
  );
  if (rows.length === 0) return "nothing is worth moving\n";
  return formatTable(["COMPONENT", "FROM", "TO", "GAIN", "PRICE"], rows);
}
