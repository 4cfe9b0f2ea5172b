// The web component <destseg-inspector>. element.d.ts describes it.

import { fetched, isBytes } from "./bytes.js";
import { DestsegError, Inspector } from "./index.js";

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { display: block; font: 1rem/1.4 system-ui, sans-serif; }
  :host([hidden]) { display: none; }
  .frame { position: relative; cursor: pointer; display: grid; place-items: center; gap: 0.5rem; padding: 0.75rem; border: 2px dashed #8888; border-radius: 0.5rem; }
  .frame.over, .frame:focus-within { border-color: currentColor; }
  input { position: absolute; opacity: 0; inset: 0; width: 100%; height: 100%; cursor: pointer; }
  canvas { display: block; max-width: 100%; height: auto; }
  canvas[hidden] { display: none; }
  p { margin: 0.5rem 0 0; }
  .good { color: light-dark(#17683a, #7fd6a2); }
  .defective { color: light-dark(#a61b1b, #ff9c93); }
  .unfamiliar, .failed { color: light-dark(#7a4a00, #f0c070); }
`);

/** The longer side of the picture that is drawn, in pixels. */
const LARGEST = 1600;

const WORDS = { good: "Good", defective: "Defective", unfamiliar: "Unfamiliar" };

/** A picture to draw; `null` where the browser cannot, though the engine may. */
async function bitmapOf(image) {
  try {
    if (typeof image === "string" || image instanceof URL) return await createImageBitmap(new Blob([await fetched(image)]));
    if (isBytes(image)) return await createImageBitmap(new Blob([image]));
    if (image.data && !(image instanceof ImageData)) {
      return await createImageBitmap(new ImageData(new Uint8ClampedArray(image.data), image.width, image.height));
    }
    return await createImageBitmap(image);
  } catch {
    return null;
  }
}

/** Draws an image and the heat map over it. */
function draw(canvas, bitmap, heatMap) {
  const { width, height } = bitmap ?? heatMap;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(scale * width));
  canvas.height = Math.max(1, Math.round(scale * height));
  canvas.hidden = false;
  const context = canvas.getContext("2d");
  if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  if (!heatMap) return;
  const heat = new OffscreenCanvas(heatMap.width, heatMap.height);
  heat.getContext("2d").putImageData(new ImageData(heatMap.data, heatMap.width, heatMap.height), 0, 0);
  context.globalAlpha = bitmap ? 0.5 : 1;
  context.drawImage(heat, 0, 0, canvas.width, canvas.height);
}

/** Verdict, score and what to do, in words. */
function words({ verdict, score, threshold, note }) {
  const numbers =
    threshold === null
      ? `score ${score.toFixed(3)}; the model has no threshold`
      : `score ${score.toFixed(3)}, threshold ${threshold.toFixed(3)}`;
  return `${WORDS[verdict] ?? "No verdict"} (${numbers}).${note ? ` ${note}` : ""}`;
}

export class DestsegInspectorElement extends HTMLElement {
  static observedAttributes = ["model", "image"];

  #model = null;
  #image = null;
  #result = null;
  /** A promise of the model's inspector; `null` while the element is in no document. */
  #inspector = null;
  #frame = document.createElement("label");
  #canvas = document.createElement("canvas");
  #input = document.createElement("input");
  #words = document.createElement("p");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    this.#frame.className = "frame";
    this.#canvas.hidden = true;
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("part", "picture");
    Object.assign(this.#input, { type: "file", accept: "image/*" });
    this.#words.setAttribute("role", "status");
    this.#words.setAttribute("part", "verdict");
    this.#frame.append(this.#canvas, "Choose a photo or drop one here", this.#input);
    root.append(this.#frame, this.#words);
    this.#input.onchange = () => this.#take(this.#input.files);
    this.#frame.ondragover = (event) => {
      event.preventDefault();
      this.#frame.classList.add("over");
    };
    this.#frame.ondragleave = () => this.#frame.classList.remove("over");
    this.#frame.ondrop = (event) => {
      event.preventDefault();
      this.#frame.classList.remove("over");
      this.#take(event.dataTransfer.files);
    };
  }

  #take(files) {
    if (files.length > 0) this.image = files[0];
  }

  attributeChangedCallback(name, _before, value) {
    this[name] = value;
  }

  connectedCallback() {
    // what was set before the element was defined
    for (const name of ["model", "image"]) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    // without a model there is nothing to load yet
    this.#load().catch(() => {});
    if (this.#image !== null && this.#result === null) this.image = this.#image;
  }

  disconnectedCallback() {
    this.#unload();
  }

  get model() {
    return this.#model;
  }

  set model(model) {
    this.open(model).catch(() => {});
  }

  get image() {
    return this.#image;
  }

  set image(image) {
    this.show(image).catch(() => {});
  }

  get result() {
    return this.#result;
  }

  async open(model) {
    this.#model = model;
    this.#unload();
    const loading = this.#load();
    // the verdict of another model says nothing
    if (this.#image !== null) this.image = this.#image;
    return (await loading).model;
  }

  async show(image) {
    this.#image = image;
    this.#result = null;
    this.#canvas.hidden = true;
    this.#say("", image === null ? "" : "Inspecting …");
    if (image === null) return null;
    try {
      const inspecting = this.#ready().then((inspector) => inspector.inspect(image, { heatMap: true }));
      // who awaits it comes later
      inspecting.catch(() => {});
      const bitmap = await bitmapOf(image);
      if (bitmap && this.#image === image) draw(this.#canvas, bitmap, null);
      const result = await inspecting;
      if (this.#image === image) this.#present(result, bitmap);
      bitmap?.close();
      this.dispatchEvent(new CustomEvent("result", { detail: { image, result } }));
      return result;
    } catch (error) {
      if (this.#image === image) this.#fail(image, error);
      throw error;
    }
  }

  #present(result, bitmap) {
    this.#result = result;
    draw(this.#canvas, bitmap, result.heatMap);
    this.#say(result.verdict ?? "", words(result));
    this.#canvas.setAttribute("aria-label", words(result));
  }

  async #ready() {
    if (this.#inspector) return this.#inspector;
    throw this.#model === null
      ? new DestsegError("model", "There is no model: set the attribute `model` to the address of one.")
      : new DestsegError("closed", "The element is in no document: put it into one first.");
  }

  /** Loads the model; a failure is told once and given to whoever waits. */
  async #load() {
    if (this.#inspector === null && this.#model !== null && this.isConnected) {
      const loading = Inspector.load(this.#model);
      this.#inspector = loading;
      loading.catch((error) => this.#inspector === loading && this.#fail(null, error));
    }
    return this.#ready();
  }

  /** Ends the inspector; what is going on fails with the code `closed`. */
  #unload() {
    this.#inspector?.then(
      (inspector) => inspector.close(),
      () => {},
    );
    this.#inspector = null;
  }

  #say(kind, text) {
    this.#words.className = kind;
    this.#words.textContent = text;
  }

  #fail(image, error) {
    // the element was removed, or has another model by now
    if (error.code === "closed") return;
    this.#say("failed", error.message);
    this.dispatchEvent(new CustomEvent("error", { detail: { image, error } }));
  }
}

customElements.define("destseg-inspector", DestsegInspectorElement);
