import type { DestsegError, ImageSource, ModelInfo, ModelSource, Result } from "./index.js";

/** The detail of an element's events: the image, and what came of it. */
export interface ResultDetail {
  readonly image: ImageSource;
  readonly result: Result;
}

/** `image` is `null` where the model could not be loaded. */
export interface FailureDetail {
  readonly image: ImageSource | null;
  readonly error: DestsegError;
}

/** Events of the element. */
export interface DestsegInspectorEventMap extends HTMLElementEventMap {
  result: CustomEvent<ResultDetail>;
  /** Each failure once; none for what was closed. */
  failure: CustomEvent<FailureDetail>;
}

/**
 * `<destseg-inspector model="part.safetensors">`: shows an image with its heat map and verdict. Visitors drop or choose photos.
 * What is set together is loaded and inspected once. In Node, as when a server renders a page, it can be imported but not made.
 */
export class DestsegInspectorElement extends HTMLElement {
  /** The model: the attribute's address, or bytes. */
  model: ModelSource | null;
  /** The image that is shown; setting it inspects it. */
  image: ImageSource | null;
  /** What is said of the image that is shown. */
  readonly result: Result | null;
  /** Sets the model, and gives what is to be known of it once it is loaded. */
  open(model: ModelSource): Promise<ModelInfo>;
  /** Sets the image, as it is at the call, and gives the result. */
  show(image: ImageSource): Promise<Result>;

  addEventListener<K extends keyof DestsegInspectorEventMap>(
    type: K,
    listener: (this: DestsegInspectorElement, event: DestsegInspectorEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof DestsegInspectorEventMap>(
    type: K,
    listener: (this: DestsegInspectorElement, event: DestsegInspectorEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "destseg-inspector": DestsegInspectorElement;
  }
}
