// An inspector for an <iframe> of another page. docs/npm.md describes its messages.

import { DestsegError } from "./inspector/index.js";
import "./inspector/element.js";

const query = new URLSearchParams(location.search);
/** The page around this one: nobody else is listened to, and nobody else is answered. */
const origin = originOf(query.get("origin") ?? location.origin);
const element = document.querySelector("destseg-inspector");
/** Images that came by message: their answers carry the message's id. */
const asked = new WeakSet();

if (window.parent !== window) {
  const around = location.ancestorOrigins?.[0] ?? originOf(document.referrer);
  if (around && around !== origin) {
    console.warn(`destseg: the page around this frame is of ${around}, not of ${origin}: add ?origin=${around} to the frame's address`);
  }
}

/** The origin of an address; `null` if it is none. */
function originOf(address) {
  try {
    return new URL(address).origin;
  } catch {
    return null;
  }
}

function post(message) {
  if (window.parent !== window && origin) window.parent.postMessage(message, origin);
}

const failed = (id, { code = "image", message }) => post({ destseg: "error", id, code, message });

/** Bytes, or the address of a model on this site. */
function own(model) {
  if (typeof model !== "string") return model;
  let address;
  try {
    address = new URL(model, location.href);
  } catch {
    throw new DestsegError("model", `The model cannot be at ${model}, which is no address: check it.`);
  }
  if (model !== "" && address.origin === location.origin) return address;
  throw new DestsegError("model", `The model ${model} lies on another site: send its bytes, or put it on this site.`);
}

const TASKS = {
  model: async ({ model }) => ({ model: await element.open(own(model)) }),
  image: async ({ image }) => {
    if (image === null || typeof image !== "object" || image instanceof URL) {
      throw new DestsegError("image", "This is no image: send a Blob, bytes or ImageData.");
    }
    asked.add(image);
    return { result: await element.show(image) };
  },
};

async function answer(data) {
  const { destseg, id } = data;
  try {
    post({ destseg, id, ...(await TASKS[destseg](data)) });
  } catch (error) {
    failed(id, error);
  }
}

/** One after the other: no model goes while an image is inspected with it. */
let answered = Promise.resolve();
window.addEventListener("message", ({ source, origin: from, data }) => {
  if (source !== window.parent || from !== origin || !Object.hasOwn(TASKS, data?.destseg)) return;
  answered = answered.then(() => answer(data));
});

// of photos that visitors choose here
element.addEventListener("result", ({ detail: { image, result } }) => {
  if (!asked.has(image)) post({ destseg: "image", id: null, result });
});
element.addEventListener("failure", ({ detail: { image, error } }) => {
  if (image !== null && !asked.has(image)) failed(null, error);
});

const model = query.get("model");
if (model !== null) TASKS.model({ model }).catch((error) => failed(null, error));
post({ destseg: "ready" });
