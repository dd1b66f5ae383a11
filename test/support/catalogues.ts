import { fileURLToPath } from "node:url";

export const ownCatalogue = fileURLToPath(new URL("../../catalog", import.meta.url));
export const testCatalogue = fileURLToPath(new URL("../fixtures/catalogue", import.meta.url));
