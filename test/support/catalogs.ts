import { fileURLToPath } from "node:url";

export const ownCatalog = fileURLToPath(new URL("../../catalog", import.meta.url));
export const testCatalog = fileURLToPath(new URL("../fixtures/catalog", import.meta.url));
