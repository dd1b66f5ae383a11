import { readProcFile } from "./proc-file.ts";

/** Where what a container writes to its root is on this host, as the kernel has it; undefined when its root is no overlay. */
export function observeUpperFolder(pid: number): string | undefined {
  return upperFolderIn(readProcFile(`/proc/${pid}/mountinfo`) ?? "");
}

/** Pure. Reads the mountinfo of a process: of several mounts on its root, the last one is what it sees. */
export function upperFolderIn(mountinfo: string): string | undefined {
  const roots = mountinfo.split("\n").filter((line) => line.split(" ")[4] === "/");
  const [type, , options = ""] = roots.at(-1)?.split(" - ")[1]?.split(" ") ?? [];
  if (type !== "overlay") return undefined;
  const folder = /(?:^|,)upperdir=((?:[^,\\]|\\.)*)/.exec(options)?.[1];
  // Octal numbers stand for what separates words there, a backslash before what separates options.
  const path = folder?.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return path?.startsWith("/") === true ? path.replaceAll(/\\(.)/g, "$1") : undefined;
}
