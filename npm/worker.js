// The worker in a browser.

import init from "./wasm/destseg.js";
import { DestsegError } from "./error.js";
import { answering } from "./engine.js";
import { fetched } from "./bytes.js";

const ready = init().catch((error) => {
  throw new DestsegError(
    "platform",
    `The engine could not be started (${error.message}): check that ${new URL("./wasm/destseg_bg.wasm", import.meta.url)} gives ` +
      "the file, and that the page's policy allows 'wasm-unsafe-eval'.",
  );
});
// it is awaited when the first request comes
ready.catch(() => {});

const answer = answering({
  ready,
  teacherBytes: () => fetched(new URL("./efficientnet-lite0.safetensors", import.meta.url)),
  post: (message, transfer) => self.postMessage(message, transfer),
});
self.onmessage = (event) => answer(event.data);
