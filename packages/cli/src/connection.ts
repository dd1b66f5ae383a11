import { readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createClientTransport } from "@decnet/common/rpc/client";
import { connectionOptions } from "@decnet/common/rpc/client-tls";
import { AccessService } from "@decnet/contract/gen/decnet/v1/access_pb";
import { CatalogService } from "@decnet/contract/gen/decnet/v1/catalog_pb";
import { EventService } from "@decnet/contract/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/contract/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/contract/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/contract/gen/decnet/v1/operation_pb";
import { SwarmService } from "@decnet/contract/gen/decnet/v1/swarm_pb";
import { TopologyService } from "@decnet/contract/gen/decnet/v1/topology_pb";
import { WebhookService } from "@decnet/contract/gen/decnet/v1/webhook_pb";
import type { ChosenContext } from "./contexts/contexts.ts";
import { isVerbose, say } from "./output.ts";
import { addressOf } from "./reach/address.ts";
import { patient } from "./reach/patient.ts";
import { probe } from "./reach/probe.ts";
import { fingerprintOf, tlsFor } from "./reach/trust.ts";
import type { Unreachable } from "./reach/unreachable.ts";

export interface Connection {
  readonly context: ChosenContext;
  readonly address: string;
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly events: Client<typeof EventService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly access: Client<typeof AccessService>;
  readonly swarm: Client<typeof SwarmService>;
  readonly topologies: Client<typeof TopologyService>;
  readonly webhooks: Client<typeof WebhookService>;
  /** Why no master can be talked to; undefined when one is there. */
  probe(): Promise<Unreachable | undefined>;
  close(): void;
}

const tellMs = 3_000;
const probeMs = 4_000;
const lookAgainMs = 10_000;

/** A token file that cannot be read counts as no token: the master then says what is missing. */
export function connect(context: ChosenContext): Connection {
  const address = addressOf(context);
  const settings = address.isTls ? tlsFor(context.ca) : undefined;
  const { transport, close } = createClientTransport({
    address: address.url,
    token: context.token || readToken(context.tokenFile),
    ...(settings === undefined ? {} : { tls: settings }),
  });
  const look = () =>
    probe(
      {
        address,
        tls: settings === undefined ? {} : connectionOptions(settings),
        context: context.isStored ? context.name : undefined,
        trusts: settings?.caPem === undefined ? undefined : fingerprintOf(settings.caPem),
      },
      probeMs,
    );
  const calm = patient(isVerbose() ? logged(transport) : transport, {
    tellMs,
    lookAgainMs,
    tell: () => say(`waiting for the master at ${address.url} …`),
    look,
  });
  const to = <Service extends DescService>(service: Service) => createClient(service, calm);
  return {
    context,
    address: address.url,
    probe: look,
    mutations: to(MutationService),
    fleet: to(FleetService),
    operations: to(OperationService),
    events: to(EventService),
    catalog: to(CatalogService),
    access: to(AccessService),
    swarm: to(SwarmService),
    topologies: to(TopologyService),
    webhooks: to(WebhookService),
    close,
  };
}

/** Logs each call and how long it took. */
function logged(transport: Transport): Transport {
  return {
    async unary(method, ...rest) {
      const startedAt = performance.now();
      try {
        return await transport.unary(method, ...rest);
      } finally {
        say(`  ${method.parent.typeName}/${method.name} ${(performance.now() - startedAt).toFixed(0)} ms`);
      }
    },
    stream(method, ...rest) {
      say(`  ${method.parent.typeName}/${method.name} stream`);
      return transport.stream(method, ...rest);
    },
  };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}
