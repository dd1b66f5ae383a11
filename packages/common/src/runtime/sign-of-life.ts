import { once } from "node:events";
import { constants } from "node:fs";
import { chmod, open, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";

/**
 * A file in a folder that shows whether the process which made it still runs: a socket that it listens on. The kernel keeps that,
 * also for processes in other containers, which see nothing else of it but the folder.
 */
export interface SignOfLife {
  end(): Promise<void>;
}

/** Undefined where the file system has no sockets. */
export async function giveSignOfLife(folder: string, name: string): Promise<SignOfLife | undefined> {
  // Who looks connects, and that is all that there is to it.
  const server = createServer((socket) => socket.destroy());
  server.unref();
  const remove = () => rm(join(folder, name), { force: true });
  try {
    await within(folder, name, async (path) => {
      await once(server.listen(path), "listening");
      await chmod(path, 0o600);
    });
  } catch {
    await remove();
    return undefined;
  }
  server.on("error", () => undefined);
  return {
    async end() {
      const closed = once(server, "close");
      server.close();
      await closed;
      await remove();
    },
  };
}

/** Whether it may: no only when the kernel says that nobody listens. */
export async function mayHaveSignOfLife(folder: string, name: string): Promise<boolean> {
  try {
    await within(folder, name, async (path) => {
      const socket = connect(path);
      try {
        await once(socket, "connect");
      } finally {
        socket.destroy();
      }
    });
    return true;
  } catch (error) {
    return !["ECONNREFUSED", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** The kernel takes paths of sockets of a hundred bytes alone; the way over an open folder is short. */
async function within(folder: string, name: string, work: (path: string) => Promise<unknown>): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await work(`/proc/self/fd/${handle.fd}/${name}`);
  } finally {
    await handle.close();
  }
}
