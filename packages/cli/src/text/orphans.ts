import type { ListOrphansResponse } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { oneLine, table, visible } from "./layout.ts";

/** What belongs to nothing on a host, as people read it. Pure. */
export function formatOrphans(host: string, installation: string, found: ListOrphansResponse): string {
  const { orphans, others, leftOut, unseen } = found;
  const command = `decnet host orphans ${host}`;
  const of = installation === "" ? "" : ` --installation ${installation}`;
  const isKept = others.some((other) => other.installation === installation && other.kept);
  const total = orphans.length + leftOut;
  const rows = orphans.map(({ kind, name, reason }) => [visible(kind), visible(name), oneLine(reason)]);
  return [
    ...(total === 0 ? [nothing(host, installation)] : [table(["KIND", "NAME", "WHY"], rows)]),
    ...(leftOut === 0 ? [] : [`and ${leftOut} more`]),
    ...(total === 0 || isKept ? [] : [`to remove ${total === 1 ? "it" : `all ${total}`}: ${command}${of} --remove`]),
    ...unseen.map((what) => `  ! not looked at: ${oneLine(what)}`),
    ...(installation === "" ? others.map((other) => otherLine(other, command)) : []),
  ].join("\n");
}

function nothing(host: string, installation: string): string {
  return installation === ""
    ? `nothing on ${host} that belongs to nothing`
    : `nothing on ${host} of the installation ${visible(installation)}`;
}

function otherLine({ installation, count, standing, kept }: ListOrphansResponse["others"][number], command: string): string {
  const things = count === 1 ? "one thing" : `${count} things`;
  const more = kept ? "" : `; to see them: ${command} --installation ${visible(installation)}`;
  return `  ${things} of another installation, ${oneLine(standing)}${more}`;
}
