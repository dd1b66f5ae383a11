import { AppError } from "@decnet/common/errors/app-error";

/** Which user of the host an engine makes of user 0 in its containers; the others follow in their order. */
export interface UserMapping {
  readonly uid: number;
  readonly gid: number;
}

/** Users of containers are users of the host. */
export const plainUsers: UserMapping = { uid: 0, gid: 0 };

export interface HostOwner {
  readonly uid: number;
  readonly gid: number;
}

/** What an engine says of itself that its mapping is read from. */
export interface EngineSecurity {
  /** `name=userns` for instance. */
  readonly options: readonly string[];
  /** With a mapping it ends with the numbers of the host's user and group. */
  readonly rootFolder: string;
}

/** Pure. Throws ENGINE_UNUSABLE when secrets could not be given to the users that decoys run as. */
export function userMappingOf({ options, rootFolder }: EngineSecurity): UserMapping {
  const names = options.flatMap((option) => /(?:^|,)name=([^,]+)/.exec(option)?.[1] ?? []);
  if (names.includes("rootless"))
    throw unusable("the Docker engine runs rootless, where decoys cannot be given files; use an engine that root runs");
  if (!names.includes("userns")) return plainUsers;
  const [, uid, gid] = /\/(\d+)\.(\d+)\/?$/.exec(rootFolder) ?? [];
  if (uid === undefined || gid === undefined)
    throw unusable(
      `the Docker engine maps users (userns-remap), and its folder ${rootFolder} does not say to which; ` +
        "take userns-remap out of its daemon.json and start it again",
    );
  return { uid: Number(uid), gid: Number(gid) };
}

export function hostOwner(owner: number | "host", { uid, gid }: UserMapping): HostOwner {
  return owner === "host" ? { uid: 0, gid: 0 } : { uid: owner + uid, gid: owner + gid };
}

function unusable(message: string): AppError {
  return new AppError("ENGINE_UNUSABLE", message);
}
