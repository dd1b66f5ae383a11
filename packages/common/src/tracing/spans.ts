import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { AppError } from "../errors/app-error.ts";

/** What is measured of a piece of work, besides how long it took. Never a setting of a service. */
export interface SpanOptions {
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** Undefined: whatever is under way where it begins. */
  readonly parent?: Context | undefined;
}

const longestMessage = 300;
const scope = "decnet";
let isOn = false;

/** Called by what starts the exporter, and by nobody else. */
export function switchTracing(on: boolean): void {
  isOn = on;
}

/** Whether spans are made. While they are not, what is here costs a look at one variable. */
export function isTracing(): boolean {
  return isOn;
}

/** Does the work as a span of the trace that is under way here, or of a new one. */
export async function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  if (!isOn) return work();
  const { span, within } = beginSpan(name, options);
  try {
    return await context.with(within, work);
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}

export interface BegunSpan {
  readonly span: Span;
  /** In which what belongs to the span is done. */
  readonly within: Context;
}

/** For work that ends elsewhere than it begins: whoever begins it ends it. */
export function beginSpan(name: string, { kind, attributes, parent = context.active() }: SpanOptions): BegunSpan {
  const span = trace
    .getTracer(scope)
    .startSpan(name, { ...(kind === undefined ? {} : { kind }), ...(attributes === undefined ? {} : { attributes }) }, parent);
  return { span, within: trace.setSpan(parent, span) };
}

/** The reason and the sentence that a caller is told; of a defect only its name, because its words may hold anything. */
export function failSpan(span: Span, error: unknown): void {
  const isTold = error instanceof AppError;
  const message = isTold ? error.message.slice(0, longestMessage) : error instanceof Error ? error.name : "error";
  span.setAttribute("error.type", isTold ? error.reason : message);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

/** Says more about the span that is under way here. */
export function noteInSpan(attributes: Attributes): void {
  if (isOn) trace.getActiveSpan()?.setAttributes(attributes);
}

/** Messages as they come, each waited for within the span's context: a generator runs where its reader stands. */
export async function* streamWithin<T>(messages: AsyncIterable<T>, { span, within }: BegunSpan): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      const next = await context.with(within, () => iterator.next());
      if (next.done === true) {
        isOver = true;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    isOver = true;
    failSpan(span, error);
    throw error;
  } finally {
    if (!isOver) await iterator.return?.();
    span.end();
  }
}

/** The W3C trace context that came with a call, as the parent of what it leads to. */
export function contextFrom(header: Headers): Context {
  return propagation.extract(ROOT_CONTEXT, header, {
    get: (from, key) => from.get(key) ?? undefined,
    keys: (from) => [...from.keys()],
  });
}

/** Puts the W3C trace context of what is under way here into the header of a call. */
export function carryContext(header: Headers, from: Context = context.active()): void {
  propagation.inject(from, header, { set: (to, key, value) => to.set(key, value) });
}
