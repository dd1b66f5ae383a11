/** Messages as they come; an error among them is handed to `onError`, which returns what is thrown in its place. */
export async function* catchStream<T>(messages: AsyncIterable<T>, onError: (error: unknown) => unknown): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw onError(error);
  }
}
