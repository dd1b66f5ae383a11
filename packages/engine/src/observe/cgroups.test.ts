import { expect, it } from "vitest";
import { cgroupFolders, parseCgroupMounts } from "./cgroups.ts";

const mount = (type: string, point: string, options: string, root = "/") =>
  `36 25 0:31 ${root} ${point} rw,nosuid shared:9 - ${type} ${type} ${options}`;
const id = "f".repeat(64);

it("finds the groups of a process in one hierarchy", () => {
  const mounts = parseCgroupMounts(
    `22 1 8:1 / / rw - ext4 /dev/sda1 rw\n${mount("cgroup2", "/sys/fs/cgroup", "rw,nsdelegate")}\n`,
  );
  const folder = `/sys/fs/cgroup/system.slice/docker-${id}.scope`;
  expect(cgroupFolders(`0::/system.slice/docker-${id}.scope\n`, mounts)).toEqual({
    members: folder,
    pids: folder,
    memory: { folder, version: 2 },
  });
});

it("finds them in one hierarchy for each controller, beside one without any", () => {
  const mounts = parseCgroupMounts(
    [
      mount("cgroup", "/sys/fs/cgroup/pids", "rw,pids"),
      mount("cgroup", "/sys/fs/cgroup/memory", "rw,memory"),
      mount("cgroup", "/sys/fs/cgroup/systemd", "rw,xattr,name=systemd"),
      mount("cgroup2", "/sys/fs/cgroup/unified", "rw"),
    ].join("\n"),
  );
  expect(cgroupFolders(`9:name=systemd:/x\n8:pids:/docker/${id}\n4:memory:/docker/${id}\n0::/docker/${id}\n`, mounts)).toEqual({
    members: `/sys/fs/cgroup/pids/docker/${id}`,
    pids: `/sys/fs/cgroup/pids/docker/${id}`,
    memory: { folder: `/sys/fs/cgroup/memory/docker/${id}`, version: 1 },
  });
});

it("finds them where only a part of the hierarchy is mounted, and none outside of it", () => {
  const mounts = parseCgroupMounts(mount("cgroup2", "/sys/fs/cgroup", "rw", "/outer"));
  expect(cgroupFolders("0::/outer/inner", mounts).pids).toBe("/sys/fs/cgroup/inner");
  expect(cgroupFolders("0::/other", mounts).pids).toBeUndefined();
  expect(cgroupFolders("0::/../other", parseCgroupMounts(mount("cgroup2", "/sys/fs/cgroup", "rw"))).pids).toBeUndefined();
});

it("has none for a process that is in the root: one that is ending, or that is of the host", () => {
  const mounts = parseCgroupMounts(
    [
      mount("cgroup", "/sys/fs/cgroup/pids", "rw,pids"),
      mount("cgroup", "/sys/fs/cgroup/memory", "rw,memory", "/outer"),
      mount("cgroup2", "/sys/fs/cgroup/unified", "rw"),
    ].join("\n"),
  );
  const none = { members: undefined, pids: undefined, memory: undefined };
  expect(cgroupFolders("8:pids:/\n4:memory:/\n0::/\n", mounts)).toEqual(none);
  expect(cgroupFolders("8:pids:/\n4:memory:/outer\n0::/\n", mounts)).toEqual(none);
});
