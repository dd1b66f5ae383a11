import { notObserved } from "./not-observed.ts";
import { readProcFile } from "./proc-file.ts";

/** Where the kernel tells about the control groups of one process. */
export interface CgroupFolders {
  /** Has a `cgroup.procs`. */
  readonly members: string | undefined;
  readonly pids: string | undefined;
  readonly memory: { readonly folder: string; readonly version: 1 | 2 } | undefined;
}

interface CgroupMount {
  readonly point: string;
  /** What of the hierarchy is mounted there. */
  readonly root: string;
  /** Empty for version 2. */
  readonly controllers: readonly string[];
}

/** Mounts of control groups, from the text of /proc/self/mountinfo. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "", point = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") return [{ point, root, controllers: [] }];
    return type === "cgroup" ? [{ point, root, controllers: options.split(",") }] : [];
  });
}

/** The folders of a process, from the text of its /proc/<pid>/cgroup. Version 1 has a controller, or else version 2. */
export function cgroupFolders(cgroup: string, mounts: readonly CgroupMount[]): CgroupFolders {
  const paths = cgroup.split("\n").map((line) => line.split(":"));
  const folderOf = (controller: string) => {
    const mount = mounts.find(({ controllers }) =>
      controller === "" ? controllers.length === 0 : controllers.includes(controller),
    );
    const found = paths.find(([, controllers = ""]) =>
      controller === "" ? controllers === "" : controllers.split(",").includes(controller),
    );
    return mount === undefined || found === undefined ? undefined : folderIn(mount, found.slice(2).join(":"));
  };
  const unified = folderOf("");
  const pids = folderOf("pids") ?? unified;
  const memory = folderOf("memory");
  return {
    members: pids,
    pids,
    memory:
      memory === undefined
        ? unified === undefined
          ? undefined
          : { folder: unified, version: 2 }
        : { folder: memory, version: 1 },
  };
}

/**
 * Undefined for a path that is not below what is mounted. The root is no container's: version 1 puts a process there that is
 * ending, and what is counted there is the whole host's.
 */
function folderIn({ point, root }: CgroupMount, path: string): string | undefined {
  if (path.includes("/..")) return undefined;
  const above = root === "/" ? "/" : `${root}/`;
  return path.startsWith(above) && path !== above ? `${point}/${path.slice(above.length)}` : undefined;
}

let mounts: readonly CgroupMount[] | undefined;

/** Undefined when the process has ended. Throws NOT_OBSERVED. */
export function observeCgroups(pid: number): CgroupFolders | undefined {
  const text = readProcFile(`/proc/${pid}/cgroup`);
  if (text === undefined) return undefined;
  mounts ??= parseCgroupMounts(readProcFile("/proc/self/mountinfo") ?? "");
  return cgroupFolders(text, mounts);
}

/** All processes of a control group, by their pids here. */
export function observeMembers(folder: string): number[] {
  const text = readProcFile(`${folder}/cgroup.procs`) ?? "";
  const pids = text.split("\n").filter((line) => line !== "");
  if (!pids.every((pid) => /^\d+$/.test(pid))) throw notObserved(`${folder}/cgroup.procs is cut off`);
  return pids.map(Number);
}
