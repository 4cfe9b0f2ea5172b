// The web component <destseg-inspector>. element.d.ts describes it.

import { DestsegError } from "./error.js";
import { Inspector } from "./index.js";
import { picture } from "./picture.js";

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { display: block; font: 1rem/1.4 system-ui, sans-serif; }
  :host([hidden]) { display: none; }
  .frame { position: relative; cursor: pointer; display: grid; place-items: center; gap: 0.5rem; padding: 0.75rem; border: 2px dashed #8888; border-radius: 0.5rem; }
  .frame.over { border-color: currentColor; }
  .frame:has(:focus-visible) { outline: 3px solid Highlight; outline-offset: 2px; }
  input { position: absolute; opacity: 0; inset: 0; width: 100%; height: 100%; cursor: pointer; }
  canvas { display: block; max-width: 100%; max-height: 80vh; }
  canvas[hidden] { display: none; }
  canvas.old { opacity: 0.4; }
  p { margin: 0.5rem 0 0; padding-inline-start: 0.5rem; border-inline-start: 0.35rem solid transparent; }
  .good { border-color: #2a9d5c; }
  .defective { border-color: #d64541; }
  .unfamiliar, .failed { border-color: #c98a1b; }
`);

/** The longer side of the picture that is drawn, in pixels. */
const LARGEST = 1600;

const CHOOSE = "Choose a photo or drop one here";
const WORDS = { good: "Good", defective: "Defective", unfamiliar: "Unfamiliar" };

/** A picture to draw; `null` where the browser cannot, though the engine may. */
async function bitmapOf({ file, pixels, width, height }) {
  try {
    if (file) return await createImageBitmap(new Blob([file]));
    return await createImageBitmap(new ImageData(new Uint8ClampedArray(pixels), width, height));
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
  canvas.classList.remove("old");
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
  /** A promise of the model's inspector, and what ends its loading; `null` while the element is in no document. */
  #inspector = null;
  #loading = null;
  /** The image that is shown: `{image, content, begun}`; `content` is a promise of what it held when it was set. */
  #shown = null;
  #result = null;
  /** Failures that an event has told. */
  #told = new WeakSet();
  /** Whether what was set is seen to soon. */
  #due = false;
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
    this.#canvas.setAttribute("aria-label", "The photo with its heat map");
    this.#canvas.setAttribute("part", "picture");
    Object.assign(this.#input, { type: "file", accept: "image/*", ariaLabel: CHOOSE });
    this.#words.setAttribute("role", "status");
    this.#say("", "");
    this.#frame.append(this.#canvas, CHOOSE, this.#input);
    root.append(this.#frame, this.#words);
    this.#input.onchange = () => {
      this.#take(this.#input.files);
      // the same file may be chosen once more
      this.#input.value = "";
    };
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
    this.#soon();
  }

  disconnectedCallback() {
    this.#unload();
    if (this.#result === null) this.#again();
  }

  get model() {
    return this.#model;
  }

  set model(model) {
    this.#change(model);
    this.#soon();
  }

  get image() {
    return this.#shown?.image ?? null;
  }

  set image(image) {
    this.#set(image);
    this.#soon();
  }

  get result() {
    return this.#result;
  }

  async open(model) {
    this.#change(model);
    this.#soon();
    return (await this.#ready()).model;
  }

  async show(image) {
    const shown = this.#set(image);
    return shown && this.#inspect(shown);
  }

  #change(model) {
    this.#model = model;
    this.#unload();
    // the verdict of another model says nothing
    this.#again();
  }

  /** Sets the image, as it is now. */
  #set(image) {
    this.#result = null;
    this.#canvas.classList.add("old");
    this.#say("", image === null ? "" : "Inspecting …");
    if (image === null) {
      this.#canvas.hidden = true;
      this.#shown = null;
      return null;
    }
    const content = new Promise((resolve) => resolve(picture(image)));
    // who awaits it comes later
    content.catch(() => {});
    this.#shown = { image, content, begun: false };
    return this.#shown;
  }

  /** Attributes come one after the other: once all are there, loads the model and inspects the image. */
  #soon() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (!this.isConnected) return;
      if (this.#model !== null) this.#ready().catch(() => {});
      if (this.#shown && !this.#shown.begun) this.#inspect(this.#shown).catch(() => {});
    });
  }

  async #inspect(shown) {
    shown.begun = true;
    try {
      const inspecting = this.#ready().then(async (inspector) => {
        const { file, pixels, width, height } = await shown.content;
        return inspector.inspect(file ?? { data: pixels, width, height }, { heatMap: true });
      });
      inspecting.catch(() => {});
      const bitmap = await bitmapOf(await shown.content);
      if (bitmap && this.#shown === shown) draw(this.#canvas, bitmap, null);
      const result = await inspecting;
      if (this.#shown === shown) {
        this.#result = result;
        draw(this.#canvas, bitmap, result.heatMap);
        this.#say(result.verdict ?? "", words(result));
      }
      bitmap?.close();
      this.dispatchEvent(new CustomEvent("result", { detail: { image: shown.image, result } }));
      return result;
    } catch (error) {
      this.#fail(shown, error);
      throw error;
    }
  }

  /** The inspector of the model. A failure to load it is told once and given to whoever waits. */
  #ready() {
    if (this.#inspector) return this.#inspector;
    if (this.#model === null) {
      return Promise.reject(new DestsegError("model", "There is no model: set `model` to the address or the bytes of one."));
    }
    if (!this.isConnected) {
      return Promise.reject(new DestsegError("closed", "The element is in no document: put it into one first."));
    }
    if (!this.#shown) this.#say("", "Loading the model …");
    this.#loading = new AbortController();
    const inspector = Inspector.load(this.#model, { signal: this.#loading.signal });
    this.#inspector = inspector;
    const isOwn = () => this.#inspector === inspector;
    inspector.then(
      () => isOwn() && !this.#shown && this.#say("", ""),
      (error) => isOwn() && this.#fail(null, error),
    );
    return inspector;
  }

  /** Ends the inspector or its loading: what is going on fails with the code `closed`. */
  #unload() {
    this.#loading?.abort();
    this.#inspector?.then(
      (inspector) => inspector.close(),
      () => {},
    );
    this.#inspector = null;
  }

  /** The image is to be inspected by the next inspector. */
  #again() {
    if (!this.#shown?.begun) return;
    this.#result = null;
    this.#shown.begun = false;
    this.#canvas.classList.add("old");
    this.#say("", "Inspecting …");
  }

  #say(kind, text) {
    this.#words.className = kind;
    this.#words.setAttribute("part", `verdict ${kind}`.trim());
    this.#words.textContent = text;
  }

  /** Tells a failure: `shown` is what could not be inspected, `null` where the model could not be loaded. */
  #fail(shown, error) {
    // the element was removed, or has another model by now
    if (error.code === "closed") return;
    if (shown === null || this.#shown === shown) this.#say("failed", error.message);
    if (this.#told.has(error)) return;
    this.#told.add(error);
    this.dispatchEvent(new CustomEvent("failure", { detail: { image: shown?.image ?? null, error } }));
  }
}

customElements.define("destseg-inspector", DestsegInspectorElement);
