import { createHash } from "node:crypto";
import type Docker from "dockerode";
import type { StoredImage } from "../render/images.ts";
import { absentIfGone, guarded, ignoring } from "./calls.ts";

export interface ImageCalls {
  hasImage(tag: string): Promise<boolean>;
  /** The engine's own id of what has the tag now; undefined when nothing has. */
  imageId(tag: string): Promise<string | undefined>;
  /** Images with a tag that begins with the prefix. */
  listImages(prefix: string): Promise<StoredImage[]>;
  /** Takes the tag away, and the image with its last tag; one that a container uses stays. */
  removeImage(tag: string): Promise<void>;
  /** Gives an image one more name; false when it is not there. */
  tagImage(reference: string, name: string): Promise<boolean>;
  /** Hash of what an image consists of, the same on every host that has it; undefined when it is not there. */
  imageContent(reference: string): Promise<string | undefined>;
  pull(reference: string): Promise<void>;
}

export function createImageCalls(docker: Docker): ImageCalls {
  return {
    hasImage: (tag) => guarded(async () => (await absentIfGone(docker.getImage(tag).inspect())) !== undefined),
    imageId: (tag) => guarded(async () => (await absentIfGone(docker.getImage(tag).inspect()))?.Id),
    listImages: (prefix) =>
      guarded(async () => {
        const [images, containers] = await Promise.all([docker.listImages(), docker.listContainers({ all: true })]);
        const used = new Set(containers.map((container) => container.ImageID));
        return images.flatMap(({ Id: id, Created: created, RepoTags: tags }) =>
          (tags ?? [])
            .filter((tag) => tag.startsWith(prefix))
            .map((tag) => ({ tag, createdAt: created * 1000, isUsed: used.has(id) })),
        );
      }),
    removeImage: (tag) => guarded(() => ignoring(409, ignoring(404, docker.getImage(tag).remove()))),
    tagImage: (reference, name) =>
      guarded(async () => {
        const at = name.lastIndexOf(":");
        const tagged = docker.getImage(reference).tag({ repo: name.slice(0, at), tag: name.slice(at + 1) });
        return (await absentIfGone(tagged.then(() => true))) ?? false;
      }),
    imageContent: (reference) =>
      guarded(async () => {
        const info = await absentIfGone(docker.getImage(reference).inspect());
        return info === undefined ? undefined : contentOf(info);
      }),
    pull: (reference) =>
      guarded(async () => {
        const stream = await docker.pull(reference);
        await new Promise<void>((resolve, reject) =>
          docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve() : reject(error))),
        );
      }),
  };
}

/** Its layers, and those of its settings that an image built from it inherits. Ids and dates differ between hosts. */
function contentOf({ RootFS: files, Config: config }: Docker.ImageInspectInfo): string {
  const settings = [config.Env, config.User, config.WorkingDir, config.Entrypoint, config.Cmd].map((each) => each || null);
  return createHash("sha256")
    .update(JSON.stringify([files.Layers ?? [], settings]))
    .digest("hex");
}
