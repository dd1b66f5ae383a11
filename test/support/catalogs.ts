import { join } from "node:path";
import { checkout } from "./checkout.ts";

export const ownCatalog = join(checkout, "catalog");
export const testCatalog = join(checkout, "test/fixtures/catalog");
