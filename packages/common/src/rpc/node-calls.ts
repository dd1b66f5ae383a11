import type { connectNodeAdapter } from "@connectrpc/connect-node";

export type NodeHandler = ReturnType<typeof connectNodeAdapter>;
/** Of HTTP/1.1 or HTTP/2. */
export type NodeRequest = Parameters<NodeHandler>[0];
export type NodeResponse = Parameters<NodeHandler>[1];

/** A response of plain text. */
export function sendText(response: NodeResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  (response.writeHead as (status: number, headers: Record<string, string>) => unknown)(status, {
    "content-type": "text/plain",
    ...headers,
  });
  response.end(`${text}\n`);
}
