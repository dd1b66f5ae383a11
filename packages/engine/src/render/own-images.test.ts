import { expect, it } from "vitest";
import { isOurs, namedImages, privateBase } from "./own-images.ts";

it.each([
  ["decnet/base-debian:bookworm", true],
  ["docker.io/decnet/base-debian:bookworm", true],
  ["index.docker.io/decnet/ssh", true],
  ["decnet/ssh@sha256:0123", true],
  ["ubuntu@sha256:0123", false],
  ["kalilinux/kali-rolling", false],
  ["example.org/decnet/ssh:1", false],
  ["decnetwork/ssh:1", false],
])("%s is ours: %s", (reference, ours) => {
  expect(isOurs(reference)).toBe(ours);
});

it("a Dockerfile names images where a build starts and where it copies from", () => {
  const dockerfile = [
    "ARG BASE_IMAGE",
    "FROM --platform=linux/amd64 decnet/tools:1 AS tools",
    `from \${BASE_IMAGE}`,
    "COPY --chown=0 --from=docker.io/decnet/other:2 /a /b",
    "RUN --mount=type=bind,from=decnet/third:3,target=/x true",
  ];
  expect(namedImages(dockerfile.join("\n"))).toEqual(["decnet/tools:1", "docker.io/decnet/other:2", "decnet/third:3"]);
});

it("a build's own name of its base is a place where no registry can be", () => {
  expect(privateBase("decnet/ssh:0123456789abcdef")).toBe("127.0.0.1:1/decnet/ssh-base:0123456789abcdef");
});
