import type { DestsegError, ImageSource, ModelInfo, ModelSource, Result } from "./index.js";

/** The detail of an element's events: the image, and what came of it. */
export interface ResultDetail {
  readonly image: ImageSource;
  readonly result: Result;
}

/** `image` is `null` where the model could not be loaded. */
export interface ErrorDetail {
  readonly image: ImageSource | null;
  readonly error: DestsegError;
}

/**
 * `<destseg-inspector model="part.safetensors">`: shows an image with its heat map and verdict. Visitors drop or choose photos.
 * Its events are `result` (`ResultDetail`) and `error` (`ErrorDetail`).
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
  /** Sets the image, and gives the result. */
  show(image: ImageSource): Promise<Result>;
}

declare global {
  interface HTMLElementTagNameMap {
    "destseg-inspector": DestsegInspectorElement;
  }
}
