import { expect, it } from "vitest";
import { toMessage, withoutData } from "./cloud-event.ts";

const event = {
  ...{ position: "7", eventId: "e-1", topic: "decky.web-01.state", key: "web-01", version: 1, data: '{"state":"running"}' },
  occurredAt: "2026-01-01T00:00:00.000Z",
};
const attributes = {
  ...{ specversion: "1.0", id: "e-1", source: "urn:uuid:i-1", type: "decnet.decky.state.v1", subject: "decky.web-01" },
  ...{ time: "2026-01-01T00:00:00.000Z", topic: "decky.web-01.state", sequence: "00000000000000000007" },
};
const envelope = { source: "urn:uuid:i-1", prefix: "decnet" };

it("has its attributes as headers and its data as value, in binary mode", () => {
  expect(toMessage(event, { ...envelope, format: "binary" })).toEqual({
    ...{ topic: "decnet.decky", key: "web-01", value: '{"state":"running"}' },
    headers: {
      "content-type": "application/json",
      ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value])),
    },
  });
});

it("is one JSON object, in structured mode", () => {
  const { headers, value } = toMessage(event, { ...envelope, format: "structured" });
  expect(headers).toEqual({ "content-type": "application/cloudevents+json; charset=UTF-8" });
  expect(JSON.parse(value)).toEqual({ ...attributes, datacontenttype: "application/json", data: { state: "running" } });
});

it("without its data it is the same event", () => {
  const { value, headers } = toMessage(withoutData(event), { ...envelope, format: "binary" });
  expect([headers["ce_id"], JSON.parse(value)]).toEqual(["e-1", { omitted: "too large for the bus", bytes: 19 }]);
});

it("what belongs to no family goes out with what is about the system", () => {
  expect(toMessage({ ...event, topic: "odd.thing" }, { ...envelope, prefix: "x", format: "binary" }).topic).toBe("x.system");
});
