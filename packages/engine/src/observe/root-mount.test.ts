import { expect, it } from "vitest";
import { upperFolderIn } from "./root-mount.ts";

const overlay = (options: string, at = "/") => `1203 1187 0:278 / ${at} rw,relatime master:5 - overlay overlay rw,${options}`;
const plain = "1204 1203 0:281 / /proc rw,nosuid - proc proc rw";

it.each([
  ["an overlay", [overlay("lowerdir=/l/A:/l/B,upperdir=/var/x/1/diff,workdir=/var/x/1/work"), plain], "/var/x/1/diff"],
  ["an overlay in a folder with a blank and a comma", [overlay("upperdir=/a\\040b\\,c/diff,workdir=/w")], "/a b,c/diff"],
  ["the last of several", [overlay("upperdir=/first"), overlay("upperdir=/second")], "/second"],
  ["another file system", ["50 49 0:29 /subvolumes/1 / rw - btrfs /dev/sda1 rw,subvolid=300"], undefined],
  ["an overlay that nobody can write to", [overlay("lowerdir=/l/A:/l/B")], undefined],
  ["an overlay that was mounted from a folder unknown", [overlay("lowerdir=l/A,upperdir=1/diff,workdir=1/work")], undefined],
  ["an overlay elsewhere", [overlay("upperdir=/x", "/mnt")], undefined],
  ["nothing", [], undefined],
  ["a line that is cut off", ["1203 1187 0:278 / / rw"], undefined],
])("what a process writes to its root, where that is %s", (_, lines, folder) => {
  expect(upperFolderIn(lines.join("\n"))).toBe(folder);
});
