import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Passes requests on to an engine's socket, and tells which ones: `GET /containers/json?…`. Those that it swallows are never
 * answered.
 */
export async function useCountingProxy(engineSocket: string, swallows: (line: string) => boolean = () => false) {
  const socketPath = join(tmpdir(), `decnet-test-${randomBytes(4).toString("hex")}.sock`);
  const seen: string[] = [];
  const server = createServer((incoming, answer) => {
    const { method, url: path, headers } = incoming;
    seen.push(`${method} ${path}`);
    if (swallows(`${method} ${path}`)) return;
    const forwarded = request({ socketPath: engineSocket, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      // A stream of events has begun, though nothing happens yet.
      answer.flushHeaders();
      response.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    incoming.pipe(forwarded);
  });
  await once(server.listen(socketPath), "listening");
  return {
    socketPath,
    /** What was asked since the last call. */
    take: () => seen.splice(0),
    async dispose() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(socketPath, { force: true });
    },
  };
}
