import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@decnet/common/errors/app-error";
import { createExclusive } from "@decnet/common/runtime/exclusive";
import type { ComposeCli } from "../docker/compose.ts";
import type { EngineApi } from "../docker/engine-api.ts";
import type { ImageRecipe } from "../render/images.ts";
import { isOurs, namedImages, otherImage, privateBase } from "../render/own-images.ts";
import type { BuiltImages } from "./built-images.ts";
import { StepFailed, throwUnlessDone } from "./step-failed.ts";

/** Gets images onto this host: built from their recipe, or pulled by their reference. */
export interface ImageStore {
  /**
   * Does nothing when the image is there, as it was built here. Callers that want the same image share one build. Throws
   * StepFailed.
   */
  prepare(image: ImageRecipe | string, signal: AbortSignal): Promise<void>;
  /** A container is about to be made of it. Throws StepFailed when it is not the one that was built here. */
  confirm(image: ImageRecipe): Promise<void>;
}

export interface ImageStoreOptions {
  readonly api: Pick<EngineApi, "hasImage" | "imageId" | "pull" | "freeDisk" | "tagImage" | "removeImage">;
  readonly built: BuiltImages;
  readonly compose: Pick<ComposeCli, "build">;
  /** A build is not begun with less free disk than this. */
  readonly minFreeBytes: number;
}

export function createImageStore({ api, built, compose, minFreeBytes }: ImageStoreOptions): ImageStore {
  // Callers limit how much runs side by side; here only work on the same image excludes each other.
  const gate = createExclusive(Number.POSITIVE_INFINITY);
  const build = async ({ tag, context, buildBase }: ImageRecipe, signal: AbortSignal) => {
    if (!(await api.hasImage(buildBase))) await pull(buildBase, api);
    await requireOwn(namedImages(await readFile(join(context, "Dockerfile"), "utf8")), api);
    const base = isOurs(buildBase) ? privateBase(tag) : buildBase;
    if (base !== buildBase && !(await api.tagImage(buildBase, base))) throw absent(buildBase);
    const result = await compose.build({ tag, context, buildBase: base, signal, onLine: () => undefined });
    if (base !== buildBase) await api.removeImage(base);
    if (result.ended === "exit" && result.exitCode !== 0 && !(await api.hasImage(buildBase)))
      throw absent(buildBase, result.tail);
    throwUnlessDone(result, `building ${tag}`);
    await built.note(tag, (await api.imageId(tag)) ?? "");
  };
  const isReady = async (image: ImageRecipe | string): Promise<boolean> => {
    if (typeof image === "string") return api.hasImage(image);
    const [id, known] = await Promise.all([api.imageId(image.tag), built.of(image.tag)]);
    return id !== undefined && (known === undefined || known === id);
  };
  return {
    prepare: (image, signal) => {
      const tag = typeof image === "string" ? image : image.tag;
      return gate.run(tag, signal, async () => {
        if (await isReady(image)) return;
        await requireRoom(api, minFreeBytes);
        await (typeof image === "string" ? pull(image, api) : build(image, signal));
      });
    },
    async confirm({ tag }) {
      const [id, known] = await Promise.all([api.imageId(tag), built.of(tag)]);
      if (known !== undefined && id !== undefined && id !== known)
        throw new StepFailed(`the image ${tag} ${otherImage}: it is built again by the next plan`, []);
      if (known === undefined && id !== undefined) await built.note(tag, id);
    },
  };
}

async function requireRoom(api: Pick<EngineApi, "freeDisk">, minFreeBytes: number): Promise<void> {
  const disk = await api.freeDisk();
  if (disk === undefined || disk.bytes >= minFreeBytes) return;
  const [free, needed] = [disk.bytes, minFreeBytes].map((bytes) => Math.floor(bytes / (1 << 20)));
  throw new StepFailed(`${disk.folder} has ${free} MB free, and getting an image needs ${needed} MB: make room there`, []);
}

async function requireOwn(references: readonly string[], api: Pick<EngineApi, "hasImage">): Promise<void> {
  for (const reference of references) if (isOurs(reference) && !(await api.hasImage(reference))) throw absent(reference);
}

function absent(reference: string, outputTail: readonly string[] = []): StepFailed {
  const cure = "it is never pulled; run scripts/setup/base-image.sh on this host, which makes it";
  return new StepFailed(`the image ${reference} is not on this host: ${cure}`, outputTail, "IMAGE_UNAVAILABLE");
}

async function pull(reference: string, api: Pick<EngineApi, "pull">): Promise<void> {
  if (isOurs(reference)) throw absent(reference);
  try {
    await api.pull(reference);
  } catch (error) {
    if (error instanceof AppError && error.reason === "ENGINE_UNAVAILABLE") throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StepFailed(`the image ${reference} is not on this host and cannot be pulled`, [why], "IMAGE_UNAVAILABLE");
  }
}
