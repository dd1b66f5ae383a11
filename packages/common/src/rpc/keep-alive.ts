import type { Http2Session } from "node:http2";

const everyMs = 4_000;
const answerMs = 6_000;

/** Pings the other side while the session lives; one that does not answer in time is given up. A dead peer is noticed within ten seconds. */
export function keepAlive(session: Http2Session, onDead: () => void): void {
  let deadline: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.closed || session.destroyed || deadline !== undefined) return;
    let answered = false;
    // When this process itself was late, the answer may be here already and not read yet: that is done before an immediate runs.
    const giveUp = () => {
      if (answered || session.destroyed) return;
      onDead();
      session.destroy();
    };
    deadline = setTimeout(() => setImmediate(giveUp), answerMs);
    try {
      session.ping(() => {
        answered = true;
        clearTimeout(deadline);
        deadline = undefined;
      });
    } catch {
      // The session is just ending; its close event tells.
    }
  }, everyMs);
  session.once("close", () => {
    clearInterval(timer);
    clearTimeout(deadline);
  });
}
