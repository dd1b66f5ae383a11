import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createChannel } from "@decnet/common/runtime/channel";
import { type ApplyDeckiesResponse, ApplyDeckiesResponseSchema } from "@decnet/contract/gen/decnet/v1/agent_pb";

/** What is told of applies, on its way to the one who asked for them. */
export interface ProgressChannel extends AsyncIterable<ApplyDeckiesResponse> {
  push(told: Exclude<MessageInitShape<typeof ApplyDeckiesResponseSchema>, ApplyDeckiesResponse>): void;
  /** The reader ends after what was pushed. */
  end(): void;
  /** The reader gets what was pushed, then this error. */
  fail(error: unknown): void;
}

/** Plans and steps wait so long for company. */
const gatherMs = 50;
/** In one message. */
const mostTogether = 64;

/**
 * Message by message, or gathered: a message costs its reader more than what it says. An outcome is waited for, and takes with it
 * what was there before.
 */
export function createProgressChannel(isGathered: boolean): ProgressChannel {
  const channel = createChannel<ApplyDeckiesResponse>();
  let waiting: ApplyDeckiesResponse[] = [];
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;

  const flush = (): void => {
    clearTimeout(timer);
    clearImmediate(immediate);
    timer = undefined;
    immediate = undefined;
    const [first, ...more] = waiting;
    waiting = [];
    if (first === undefined) return;
    first.more = more;
    channel.push(first);
  };

  return {
    push(told) {
      const message = create(ApplyDeckiesResponseSchema, told);
      if (!isGathered) return channel.push(message);
      waiting.push(message);
      if (waiting.length >= mostTogether) flush();
      // What else ends in the same turn is told with it.
      else if (message.item.case === "outcome") immediate ??= setImmediate(flush);
      else timer ??= setTimeout(flush, gatherMs);
    },
    end() {
      flush();
      channel.end();
    },
    fail(error) {
      flush();
      channel.fail(error);
    },
    [Symbol.asyncIterator]: () => channel[Symbol.asyncIterator](),
  };
}
