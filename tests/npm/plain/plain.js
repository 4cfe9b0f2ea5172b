// What tests/browser/npm.rs has a page do with the package: `tests.NAME(...)` gives what is compared.

import "./inspector/element.js";
import { DestsegError, Inspector } from "./inspector/index.js";

const MODEL = "models/fabric.safetensors";

const blobOf = async (address) => (await fetch(address)).blob();
const bytesOf = async (address) => new Uint8Array(await (await blobOf(address)).arrayBuffer());
const listed = ({ map, heatMap, ...said }) => ({
  ...said,
  map: { ...map, data: [...map.data] },
  heat: heatMap && heatMap.data.length,
});

/** The code and the sentence of a failure. */
async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return error instanceof DestsegError ? [error.code, error.message] : ["untyped", String(error)];
  }
}

/** The next event of a name. */
const next = (element, name) => new Promise((resolve) => element.addEventListener(name, resolve, { once: true }));

/** Bytes whose buffer is elsewhere by now. */
function sent() {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

function added(model) {
  const element = document.createElement("destseg-inspector");
  element.setAttribute("model", model);
  document.body.append(element);
  return element;
}

const words = (element) => element.shadowRoot.querySelector("[role=status]").textContent;

async function canvasOf(photo) {
  const bitmap = await createImageBitmap(await blobOf(photo));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas;
}

window.tests = {
  /** The same image in all the ways in which it can be given. */
  async sources(photo) {
    const globals = new Set(Object.keys(window));
    const inspector = await Inspector.load(MODEL);
    const canvas = await canvasOf(photo);
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const image = new Image();
    image.src = photo;
    const video = Object.assign(document.createElement("video"), { srcObject: canvas.captureStream(), muted: true });
    canvas.getContext("2d").drawImage(canvas, 0, 0);
    await video.play();
    const file = await blobOf(photo);
    const sources = { file, bytes: await file.arrayBuffer(), address: photo, pixels, canvas, image, video };
    const scores = {};
    for (const [name, source] of Object.entries(sources)) scores[name] = (await inspector.inspect(source)).score;
    const result = listed(await inspector.inspect(file, { heatMap: true }));
    inspector.close();
    const fromBytes = await Inspector.load(await bytesOf(MODEL));
    const again = (await fromBytes.inspect(file)).score;
    fromBytes.close();
    return {
      result,
      scores,
      again,
      model: inspector.model,
      globals: Object.keys(window).filter((name) => !globals.has(name)),
    };
  },

  async failures(photo) {
    const model = await bytesOf(MODEL);
    const newer = model.slice();
    // the first version in the header
    const head = new TextDecoder("latin1").decode(model.subarray(0, 1 << 16));
    newer[head.search(/format_version\\":\d/) + 'format_version\\":'.length] = "9".charCodeAt(0);
    // the header says that it is a model of DSR, which only the command line opens
    const dsr = model.slice();
    for (const { index } of head.matchAll(/method\\":\\"destseg\\"/g)) {
      dsr.set(new TextEncoder().encode('method\\":\\"dsr\\"    '), index);
    }
    const huge = (await bytesOf(photo)).slice();
    new DataView(huge.buffer).setUint32(16, 60_000);
    const inspector = await Inspector.load(model);
    const inspecting = (image) => failure(() => inspector.inspect(image));
    const found = {
      "no model": await failure(() => Inspector.load(huge)),
      "an empty model": await failure(() => Inspector.load(new Uint8Array())),
      "a teacher": await failure(() => Inspector.load("models/efficientnet-lite0.safetensors")),
      "a newer model": await failure(() => Inspector.load(newer)),
      "a model of DSR": await failure(() => Inspector.load(dsr)),
      "a number as model": await failure(() => Inspector.load(7)),
      "a missing model": await failure(() => Inspector.load("models/missing.safetensors")),
      "no image": await inspecting(new Blob(["text"])),
      "an empty image": await inspecting(new Blob([])),
      "nothing as image": await inspecting(undefined),
      "no pixels": await inspecting({ data: new Uint8ClampedArray(), width: 0, height: 0 }),
      "too few pixels": await inspecting({ data: new Uint8ClampedArray(5), width: 2, height: 2 }),
      "an empty canvas": await inspecting(Object.assign(document.createElement("canvas"), { width: 0 })),
      "a video without picture": await inspecting(document.createElement("video")),
      "a broken image element": await inspecting(Object.assign(new Image(), { src: "missing.png" })),
      "too large an image": await inspecting(new Blob([huge])),
      "deep pixels": await inspecting({ data: new Uint16Array(16), width: 2, height: 2 }),
      "half a pixel": await inspecting({ data: new Uint8Array(16), width: 1.5, height: 2 }),
      "sent bytes": await inspecting(sent()),
      "a sent model": await failure(() => Inspector.load(sent())),
      "no drawing": await inspecting({ width: 5, height: 5 }),
      "a TIFF file": await inspecting(Uint8Array.of(73, 73, 42, 0, 8, 0, 0, 0)),
      "a loading that was stopped": await failure(() => Inspector.load(MODEL, { signal: AbortSignal.abort() })),
    };
    // all of that does not harm it
    found.after = (await inspector.inspect(await blobOf(photo))).verdict;
    const going = failure(async () => inspector.inspect(await blobOf(photo)));
    const waiting = inspecting(await blobOf(photo));
    inspector.close();
    found["closed meanwhile"] = await waiting;
    found["closed before"] = await going;
    const { validate } = WebAssembly;
    WebAssembly.validate = () => false;
    found["no SIMD"] = await failure(() => Inspector.load(model));
    WebAssembly.validate = validate;
    return found;
  },

  /** A failure of `Inspector.load`, for files that the server refuses. */
  loading: () => failure(() => Inspector.load(MODEL)),

  /** Two elements at once; one is removed while it inspects and put back, and then gets another model. */
  async elements(photo) {
    const [first, second] = [added(MODEL), added("models/tablets.safetensors")];
    const image = await blobOf(photo);
    const results = [first, second].map((element) => next(element, "result"));
    first.image = image;
    second.setAttribute("image", photo);
    const [one, two] = (await Promise.all(results)).map((event) => event.detail.result);
    second.remove();

    const events = [];
    const note = (event) => events.push(event.type);
    for (const name of ["result", "failure"]) first.addEventListener(name, note);
    const removed = failure(() => first.show(image));
    first.remove();
    const code = await removed;
    const silent = events.length === 0;
    const back = next(first, "result");
    document.body.append(first);
    await back;

    const changed = next(first, "result");
    first.setAttribute("model", "models/tablets.safetensors");
    const other = (await changed).detail.result;
    const failed = next(first, "failure");
    first.setAttribute("model", "missing.safetensors");
    const missing = (await failed).detail;
    const said = words(first);
    first.setAttribute("model", MODEL);
    const shown = words(first.parentNode && (await next(first, "result")).target);
    return {
      verdicts: [one.verdict, two.verdict, other.verdict],
      scores: [one.score, two.score, other.score],
      code,
      silent,
      missing: [missing.error.code, missing.error.message],
      said,
      shown,
    };
  },

  /** What images held at the call counts, and what is set together is inspected once. */
  async changed(photo) {
    const inspector = await Inspector.load(MODEL);
    const canvas = await canvasOf(photo);
    const context = canvas.getContext("2d");
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const bytes = await bytesOf(photo);
    const score = async (image) => (await inspector.inspect(image)).score;
    const before = [await score(bytes), await score(pixels), await score(canvas)];
    const going = [score(bytes), score(pixels), score(canvas)];
    bytes.fill(0);
    pixels.data.fill(0);
    context.fillRect(0, 0, canvas.width, canvas.height);
    const after = await Promise.all(going);
    inspector.close();

    const events = [];
    const holder = document.createElement("div");
    document.body.append(holder);
    holder.innerHTML = `<destseg-inspector image="${photo}" model="${MODEL}"></destseg-inspector>`;
    const element = holder.firstChild;
    for (const name of ["result", "failure"]) element.addEventListener(name, (event) => events.push(event.type));
    const { result } = (await next(element, "result")).detail;
    const redrawn = await canvasOf(photo);
    const showing = element.show(redrawn);
    redrawn.getContext("2d").fillRect(0, 0, redrawn.width, redrawn.height);
    const shown = await showing;
    const failures = [];
    element.addEventListener("failure", (event) => failures.push(event.detail.error.code));
    element.model = "missing.safetensors";
    await next(element, "failure");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await element.open(MODEL);
    // the verdict is there anew, not the failure
    await next(element, "result");
    const waiting = failure(() => element.open("models/tablets.safetensors"));
    holder.remove();
    return { before, after, events, scores: [result.score, shown.score], failures, said: words(element), waiting: await waiting };
  },

  /** An inspector in a frame, which gets a model and an image by message. */
  async frame(photo, query) {
    const frame = document.createElement("iframe");
    Object.assign(frame, { src: `embed.html${query}`, width: 600, height: 500 });
    const heard = [];
    window.onmessage = ({ data, source }) => source === frame.contentWindow && heard.push(data);
    document.body.append(frame);
    const until = async (destseg, id) => {
      for (let tries = 0; tries < 300; tries += 1) {
        const found = heard.find((message) => message.destseg === destseg && message.id === id);
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return null;
    };
    const post = (message) => frame.contentWindow.postMessage(message, "*");
    if ((await until("ready")) === null) return { heard };
    post({ destseg: "model", id: 1, model: (await bytesOf(MODEL)).buffer });
    post({ destseg: "image", id: 2, image: await blobOf(photo) });
    const answer = await until("image", 2);
    post({ destseg: "image", id: 3, image: new Blob(["text"]) });
    post({ destseg: "model", id: 4, model: "https://example.invalid/model.safetensors" });
    post({ destseg: "model", id: 5, model: MODEL });
    post({ destseg: "image", id: 6, image: photo });
    post({ destseg: "model", id: 7, model: "http://[" });
    return {
      answer: answer && listed(answer.result),
      model: await until("model", 1),
      image: await until("error", 3),
      foreign: await until("error", 4),
      address: await until("model", 5),
      text: await until("error", 6),
      bracket: await until("error", 7),
      others: heard.filter(({ id }) => id === null).length,
    };
  },

  /** The same frame, told that its messages are another page's: it must say nothing. */
  async stranger() {
    const frame = document.createElement("iframe");
    frame.src = "embed.html?origin=https://example.invalid";
    let heard = 0;
    window.onmessage = ({ source }) => (heard += source === frame.contentWindow ? 1 : 0);
    document.body.append(frame);
    await next(frame, "load");
    frame.contentWindow.postMessage({ destseg: "model", id: 1, model: (await bytesOf(MODEL)).buffer }, "*");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return heard;
  },
};
document.title = "ready";
