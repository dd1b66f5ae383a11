import type { connectNodeAdapter } from "@connectrpc/connect-node";

export type NodeHandler = ReturnType<typeof connectNodeAdapter>;
/** Of HTTP/1.1 or HTTP/2. */
export type NodeRequest = Parameters<NodeHandler>[0];
export type NodeResponse = Parameters<NodeHandler>[1];

/**
 * A response of plain text, which is the only one: who handled the call meanwhile responds to nobody, where Node.js would throw
 * at a second head. Nothing when a response was begun already.
 */
export function sendText(response: NodeResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  if (response.headersSent) return;
  (response.writeHead as (status: number, headers: Record<string, string>) => unknown)(status, {
    "content-type": "text/plain",
    ...headers,
  });
  response.end(`${text}\n`);
  const deaf = () => response;
  Object.assign(response, { writeHead: deaf, write: () => true, end: deaf, addTrailers: () => undefined });
}
