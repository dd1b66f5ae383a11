import type net from "node:net";

/** A peer that waits for more is left after this. */
export const patienceMs = 400;

/** Sends the bytes, reads until the other side hangs up or waits for more, and returns what came. */
export async function open(socket: net.Socket, bytes: Buffer, ends: boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("error", () => undefined).on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.setTimeout(patienceMs, () => socket.destroy());
  if (ends) socket.end(bytes);
  else socket.write(bytes);
  await closed;
  return Buffer.concat(chunks);
}

/** Whether something came before the other side hung up or lost its patience. */
export function nextReply(socket: net.Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(false), patienceMs);
    const onData = () => end(true);
    const onClose = () => end(false);
    const end = (came: boolean) => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose);
      resolve(came);
    };
    socket.on("data", onData).on("close", onClose);
  });
}
