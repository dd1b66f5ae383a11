import { expect, it } from "vitest";
import { identityUri, type PkiIdentity, parseIdentityUri } from "./identity.ts";

it("reads what it writes", () => {
  const identities: [PkiIdentity, string][] = [
    [{ role: "master", installation: "lab-1" }, "urn:decnet:lab-1:master"],
    [{ role: "agent", hostId: "8f14e45f-ceea", installation: "lab-1", number: 0 }, "urn:decnet:lab-1:agent:8f14e45f-ceea"],
    [{ role: "agent", hostId: "8f14e45f-ceea", installation: "lab-1", number: 7 }, "urn:decnet:lab-1:agent:8f14e45f-ceea:7"],
    [{ role: "agent", hostId: "master", installation: "agent", number: 0 }, "urn:decnet:agent:agent:master"],
  ];
  for (const [identity, uri] of identities) {
    expect(identityUri(identity)).toBe(uri);
    expect(parseIdentityUri(uri)).toEqual(identity);
  }
});

it("refuses to write an id that could be read as another identity", () => {
  for (const id of ["", "a:master", "a b", "a,b", "ä", "-a", "a".repeat(65), "a\n"]) {
    expect(() => identityUri({ role: "master", installation: id })).toThrow("cannot stand in a certificate");
    expect(() => identityUri({ role: "agent", hostId: id, installation: "lab", number: 1 })).toThrow(
      "cannot stand in a certificate",
    );
  }
});

it("reads nothing else as an identity", () => {
  for (const uri of [
    "",
    "urn:decnet:lab",
    "urn:decnet:lab:",
    "urn:decnet::master",
    "urn:decnet:lab:admin",
    "urn:decnet:lab:agent",
    "urn:decnet:lab:agent:",
    "urn:decnet:lab:agent:a:master",
    "urn:decnet:lab:agent:a:0",
    "urn:decnet:lab:agent:a:01",
    "urn:decnet:lab:agent:a:-1",
    "urn:decnet:lab:agent:a:1:2",
    "urn:decnet:lab:agent:a:9999999999",
    "urn:decnet:lab:master:",
    "urn:decnet:lab:master\n",
    " urn:decnet:lab:master",
    "URN:decnet:lab:master",
  ])
    expect(parseIdentityUri(uri)).toBeUndefined();
});
