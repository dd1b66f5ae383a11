import { readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { AccessService } from "@decnet/common/gen/decnet/v1/access_pb";
import { CatalogService } from "@decnet/common/gen/decnet/v1/catalog_pb";
import { EventService } from "@decnet/common/gen/decnet/v1/event_pb";
import { FleetService } from "@decnet/common/gen/decnet/v1/fleet_pb";
import { MutationService } from "@decnet/common/gen/decnet/v1/mutation_pb";
import { OperationService } from "@decnet/common/gen/decnet/v1/operation_pb";
import { createClientTransport } from "@decnet/common/rpc/client";

export interface Connection {
  readonly address: string;
  readonly mutations: Client<typeof MutationService>;
  readonly fleet: Client<typeof FleetService>;
  readonly operations: Client<typeof OperationService>;
  readonly events: Client<typeof EventService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly access: Client<typeof AccessService>;
  close(): void;
}

/** Where the master is and who we are. A token file that cannot be read counts as no token: the master then says what is missing. */
export interface Target {
  readonly address: string;
  readonly token: string;
  readonly tokenFile: string;
}

export function connect(target: Target): Connection {
  const { transport, close } = createClientTransport({
    address: target.address,
    token: target.token || readToken(target.tokenFile),
  });
  const to = <Service extends DescService>(service: Service) => createClient(service, transport);
  return {
    address: target.address,
    mutations: to(MutationService),
    fleet: to(FleetService),
    operations: to(OperationService),
    events: to(EventService),
    catalog: to(CatalogService),
    access: to(AccessService),
    close,
  };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}
