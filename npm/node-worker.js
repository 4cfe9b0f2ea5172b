// The worker in Node.

import { readFile } from "node:fs/promises";
import { parentPort } from "node:worker_threads";

import init from "./wasm/destseg.js";
import { answering } from "./engine.js";

const file = (name) => readFile(new URL(name, import.meta.url));

const answer = answering({
  ready: file("./wasm/destseg_bg.wasm").then((bytes) => init({ module_or_path: bytes })),
  teacherBytes: () => file("./efficientnet-lite0.safetensors"),
  post: (message, transfer) => parentPort.postMessage(message, transfer),
});
parentPort.on("message", answer);
