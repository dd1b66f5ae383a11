import http2 from "node:http2";
import { type NodeRequest, type NodeResponse, sendText } from "./node-calls.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR, NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE, NGHTTP2_STREAM_STATE_CLOSED } =
  http2.constants;
/** After the response, a caller may hear it before the rest of its body is cut off. */
const lingerMs = 1_000;

/** Cuts a request whose body does not arrive in time, and what still arrives after its response. */
export function watchBody(request: NodeRequest, response: NodeResponse, bodyMs: number, onLate: () => void): void {
  const { socket } = request;
  const cut = (code: number) => {
    if ("stream" in request) request.stream.close(code);
    else if (!request.destroyed) socket.destroySoon();
  };
  const late = () => {
    if (hasArrived(request)) return;
    onLate();
    if (!("stream" in request) && !response.headersSent)
      sendText(response, 408, "the body did not arrive in time", { connection: "close" });
    cut(NGHTTP2_ENHANCE_YOUR_CALM);
  };
  let timer = setTimeout(late, bodyMs);
  response.once("finish", () => {
    clearTimeout(timer);
    if (hasArrived(request)) return;
    // Of HTTP/1.1 the next request comes after it; whoever began to read it is not interested any more.
    if (!("stream" in request)) request.removeAllListeners("readable").resume();
    timer = setTimeout(() => {
      if (!hasArrived(request)) cut(NGHTTP2_NO_ERROR);
    }, lingerMs);
  });
  // One of HTTP/1.1 closes as soon as it is finished, whatever is still to be read.
  response.once("close", () => {
    if ("stream" in request || !response.writableFinished) clearTimeout(timer);
  });
  request.once("end", () => clearTimeout(timer));
}

/** Whether the caller has sent all of it, read or not. */
function hasArrived(request: NodeRequest): boolean {
  if (!("stream" in request)) return request.complete;
  const { stream } = request;
  if (stream.destroyed || stream.closed || stream.readableEnded) return true;
  const { state } = stream.state;
  return state === NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE || state === NGHTTP2_STREAM_STATE_CLOSED;
}
