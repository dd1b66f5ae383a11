import { createContextKey, type Interceptor } from "@connectrpc/connect";
import { AppError } from "@decnet/common/errors/app-error";
import { leastRole, mayCall, openServices } from "./roles.ts";
import type { Caller, TokenStore } from "./tokens.ts";

export const kCaller = createContextKey<Caller | undefined>(undefined, { description: "who calls" });

/** The gate: nothing passes that is not in the table of roles. */
export function createAuthInterceptor(tokens: TokenStore): Interceptor {
  return (next) => async (request) => {
    if (openServices.has(request.service.typeName)) return next(request);
    const header = request.header.get("authorization") ?? "";
    const secret = /^Bearer\s+(\S{1,256})$/i.exec(header)?.[1];
    const caller = secret === undefined ? undefined : await tokens.authenticate(secret);
    if (caller === undefined)
      throw new AppError(
        "UNAUTHENTICATED",
        secret === undefined ? "this call needs a bearer token" : "the token is unknown, expired or revoked",
      );
    const needed = leastRole[`${request.service.typeName}/${request.method.name}`];
    request.contextValues.set(kCaller, caller);
    if (needed === undefined || !mayCall(caller.role, needed))
      throw new AppError("NOT_ALLOWED", `the role ${caller.role} may not call ${request.method.name}`, {
        metadata: { needed: needed ?? "admin", role: caller.role },
      });
    return next(request);
  };
}
