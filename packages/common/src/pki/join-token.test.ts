import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { AppError } from "../errors/app-error.ts";
import { formatJoinToken, type JoinToken, parseJoinToken } from "./join-token.ts";

const token: JoinToken = {
  masters: ["192.0.2.1:7443", "master.example:7443", "[2001:db8::1]:7443"],
  caHash: createHash("sha256").update("authority").digest("hex"),
  id: "3f0c2b1a",
  secret: "Zm9vYmFyYmF6cXV4-_9",
};

function refusal(text: string): AppError {
  try {
    parseJoinToken(text);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

it("is one word that reads back as it was", () => {
  const text = formatJoinToken(token);
  expect(text).toMatch(/^dk1\.[\w-]+$/);
  expect(parseJoinToken(text)).toEqual(token);
});

it("survives being pasted with line breaks, indentation and quotes", () => {
  const text = formatJoinToken(token);
  expect(parseJoinToken(`  "${text}"\r\n`)).toEqual(token);
  expect(parseJoinToken(`${text.slice(0, 80)}\n    ${text.slice(80)}\n`)).toEqual(token);
});

it("knows every copy that lost or changed a character", () => {
  const text = formatJoinToken(token);
  for (let length = 4; length < text.length; length += 1) expect(refusal(text.slice(0, length)).reason).toBe("TOKEN_INVALID");
  for (let at = 4; at < text.length - 1; at += 1) {
    const other = text[at] === "A" ? "B" : "A";
    expect(refusal(text.slice(0, at) + other + text.slice(at + 1)).message).toContain("copy it again");
    expect(refusal(text.slice(0, at) + text.slice(at + 1)).reason).toBe("TOKEN_INVALID");
  }
});

it("says what is wrong, what to do, and never repeats the token", () => {
  expect(refusal("").message).toContain("it is empty");
  expect(refusal(" \n").message).toContain("it is empty");
  expect(refusal("SWMTKN-1-abc").message).toContain('does not begin with "dk1."');
  expect(refusal("dk1.").reason).toBe("TOKEN_INVALID");
  expect(refusal("dk1.§§§").message).toContain("characters that no token has");
  expect(refusal(`dk1.${"A".repeat(5_000)}`).message).toContain("longer than any token");
  expect(refusal("dk1.AAAA").next).toEqual(["Ask for a new one: decnet host invite"]);
  expect(refusal(`dk1.${token.secret}`).message).not.toContain(token.secret);
});

it("refuses a whole token with other content", () => {
  const made = (content: unknown) => {
    const body = Buffer.concat([Buffer.alloc(32, 7), Buffer.from(JSON.stringify(content))]);
    const checksum = createHash("sha256").update(body).digest().subarray(0, 4);
    return `dk1.${Buffer.concat([body, checksum]).toString("base64url")}`;
  };
  expect(parseJoinToken(made(["id", "secret", "a:1"])).masters).toEqual(["a:1"]);
  for (const content of [null, {}, "x", 1, [], ["id"], ["id", "secret"], ["id", "secret", 1], ["id", "", "a:1"], [["id"]]])
    expect(refusal(made(content)).reason).toBe("TOKEN_INVALID");
});

it("formats only a real hash", () => {
  for (const caHash of ["", "ab", token.caHash.toUpperCase(), `${token.caHash}00`, `${token.caHash.slice(2)}zz`])
    expect(() => formatJoinToken({ ...token, caHash })).toThrow("SHA-256");
});
