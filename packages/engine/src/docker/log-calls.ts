import { cleanText } from "@decnet/common/runtime/foreign-text";
import type Docker from "dockerode";
import { absentIfGone, guarded } from "./calls.ts";

/** So many lines from the end; or all that were written in a second since the epoch or later. */
export type LogRange = { readonly tail: number } | { readonly since: number };

export interface LogCalls {
  logTail(idOrName: string, lines: number): Promise<string[]>;
  /** The last lines, or those of a second and later. */
  followLogs(id: string, options: LogRange & { follow: boolean }): Promise<NodeJS.ReadableStream | Buffer>;
  demux: Docker["modem"]["demuxStream"];
}

export function createLogCalls(docker: Docker): LogCalls {
  return {
    logTail: (idOrName, lines) =>
      guarded(async () => {
        const raw = await absentIfGone(
          docker.getContainer(idOrName).logs({ stdout: true, stderr: true, tail: lines, follow: false }),
        );
        return raw === undefined ? [] : demultiplex(raw).slice(-lines);
      }),
    followLogs: (id, { follow, ...range }) => {
      const common = { stdout: true, stderr: true, timestamps: true, ...range } as const;
      return guarded<NodeJS.ReadableStream | Buffer>(() =>
        follow
          ? docker.getContainer(id).logs({ ...common, follow: true })
          : docker.getContainer(id).logs({ ...common, follow: false }),
      );
    },
    demux: docker.modem.demuxStream.bind(docker.modem),
  };
}

/** The engine puts eight bytes of header before each piece of output. The text may be an attacker's, and is cleaned. */
function demultiplex(raw: Buffer): string[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const size = raw.readUInt32BE(at + 4);
    pieces.push(raw.subarray(at + 8, at + 8 + size));
    at += 8 + size;
  }
  const lines = Buffer.concat(pieces).toString("utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => cleanText(line, 2_000));
}
